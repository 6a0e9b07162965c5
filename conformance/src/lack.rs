//! A capability or kind of listener that a server does not offer, as the server says, and whether
//! the registry agrees.

use harness::announcement::{Announcement, Ready};
use harness::launcher::Launch;
use harness::row::Row;
use report::{Failure, FailureKind, Outside, outside};

use crate::case::Case;
use crate::lifecycle::Lifecycle;

/// Why a server does not offer what a case asks for, in the server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack(pub Outside);

impl Lack {
    /// Reads the refusal of a server that was asked for `asked`, a capability or a kind of
    /// listener.
    ///
    /// # Errors
    /// `announcement` when the registry or the probe of the host contradicts the server.
    pub fn read(row: &Row, asked: &str, said: Announcement) -> Result<Self, Failure> {
        let contradicted =
            |truth: Outside, said: Outside| Failure::new(FailureKind::Announcement, truth, said);
        match said {
            Announcement::Unavailable(reason) => {
                let driver = row.driver.clone().unwrap_or_default();
                let truth = outside!("a server that runs: the host offers {}", driver);
                Err(contradicted(truth, outside!("unavailable: {}", reason)))
            }
            Announcement::Unsupported(reason) if row.lacks(asked) => Ok(Self(reason)),
            Announcement::Unsupported(reason) => {
                let truth = outside!("{}, which the registry does not say it lacks", asked);
                Err(contradicted(truth, outside!("unsupported: {}", reason)))
            }
            Announcement::Ready(_) => Err(contradicted("a refusal".into(), "ready".into())),
        }
    }
}

/// Starts a server and asks it for the capability or kind of listener that the case is about.
/// Returns `None` if the server offers it or the case asks for none.
///
/// # Errors
/// `announcement` when the server contradicts the registry or itself, or those of
/// [`Lifecycle::launch`].
pub fn find_lack(row: &Row, case: &Case, lifecycle: &Lifecycle) -> Result<Option<Lack>, Failure> {
    let Some(asked) = case.optional_part() else { return Ok(None) };
    let mut start = lifecycle.start_to_probe_listener(case.transport)?;
    if let Some(capability) = case.capability {
        start = start.with_argument("--capability").with_argument(capability);
    }
    match lifecycle.launch(&start)? {
        Launch::Declined(said) => Lack::read(row, asked, said).map(Some),
        ready_or_ended @ (Launch::Ready(_) | Launch::Ended(_)) => {
            let server = ready_or_ended.expect_ready()?;
            expect_no_lack(row, asked)?;
            if let Some(capability) = case.capability {
                expect_announced(capability, server.ready()?)?;
            }
            Ok(None)
        }
    }
}

/// Checks the registry's entry of a server that did not refuse `asked`.
///
/// # Errors
/// `announcement` when the registry says that the server lacks `asked`.
pub fn expect_no_lack(row: &Row, asked: &str) -> Result<(), Failure> {
    if row.lacks(asked) {
        let expected = format!("a refusal: the registry says that it lacks {asked}");
        return Err(Failure::new(FailureKind::Announcement, expected, "ready"));
    }
    Ok(())
}

/// A server that did not refuse a capability must announce it.
fn expect_announced(capability: &str, ready: &Ready) -> Result<(), Failure> {
    if ready.capabilities.iter().any(|offered| offered.equals(capability)) {
        return Ok(());
    }
    let expected = format!("{capability} among the capabilities that it announces");
    Err(Failure::new(FailureKind::Announcement, expected, format!("{:?}", ready.capabilities)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::mutants::MutantTable;

    fn row(lacks: &[&str]) -> Row {
        let mut row = MutantTable::load().unwrap().row(PathBuf::new(), None);
        row.lacks = lacks.iter().copied().map(str::to_owned).collect();
        row
    }

    #[test]
    fn unsupported_is_only_what_the_registry_says_is_lacking() {
        let said = || Announcement::Unsupported("no such thing".into());
        let lack = Lack::read(&row(&["cancel", "cpu"]), "cpu", said()).unwrap();
        assert_eq!(lack, Lack("no such thing".into()));
        let contradicted = Lack::read(&row(&["cancel"]), "cpu", said()).unwrap_err();
        assert_eq!(contradicted.kind, FailureKind::Announcement);
        let lost = Announcement::Unavailable("no ring".into());
        assert!(Lack::read(&row(&["cpu"]), "cpu", lost).is_err());
    }

    #[test]
    fn what_is_offered_is_announced_and_not_denied() {
        let announced = |capabilities: &[&str]| Ready {
            ready: 1,
            listeners: Vec::new(),
            backend: Outside::default(),
            runtime: Outside::default(),
            model: Outside::default(),
            driver: Outside::default(),
            flavor: Outside::default(),
            workers: 1,
            capabilities: capabilities.iter().copied().map(Outside::from).collect(),
        };
        let both = announced(&["cancel", "cpu"]);
        assert_eq!(expect_announced("cpu", &both), Ok(()));
        assert!(expect_announced("cpu", &announced(&["cancel"])).is_err());
        assert_eq!(expect_no_lack(&row(&[]), "cpu"), Ok(()));
        assert!(expect_no_lack(&row(&["cpu"]), "cpu").is_err());
    }
}
