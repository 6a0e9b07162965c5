//! Writes lines to standard error. An error while writing cannot end the server.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Writes a line to standard error. Not with `eprintln!`, which panics if the reader has gone.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Lets one line per second through, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Limiter(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    opened: Option<Instant>,
    suppressed: u64,
}

impl Limiter {
    const WINDOW: Duration = Duration::from_secs(1);

    /// Writes the line, or counts it for the next line.
    pub(crate) fn line(&self, text: fmt::Arguments<'_>) {
        match self.admit(Instant::now()) {
            None => {}
            Some(0) => line(text),
            Some(more) => line(format_args!("{text} (and {more} more since the last line)")),
        }
    }

    /// How many lines were suppressed before this one; `None` if this one is suppressed, too.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |opened| now.saturating_duration_since(opened) < Self::WINDOW;
        if window.opened.is_some_and(within) {
            window.suppressed += 1;
            return None;
        }
        let suppressed = window.suppressed;
        *window = Window { opened: Some(now), suppressed: 0 };
        Some(suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_the_rest_is_counted() {
        let limiter = Limiter::default();
        let start = Instant::now();
        assert_eq!(limiter.admit(start), Some(0));
        assert_eq!(limiter.admit(start), None);
        assert_eq!(limiter.admit(start + Duration::from_millis(999)), None);
        assert_eq!(limiter.admit(start + Duration::from_millis(1000)), Some(2));
        assert_eq!(limiter.admit(start + Duration::from_millis(2000)), Some(0));
    }
}
