//! Tries what the kernel does with connections, where systems differ. Everything stays on the
//! loopback interface, and every wait has a limit.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use report::sockets::{Sockets, Tried};
use socket2::{Domain, SockAddr, Socket, Type};

use super::answer::words;
use super::timers::since;
use super::{at_limit, datagrams, timers};
use crate::accept_queue::accept_queue;
use crate::deadline::Deadline;
use crate::wait::{Interest, wait};

/// How long a client that finds no room, or nobody, is waited for.
const NO_ANSWER: Duration = Duration::from_millis(50);
/// What all trials of a kind take at most, on a host that is not Linux.
const LIMIT: Duration = Duration::from_secs(1);

/// Each trial once.
pub(super) fn all() -> Sockets {
    Sockets {
        accept_queue: accept_queue_room(Sockets::BACKLOG).into(),
        accept_at_limit: at_limit::accept(),
        established_at_once: is_established_at_once().map_err(words).into(),
        refused_us: refused_us().into(),
        sleep_us: Tried::Seen(timers::sleep_us()),
        timeout_us: timers::timeout_us().map_err(words).into(),
        ..datagrams::all(Deadline::after(LIMIT))
    }
}

/// How many clients a listener lets wait that asks for `backlog`: as the kernel says of it, or else
/// as many as connect.
fn accept_queue_room(backlog: u32) -> Result<u32, String> {
    let (_listener, address) = listening(backlog).map_err(words)?;
    match accept_queue(address) {
        Some(queue) => Ok(queue.room),
        None => connected_clients(address, backlog, Deadline::after(LIMIT)),
    }
}

fn listening(backlog: u32) -> io::Result<(Socket, SocketAddr)> {
    let listener = bound()?;
    listener.listen(backlog.try_into().unwrap_or(i32::MAX))?;
    let address = socket_address(&listener)?;
    Ok((listener, address))
}

fn bound() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket)
}

fn socket_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| ErrorKind::InvalidData.into())
}

/// How many clients get a connection that nobody accepts, `most` at most. They stay until the last
/// has come, and leave nothing in TIME_WAIT.
fn connected_clients(address: SocketAddr, most: u32, deadline: Deadline) -> Result<u32, String> {
    let mut clients = Vec::new();
    for number in 0..most {
        if deadline.is_over() {
            return Err(format!("{number} clients wait, and more were not tried in {LIMIT:?}"));
        }
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|client| {
            client.set_linger(Some(Duration::ZERO))?;
            client.connect_timeout(&address.into(), NO_ANSWER).map(|()| client)
        });
        match client {
            Ok(client) => clients.push(client),
            Err(error) if is_turned_away(&error) => return Ok(number),
            Err(error) => return Err(format!("{number} clients wait, and then: {error}")),
        }
    }
    Ok(most)
}

/// What a full queue looks like: silence, or a reset.
fn is_turned_away(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}

fn is_established_at_once() -> io::Result<bool> {
    let (_listener, address) = listening(1)?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.set_nonblocking(true)?;
    // What it says does not matter: Linux says that it is in progress.
    let _ = client.connect(&address.into());
    wait(&client, Interest::Write, Duration::ZERO).map_err(|_| io::Error::other("poll failed"))
}

/// Windows asks twice more before it believes it.
fn refused_us() -> Result<u32, String> {
    // A port that is bound, and at which nobody listens: it cannot become somebody else's.
    let nobody = bound().map_err(words)?;
    let address: SockAddr = socket_address(&nobody).map_err(words)?.into();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(words)?;
    let start = Instant::now();
    match client.connect_timeout(&address, NO_ANSWER) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(since(start)),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            Err(format!("a connect was not refused within {NO_ANSWER:?}"))
        }
        Err(error) => Err(words(error)),
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
        // An idle Linux host takes a hundredth of that.
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

    /// As on a system that does not tell the room of a queue.
    #[test]
    fn a_queue_is_measured_by_the_clients_that_it_takes() {
        let (_listener, address) = listening(5).unwrap();
        let taken = connected_clients(address, 100, Deadline::after(LIMIT)).unwrap();
        assert!((5..=8).contains(&taken), "{taken}");
        let (_listener, address) = listening(20).unwrap();
        assert_eq!(connected_clients(address, 3, Deadline::after(LIMIT)), Ok(3));
        let over = connected_clients(address, 3, Deadline::after(Duration::ZERO)).unwrap_err();
        assert!(over.contains("not tried"), "{over}");
    }
}
