//! The system calls that a server makes while messages arrive, traced with ptrace(2). Tracing stops
//! a thread twice per call and interrupts its waits, so it needs a look of its own.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use report::Failure;

use super::{Process, Watched, system};

/// How long it may take until it has begun.
const PATIENCE: Duration = Duration::from_secs(10);

impl Process {
    /// Watches the system calls of all its threads, during `exchange`.
    ///
    /// # Errors
    /// When the system does not allow that, before `exchange` is run; the other result is that of
    /// `exchange`.
    pub fn watch(
        &self,
        socket: u64,
        exchange: impl FnOnce() -> Result<(), Failure>,
    ) -> io::Result<Result<Watched, Failure>> {
        let family =
            self.family().map_err(|e| io::Error::other(e.actual.on_terminal().to_string()))?;
        let stop = AtomicBool::new(false);
        let (begun, begins) = mpsc::channel();
        thread::scope(|scope| {
            let watch = scope.spawn(|| system::watch(&family, socket, &begun, &stop));
            // It is there once for each watch, and ends with the thread.
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
        // A shell reads a byte at a time, where cat(1) may have found another way by now.
        let mut shell = Command::new("sh");
        shell.args(["-c", "while read -r line; do echo \"$line\"; done"]);
        shell.stdin(OwnedFd::from(server.try_clone().unwrap())).stdout(OwnedFd::from(server));
        let mut child = shell.spawn().unwrap();
        drop(shell);
        let process = Process::new(child.id(), child.id());
        let start = Instant::now();
        while !process.sight(socket).unwrap().reads {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not read");
            thread::sleep(Duration::from_millis(1));
        }
        let watched = process.watch(socket, || {
            client.write_all(b"forty-two\n").unwrap();
            client.read_exact(&mut [0; 10]).unwrap();
            Ok(())
        });
        drop(client);
        child.wait().unwrap();
        // Where ptrace(2) is not allowed, that is all that is said.
        let Ok(watched) = watched else { return };
        assert_eq!(watched.unwrap(), Watched { bytes_read: 10, ..Watched::default() });
    }
}
