//! Ctrl-C: a command ends early, and what it has found is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use report::{Exit, outside};

use crate::error::Error;

/// Calls `end_early` at the first Ctrl-C. A second one ends the program at once.
///
/// # Errors
/// The system does not let signals be handled.
pub(crate) fn on_interruption(end_early: impl Fn() + Send + 'static) -> Result<(), Error> {
    let has_come = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if has_come.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(Exit::Interrupted.status()));
        }
        end_early();
    })
    .map_err(|error| Error::Signals(outside!("{}", error)))
}

/// A flag that Ctrl-C sets.
///
/// # Errors
/// Those of [`on_interruption`].
pub(crate) fn interruption() -> Result<Arc<AtomicBool>, Error> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    on_interruption(move || flag.store(true, Ordering::Relaxed))?;
    Ok(interrupted)
}
