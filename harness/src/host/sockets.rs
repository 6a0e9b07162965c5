//! Tries what the kernel does with connections, where systems differ. Everything stays on the
//! loopback interface, and every wait has a limit.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use report::sockets::{ProbeResult, Sockets};
use socket2::{Domain, SockAddr, Socket, Type};

use super::answer::trial_failure;
use super::timers::elapsed_us;
use super::{accept_trial, datagrams, timers};
use crate::accept_queue::accept_queue;
use crate::deadline::Deadline;
use crate::wait::{Interest, wait};

/// How long to wait for an answer from a listener that is full or does not exist.
const ANSWER_LIMIT: Duration = Duration::from_millis(50);
/// The most time that all trials of one kind take together, on systems other than Linux.
const LIMIT: Duration = Duration::from_secs(1);

/// Makes each trial once.
pub(super) fn all() -> Sockets {
    Sockets {
        accept_queue: accept_queue_capacity(Sockets::BACKLOG).into(),
        accept_at_limit: accept_trial::run(),
        established_at_once: is_established_at_once().map_err(trial_failure).into(),
        refused_us: refused_us().into(),
        sleep_us: ProbeResult::Seen(timers::sleep_us()),
        timeout_us: timers::timeout_us().map_err(trial_failure).into(),
        ..datagrams::all(Deadline::after(LIMIT))
    }
}

/// How many clients can wait at a listener with this backlog: what the kernel reports, or else how
/// many can connect.
fn accept_queue_capacity(backlog: u32) -> Result<u32, String> {
    let (_listener, address) = open_listener(backlog).map_err(trial_failure)?;
    match accept_queue(address) {
        Some(queue) => Ok(queue.capacity),
        None => connected_clients(address, backlog, Deadline::after(LIMIT)),
    }
}

fn open_listener(backlog: u32) -> io::Result<(Socket, SocketAddr)> {
    let listener = bind_socket()?;
    listener.listen(backlog.try_into().unwrap_or(i32::MAX))?;
    let address = socket_address(&listener)?;
    Ok((listener, address))
}

fn bind_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket)
}

fn socket_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| ErrorKind::InvalidData.into())
}

/// How many clients get a connection that nobody accepts, at most `most`. They stay until the last
/// has connected, and leave nothing in TIME_WAIT.
fn connected_clients(address: SocketAddr, most: u32, deadline: Deadline) -> Result<u32, String> {
    let mut clients = Vec::new();
    for number in 0..most {
        if deadline.is_over() {
            return Err(format!("{number} clients wait, and more were not tried in {LIMIT:?}"));
        }
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|client| {
            client.set_linger(Some(Duration::ZERO))?;
            client.connect_timeout(&address.into(), ANSWER_LIMIT).map(|()| client)
        });
        match client {
            Ok(client) => clients.push(client),
            Err(error) if is_turned_away(&error) => return Ok(number),
            Err(error) => return Err(format!("{number} clients wait, and then: {error}")),
        }
    }
    Ok(most)
}

/// Whether a full queue causes this error: no answer, or a reset.
fn is_turned_away(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}

fn is_established_at_once() -> io::Result<bool> {
    let (_listener, address) = open_listener(1)?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.set_nonblocking(true)?;
    // The result does not matter: Linux returns EINPROGRESS.
    let _ = client.connect(&address.into());
    wait(&client, Interest::Write, Duration::ZERO).map_err(|_| io::Error::other("poll failed"))
}

/// Microseconds until a connect is refused. Windows tries twice more before it reports the refusal.
fn refused_us() -> Result<u32, String> {
    // The port is bound but nobody listens there, so no other program can take it.
    let nobody = bind_socket().map_err(trial_failure)?;
    let address: SockAddr = socket_address(&nobody).map_err(trial_failure)?.into();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(trial_failure)?;
    let start = Instant::now();
    match client.connect_timeout(&address, ANSWER_LIMIT) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(elapsed_us(start)),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            Err(format!("a connect was not refused within {ANSWER_LIMIT:?}"))
        }
        Err(error) => Err(trial_failure(error)),
        Ok(()) => Err("a connect to a port at which nobody listens succeeded".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_on_this_host_ends_soon() {
        let start = Instant::now();
        let tried = all();
        // An idle Linux host takes 1/100 of that.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}: {tried:?}", start.elapsed());
        assert!(tried.accept_queue.seen().is_some_and(|room| *room > 0), "{tried:?}");
        assert!(tried.udp_longest.seen().is_some_and(|longest| *longest >= 1500), "{tried:?}");
        assert!(tried.sleep_us.seen().is_some_and(|time| *time >= 1000), "{tried:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_establishes_and_refuses_at_once() {
        assert!(is_established_at_once().unwrap());
        assert!(refused_us().is_ok());
    }

    /// As on a system that does not report the capacity of a queue.
    #[test]
    fn a_queue_is_measured_by_the_clients_that_it_takes() {
        let (_listener, address) = open_listener(5).unwrap();
        let taken = connected_clients(address, 100, Deadline::after(LIMIT)).unwrap();
        assert!((5..=8).contains(&taken), "{taken}");
        let (_listener, address) = open_listener(20).unwrap();
        assert_eq!(connected_clients(address, 3, Deadline::after(LIMIT)), Ok(3));
        let over = connected_clients(address, 3, Deadline::after(Duration::ZERO)).unwrap_err();
        assert!(over.contains("not tried"), "{over}");
    }
}
