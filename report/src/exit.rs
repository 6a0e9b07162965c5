//! From what a document holds to an exit status. The one place that decides what is red.

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
    /// A condition of `--fail-if` holds, or cannot be shown not to.
    ConditionFired,
    /// Interrupted by the user.
    Interrupted,
}

/// What one piece of a document (a cell, a row, a measurement, a point) says about its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// It was judged or measured, and nothing is wrong.
    Green,
    /// The server is at fault, or something is worse than it was.
    Red,
    /// A condition of the user's holds, or cannot be shown not to.
    ConditionFired,
    /// It could not be judged or measured.
    Error,
    /// This host cannot do it.
    Unavailable,
}

/// All that bears on the exit status of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conclusions {
    /// Whether the user stopped it before its end.
    pub interrupted: bool,
    /// One for each piece.
    pub pieces: Vec<Conclusion>,
}

impl Conclusions {
    /// The pieces of a document that ran to its end.
    #[must_use]
    pub fn of(pieces: impl IntoIterator<Item = Conclusion>) -> Self {
        Self { interrupted: false, pieces: pieces.into_iter().collect() }
    }

    /// The rule for all documents. What was stopped says nothing; a fault outweighs what could not
    /// be judged, and that outweighs a condition, because numbers that do not count meet none. A
    /// document without any piece has judged nothing, which is no success.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let has = |conclusion| self.pieces.contains(&conclusion);
        if self.interrupted {
            Exit::Interrupted
        } else if has(Conclusion::Red) {
            Exit::Red
        } else if has(Conclusion::Error) || self.pieces.is_empty() {
            Exit::Error
        } else if has(Conclusion::ConditionFired) {
            Exit::ConditionFired
        } else if has(Conclusion::Green) {
            Exit::Green
        } else {
            Exit::Unavailable
        }
    }
}

impl Conclusion {
    /// Whether a test that judges this piece alone fails.
    #[must_use]
    pub fn fails_a_test(self) -> bool {
        match self {
            Self::Red | Self::ConditionFired | Self::Error => true,
            Self::Green | Self::Unavailable => false,
        }
    }
}

impl Exit {
    /// The number that the process exits with.
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

    /// The status of several documents together, in the order of [`Conclusions::exit`].
    #[must_use]
    pub fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        let severity = |exit: &Self| match exit {
            Self::Green => 0,
            Self::Unavailable => 1,
            Self::ConditionFired => 2,
            Self::Interrupted | Self::Usage | Self::Error => 3,
            Self::Red => 4,
        };
        exits.into_iter().max_by_key(severity).unwrap_or(Self::Green)
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
            assert_eq!(Conclusions::of(pieces.iter().copied()).exit(), exit, "{pieces:?}");
        }
        let stopped = Conclusions { interrupted: true, pieces: vec![Red] };
        assert_eq!(stopped.exit(), Exit::Interrupted);
    }

    #[test]
    fn several_documents_are_as_bad_as_the_worst() {
        assert_eq!(Exit::worst([Exit::Green, Exit::Unavailable]), Exit::Unavailable);
        assert_eq!(Exit::worst([Exit::Red, Exit::Error]), Exit::Red);
        assert_eq!(Exit::worst([Exit::ConditionFired, Exit::Error]), Exit::Error);
        assert_eq!(Exit::worst([]), Exit::Green);
    }
}
