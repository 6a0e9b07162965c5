//! Lines on standard error, none of which can end the server.

use std::{
    fmt,
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Writes one line to standard error. Not `eprintln!`, which panics when the reader has gone.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Lets one line a second through, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Limiter(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    opened: Option<Instant>,
    suppressed: u64,
}

impl Limiter {
    const WINDOW: Duration = Duration::from_secs(1);

    /// Writes the line, or counts it as one "more" of the next.
    pub(crate) fn line(&self, text: fmt::Arguments<'_>) {
        match self.admit(Instant::now()) {
            None => {}
            Some(0) => line(text),
            Some(more) => line(format_args!("{text} (and {more} more since the last line)")),
        }
    }

    /// How many lines were suppressed before this one, or `None` if it is suppressed too.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |opened| now.saturating_duration_since(opened) < Limiter::WINDOW;
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
