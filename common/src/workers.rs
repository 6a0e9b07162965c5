//! Worker threads: each has a runtime, a ring or a poller of its own, and its share of the
//! listeners. A backend supplies the function that one worker runs.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{self, SendError, Sender};
use std::thread;

use crate::{Context, Drained, ServeError, Sockets, block_on};

/// A worker that does not accept yet.
#[derive(Debug)]
pub struct Worker {
    started: Sender<Result<(), ServeError>>,
    accepting: Accepting,
}

/// Held by a worker while it may accept another client.
#[derive(Debug)]
#[must_use = "dropping it says that the worker has accepted its last client"]
pub struct Accepting {
    /// Nothing is ever sent. The receiver sees when the last one is dropped.
    _held: Sender<Infallible>,
}

impl Worker {
    /// Says that the worker can accept: its listeners are registered, or its accepts are submitted.
    pub fn ready(self) -> Accepting {
        // Fails only if `run_workers` has returned with the error of another worker.
        let _ = self.started.send(Ok(()));
        self.accepting
    }
}

/// Runs `serve` on one thread per worker and announces the server once every worker is ready.
/// Returns after the stop, at the end of the drain.
///
/// `serve` registers its share of the listeners and calls [`Worker::ready`]. It drops the
/// [`Accepting`] once it has accepted its last client, and then serves until the process ends, so
/// that connections are never cut by the end of their thread. It returns only if it cannot start.
///
/// # Errors
/// The first error of a worker that cannot start, of duplicating a listener, or of starting a
/// thread.
pub fn run_workers<S>(sockets: Sockets, context: &Context, serve: S) -> Result<Drained, ServeError>
where
    S: Fn(Sockets, Context, Worker) -> Result<Infallible, ServeError> + Clone + Send + 'static,
{
    let (started, starts) = mpsc::channel();
    let (accepting, last_accepted) = mpsc::channel();
    for (number, share) in (1..).zip(sockets.share(context.workers())?) {
        let (serve, context, started) = (serve.clone(), context.clone(), started.clone());
        let accepting = Accepting { _held: accepting.clone() };
        let name = format!("{}-{number}", context.backend());
        thread::Builder::new().name(name).spawn(move || {
            let worker = Worker { started: started.clone(), accepting };
            let Err(error) = serve(share, context.clone(), worker);
            // Sending fails once every worker was ready, because the receiver is dropped then.
            if let Err(SendError(Err(error))) = started.send(Err(error)) {
                context.fail("serve", &error.into());
            }
        })?;
    }
    drop((started, accepting));
    for _ in 1..=context.workers() {
        starts
            .recv()
            .map_err(|_| io::Error::other("a worker thread ended before it was ready"))??;
    }
    drop(starts);
    context.announce();
    // Fails once every worker has dropped its sender.
    let Err(_) = last_accepted.recv();
    Ok(block_on(context.drained()))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};

    use super::*;
    use crate::Listener;
    use crate::context::tests::context;

    fn listeners() -> Sockets {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut sockets = Sockets::default();
        sockets.tcp.push(Listener { socket, work: None });
        sockets.udp.push(udp);
        sockets
    }

    #[test]
    fn every_worker_has_the_listeners_and_one_has_the_datagrams() {
        let (shares, all_shares) = mpsc::channel();
        let drained = run_workers(listeners(), &context(), move |share, context, worker| {
            shares.send((share.tcp.len(), share.udp.len())).unwrap();
            // The stop comes before the other worker is ready, which is waited for all the same.
            context.fail("poll", &io::ErrorKind::Other.into());
            drop(worker.ready());
            loop {
                thread::park();
            }
        });
        assert_eq!(drained.unwrap(), Drained { cut: 0 });
        let mut shares: Vec<_> = all_shares.iter().take(2).collect();
        shares.sort_unstable();
        assert_eq!(shares, [(1, 0), (1, 1)]);
    }

    #[test]
    fn the_error_of_a_worker_that_cannot_start_is_returned() {
        let refused = |share: Sockets, _, worker: Worker| {
            if share.udp.is_empty() {
                return Err(io::Error::other("no ring").into());
            }
            let _accepting = worker.ready();
            loop {
                thread::park();
            }
        };
        match run_workers(listeners(), &context(), refused) {
            Err(ServeError::Failed(error)) => assert_eq!(error.to_string(), "no ring"),
            other => panic!("{other:?}"),
        }
    }
}
