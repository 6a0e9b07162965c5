//! Traces the system calls that a server makes while messages arrive, with ptrace(2). Tracing stops
//! a thread twice per call and interrupts its waits, so it is separate from `snapshot.rs`.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use report::Failure;

use super::{Process, TracedCalls, system};

/// How long tracing may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

impl Process {
    /// Traces the system calls of all threads during `exchange`. `socket` is the inode of the
    /// server's end of the client's connection.
    ///
    /// # Errors
    /// The outer error means that the system does not allow tracing; if tracing cannot begin,
    /// `exchange` does not run. The inner error comes from `exchange`.
    pub fn trace_calls(
        &self,
        socket: u64,
        exchange: impl FnOnce() -> Result<(), Failure>,
    ) -> io::Result<Result<TracedCalls, Failure>> {
        let family =
            self.family().map_err(|e| io::Error::other(e.actual.on_terminal().to_string()))?;
        let stop = AtomicBool::new(false);
        let (begun, begins) = mpsc::channel();
        thread::scope(|scope| {
            let watch = scope.spawn(|| system::trace_calls(&family, socket, &begun, &stop));
            // The thread sends exactly one result: whether tracing has begun.
            let beginning = begins.recv_timeout(PATIENCE).map_err(io::Error::other);
            let exchanged = beginning.and_then(|begun| begun).map(|()| exchange());
            stop.store(true, Ordering::Relaxed);
            let watched =
                watch.join().map_err(|_| io::Error::other("the watching thread panicked"))?;
            let exchanged = exchanged?;
            let watched = watched?;
            Ok(exchanged.map(|()| watched))
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::process::Command;
    use std::time::Instant;

    use super::*;
    use crate::sock_diag::socket_end;

    #[test]
    fn who_reads_is_seen_to_sleep_in_it_and_to_take_the_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let ends = (server.local_addr().unwrap(), client.local_addr().unwrap());
        let socket = socket_end(ends.0, ends.1).unwrap().inode;
        // A shell reads one byte at a time. cat(1) may have found another way by now.
        let mut shell = Command::new("sh");
        shell.args(["-c", "while read -r line; do echo \"$line\"; done"]);
        shell.stdin(OwnedFd::from(server.try_clone().unwrap())).stdout(OwnedFd::from(server));
        let mut child = shell.spawn().unwrap();
        drop(shell);
        let process = Process::new(child.id(), child.id());
        let start = Instant::now();
        while !process.snapshot(socket).unwrap().reads {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not read");
            thread::sleep(Duration::from_millis(1));
        }
        let watched = process.trace_calls(socket, || {
            client.write_all(b"forty-two\n").unwrap();
            client.read_exact(&mut [0; 10]).unwrap();
            Ok(())
        });
        drop(client);
        child.wait().unwrap();
        // If ptrace(2) is not allowed, there is nothing more to check.
        let Ok(watched) = watched else { return };
        assert_eq!(watched.unwrap(), TracedCalls { bytes_read: 10, ..TracedCalls::default() });
    }
}
