//! Reads a server's output on a thread, and keeps a bounded part of it. Also provides a value to
//! wait for.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use report::Outside;

use crate::deadline::Deadline;

/// How many bytes are kept of the beginning and of the end of an output. A server may write
/// megabytes.
const KEPT_BYTES: usize = 64 * 1024;

/// A value that one thread changes and others wait for.
#[derive(Debug, Default)]
pub struct Monitor<T> {
    value: Mutex<T>,
    changed: Condvar,
}

/// What has come out of a pipe so far.
#[derive(Debug, Default)]
pub struct CapturedOutput {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total_bytes: u64,
    is_closed: bool,
}

impl<T> Monitor<T> {
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value, and wakes all waiters.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `found` returns something for the value; `None` if the deadline is over first.
    pub fn wait<R>(&self, deadline: Deadline, found: impl Fn(&T) -> Option<R>) -> Option<R> {
        let mut value = self.lock();
        loop {
            if let Some(result) = found(&value) {
                return Some(result);
            }
            if deadline.is_over() {
                return None;
            }
            let waited = self.changed.wait_timeout(value, deadline.left());
            value = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl CapturedOutput {
    /// Reads a pipe to its end on a separate thread.
    pub fn from_pipe(mut pipe: impl Read + Send + 'static) -> Arc<Monitor<Self>> {
        let captured = Arc::new(Monitor::<Self>::default());
        let target = Arc::clone(&captured);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(n) if n > 0 => target.update(|captured| captured.push(&buffer[..n])),
                    Ok(_) | Err(_) => break,
                }
            }
            target.update(|captured| captured.is_closed = true);
        });
        captured
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.tail.extend(bytes);
        let surplus = self.tail.len().saturating_sub(KEPT_BYTES);
        self.tail.drain(..surplus);
        self.total_bytes += bytes.len() as u64;
    }

    /// The bytes of the first line, including its line feed, once it is complete.
    #[must_use]
    pub fn first_line(&self) -> Option<Vec<u8>> {
        let end = self.head.iter().position(|&byte| byte == b'\n')?;
        Some(self.head[..=end].to_vec())
    }

    /// The beginning of the output, as text.
    #[must_use]
    pub fn text(&self) -> Outside {
        String::from_utf8_lossy(&self.head).into()
    }

    /// How many bytes have come in total.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Whether every writer has closed the pipe.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<Outside> {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|&line| line.into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_kept_within_bounds() {
        let flood = std::io::repeat(b'x').take(3_000_000);
        let captured = CapturedOutput::from_pipe(flood.chain(&b"\nlast"[..]));
        let deadline = Deadline::after(Duration::from_secs(5));
        let total = captured.wait(deadline, |c| c.is_closed().then(|| c.total_bytes()));
        assert_eq!(total, Some(3_000_005));
        assert!(captured.lock().text().equals(&"x".repeat(KEPT_BYTES)));
        assert_eq!(captured.lock().last_lines(1), ["last"]);
    }
}
