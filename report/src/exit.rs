//! Decides the exit status of a document. This is the only place that decides what is red.

use std::process::ExitCode;

/// The documented exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything is green.
    Green,
    /// A failure, crash, timeout, stale waiver, missing required driver, regression, or miss under
    /// `--strict`.
    Red,
    /// The command line was wrong.
    Usage,
    /// Something could not be judged, or a measurement is invalid.
    Error,
    /// Every selected row is unavailable here (`EX_UNAVAILABLE` of sysexits.h).
    Unavailable,
    /// A condition of `--fail-if` holds, or cannot be shown not to hold.
    ConditionFired,
    /// The user interrupted it.
    Interrupted,
}

/// What one piece of a document (a cell, a row, a measurement, a point) adds to its exit status,
/// the lightest first: the heaviest piece of a document decides. A fault outweighs what could not
/// be judged, and that outweighs a condition, because invalid numbers meet no condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conclusion {
    /// This host cannot judge or measure it.
    Unavailable,
    /// It was judged or measured, and nothing is wrong.
    Green,
    /// A condition of the user holds, or cannot be shown not to hold.
    ConditionFired,
    /// It could not be judged or measured.
    Error,
    /// The server is at fault, or something got worse.
    Red,
}

/// Everything that decides the exit status of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conclusions {
    /// Whether the user stopped it before its end.
    pub interrupted: bool,
    pub pieces: Vec<Conclusion>,
}

impl Conclusions {
    /// The conclusions of a document that ran to its end.
    #[must_use]
    pub fn from_pieces(pieces: impl IntoIterator<Item = Conclusion>) -> Self {
        Self { interrupted: false, pieces: pieces.into_iter().collect() }
    }

    /// The conclusions of several documents, as if one document had all their pieces. A document
    /// without pieces has judged nothing, and counts as an error.
    #[must_use]
    pub fn from_documents(documents: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for document in documents {
            all.interrupted |= document.interrupted;
            match document.pieces.is_empty() {
                true => all.pieces.push(Conclusion::Error),
                false => all.pieces.extend(document.pieces),
            }
        }
        all
    }

    /// Adds what else decides the status, such as a file that could not be read.
    #[must_use]
    pub fn with_pieces(mut self, pieces: impl IntoIterator<Item = Conclusion>) -> Self {
        self.pieces.extend(pieces);
        self
    }

    /// The rule for all documents, alone or together. An interrupted document says nothing. Without
    /// any piece nothing was judged, which is no success. Otherwise the heaviest piece decides.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.interrupted {
            return Exit::Interrupted;
        }
        match self.pieces.iter().max() {
            Some(Conclusion::Red) => Exit::Red,
            Some(Conclusion::Error) | None => Exit::Error,
            Some(Conclusion::ConditionFired) => Exit::ConditionFired,
            Some(Conclusion::Green) => Exit::Green,
            Some(Conclusion::Unavailable) => Exit::Unavailable,
        }
    }
}

impl Conclusion {
    /// Whether a test that judges only this piece fails.
    #[must_use]
    pub fn fails_a_test(self) -> bool {
        match self {
            Self::Red | Self::ConditionFired | Self::Error => true,
            Self::Green | Self::Unavailable => false,
        }
    }
}

impl Exit {
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Green => 0,
            Self::Red => 1,
            Self::Usage => 2,
            Self::Error => 3,
            Self::Unavailable => 69,
            Self::ConditionFired => 99,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_outweighs_what_could_not_be_judged() {
        use Conclusion::{ConditionFired, Error, Green, Red, Unavailable};
        for (pieces, exit) in [
            (&[Green, Unavailable][..], Exit::Green),
            (&[Green, Error, Red], Exit::Red),
            (&[ConditionFired, Error, Green], Exit::Error),
            (&[Green, ConditionFired], Exit::ConditionFired),
            (&[Unavailable, Unavailable], Exit::Unavailable),
            (&[], Exit::Error),
        ] {
            assert_eq!(Conclusions::from_pieces(pieces.iter().copied()).exit(), exit, "{pieces:?}");
        }
        let stopped = Conclusions { interrupted: true, pieces: vec![Red] };
        assert_eq!(stopped.exit(), Exit::Interrupted);
    }

    #[test]
    fn several_documents_end_as_one_with_all_their_pieces() {
        use Conclusion::{ConditionFired, Error, Green, Red, Unavailable};
        let of = |pieces: &[Conclusion]| Conclusions::from_pieces(pieces.iter().copied());
        let stopped = Conclusions { interrupted: true, pieces: vec![Green] };
        for (one, other, exit) in [
            (of(&[Green]), of(&[Unavailable]), Exit::Green),
            (of(&[Unavailable]), of(&[Unavailable]), Exit::Unavailable),
            (of(&[Red]), of(&[Error]), Exit::Red),
            (of(&[ConditionFired]), of(&[Error]), Exit::Error),
            (of(&[Green]), of(&[]), Exit::Error),
            (of(&[Red]), of(&[]), Exit::Red),
            (of(&[Red]), stopped, Exit::Interrupted),
        ] {
            let swapped = Conclusions::from_documents([other.clone(), one.clone()]);
            let together = Conclusions::from_documents([one, other]);
            assert_eq!([together.exit(), swapped.exit()], [exit; 2], "{together:?}");
        }
        assert_eq!(Conclusions::from_documents([]).exit(), Exit::Error);
    }

    #[test]
    fn a_label_or_file_that_is_missing_counts_like_a_piece() {
        let green = || Conclusions::from_pieces([Conclusion::Green]);
        assert_eq!(green().with_pieces([]).exit(), Exit::Green);
        assert_eq!(green().with_pieces([Conclusion::Error]).exit(), Exit::Error);
        assert_eq!(Conclusions::default().with_pieces([Conclusion::Red]).exit(), Exit::Red);
        let stopped = Conclusions { interrupted: true, ..green() };
        assert_eq!(stopped.with_pieces([Conclusion::Red]).exit(), Exit::Interrupted);
    }
}
