//! Tries how long datagrams may be, how many can wait, and what a full queue returns. The sockets
//! have the default buffers that a program gets if it sets none.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use report::sockets::{ProbeResult, Sockets};

use super::answer::trial_failure;
use crate::deadline::Deadline;

/// How long a datagram may take to arrive. On Linux it has arrived when the call returns.
const ARRIVAL_LIMIT: Duration = Duration::from_millis(20);
/// Bytes of a short datagram, as in the cases with many clients.
const SHORT_BYTES: usize = 512;

pub(super) fn all(deadline: Deadline) -> Sockets {
    Sockets {
        udp_longest: udp_longest(deadline).into(),
        udp_waiting: udp_waiting().map_err(trial_failure).into(),
        unixgram_longest: unix::longest_datagram(deadline),
        unixgram_unread: unix::unread(),
        full_unix: unix::full_listener(),
        full_unixgram: unix::full_receiver(deadline),
        ..Sockets::default()
    }
}

fn udp_pair() -> io::Result<(UdpSocket, UdpSocket)> {
    let [sender, receiver] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
    let (sender, receiver) = (sender?, receiver?);
    sender.connect(receiver.local_addr()?)?;
    receiver.connect(sender.local_addr()?)?;
    receiver.set_read_timeout(Some(ARRIVAL_LIMIT))?;
    Ok((sender, receiver))
}

fn udp_longest(deadline: Deadline) -> Result<u32, String> {
    let (sender, receiver) = udp_pair().map_err(trial_failure)?;
    longest(Sockets::UDP_MAX_BYTES, deadline, |bytes, buffer| {
        sender.send(bytes).and_then(|_| receiver.recv(buffer)).is_ok_and(|came| came == bytes.len())
    })
}

/// How many of [`Sockets::WAITING_DATAGRAMS`] short datagrams are waiting after the last was
/// sent.
fn udp_waiting() -> io::Result<u32> {
    let (sender, receiver) = udp_pair()?;
    for _ in 0..Sockets::WAITING_DATAGRAMS {
        sender.send(&[0; SHORT_BYTES])?;
    }
    let mut buffer = [0; SHORT_BYTES];
    let came = (0..Sockets::WAITING_DATAGRAMS).take_while(|_| receiver.recv(&mut buffer).is_ok());
    Ok(u32::try_from(came.count()).unwrap_or(u32::MAX))
}

/// The longest datagram of at most `most` bytes that arrives whole.
fn longest(
    most: u32,
    deadline: Deadline,
    comes_through: impl Fn(&[u8], &mut [u8]) -> bool,
) -> Result<u32, String> {
    let mut buffer = vec![0; most as usize];
    let bytes = buffer.clone();
    let mut comes = |length: u32| comes_through(&bytes[..length as usize], &mut buffer);
    if comes(most) {
        return Ok(most);
    }
    let (mut comes_whole, mut does_not) = (0, most);
    while does_not - comes_whole > 1 {
        if deadline.is_over() {
            return Err(format!("longer than {comes_whole} bytes were not tried in time"));
        }
        let length = comes_whole.midpoint(does_not);
        if comes(length) { comes_whole = length } else { does_not = length }
    }
    if comes_whole == 0 { Err("no datagram comes through".to_owned()) } else { Ok(comes_whole) }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::net::UnixDatagram;

    use report::Outside;
    use rustix::io::Errno;
    use socket2::{Domain, SockAddr, Socket, Type};

    use super::{Deadline, ProbeResult, SHORT_BYTES, Sockets, io, longest, trial_failure};
    use crate::scratch::Scratch;

    pub(super) fn longest_datagram(deadline: Deadline) -> ProbeResult<u32> {
        let found = pair().map_err(trial_failure).and_then(|(sender, receiver)| {
            longest(Sockets::UNIXGRAM_MAX_BYTES, deadline, |bytes, buffer| {
                let came = sender.send(bytes).and_then(|_| receiver.recv(buffer));
                came.is_ok_and(|came| came == bytes.len())
            })
        });
        found.into()
    }

    /// How many short datagrams one socket can send, to a receiver each, while none is read.
    pub(super) fn unread() -> ProbeResult<u32> {
        try_unread().map_err(trial_failure).into()
    }

    fn try_unread() -> io::Result<u32> {
        let scratch = Scratch::new()?;
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        let mut receivers = Vec::new();
        for number in 0..Sockets::WAITING_DATAGRAMS {
            let path = scratch.path().join(number.to_string());
            receivers.push(UnixDatagram::bind(&path)?);
            if sender.send_to(&[0; SHORT_BYTES], &path).is_err() {
                return Ok(number);
            }
        }
        Ok(Sockets::WAITING_DATAGRAMS)
    }

    fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (sender, receiver) = UnixDatagram::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok((sender, receiver))
    }

    /// The error that a nonblocking sender gets once the receiver's queue is full.
    pub(super) fn full_receiver(deadline: Deadline) -> ProbeResult<Outside> {
        let found = pair().map_err(trial_failure).and_then(|(sender, _receiver)| {
            loop {
                match sender.send(&[0; SHORT_BYTES]) {
                    Err(error) => return Ok(name(&error)),
                    Ok(_) if deadline.is_over() => {
                        return Err("a queue did not get full in time".to_owned());
                    }
                    Ok(_) => {}
                }
            }
        });
        found.into()
    }

    /// The error that a nonblocking client gets from a listener whose queue is full.
    pub(super) fn full_listener() -> ProbeResult<Outside> {
        /// Some systems let a few more clients wait than the backlog says.
        const CLIENTS: usize = 16;
        let found = (|| {
            let scratch = Scratch::new().map_err(trial_failure)?;
            let address = SockAddr::unix(scratch.path().join("s")).map_err(trial_failure)?;
            let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).map_err(trial_failure);
            let listener = socket()?;
            listener.bind(&address).and_then(|()| listener.listen(1)).map_err(trial_failure)?;
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                let client = socket()?;
                client.set_nonblocking(true).map_err(trial_failure)?;
                match client.connect(&address) {
                    Ok(()) => clients.push(client),
                    Err(error) => return Ok(name(&error)),
                }
            }
            Err(format!("a queue for 1 took {CLIENTS} clients"))
        })();
        found.into()
    }

    fn name(error: &io::Error) -> Outside {
        match Errno::from_io_error(error) {
            Some(Errno::AGAIN) => "EAGAIN".into(),
            Some(Errno::CONNREFUSED) => "ECONNREFUSED".into(),
            Some(Errno::NOBUFS) => "ENOBUFS".into(),
            Some(_) | None => error.to_string().into(),
        }
    }
}

#[cfg(not(unix))]
mod unix {
    use report::Outside;

    use super::{Deadline, ProbeResult};

    pub(super) fn longest_datagram(_: Deadline) -> ProbeResult<u32> {
        none()
    }

    pub(super) fn unread() -> ProbeResult<u32> {
        none()
    }

    pub(super) fn full_receiver(_: Deadline) -> ProbeResult<Outside> {
        none()
    }

    pub(super) fn full_listener() -> ProbeResult<Outside> {
        none()
    }

    fn none<T>() -> ProbeResult<T> {
        ProbeResult::Unknown("the standard library has no Unix sockets here".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(1))
    }

    #[test]
    fn the_longest_is_found_to_the_byte() {
        for limit in [1, 2048, 9216, 65_506, 65_507] {
            let found = longest(65_507, soon(), |bytes, _| bytes.len() <= limit as usize);
            assert_eq!(found, Ok(limit));
        }
        assert!(longest(65_507, soon(), |_, _| false).is_err());
        let over = Deadline::after(Duration::ZERO);
        assert!(longest(65_507, over, |bytes, _| bytes.len() < 9).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_takes_the_longest_and_says_again() {
        let tried = all(soon());
        assert_eq!(tried.udp_longest, ProbeResult::Seen(Sockets::UDP_MAX_BYTES));
        assert_eq!(tried.udp_waiting, ProbeResult::Seen(Sockets::WAITING_DATAGRAMS));
        assert_eq!(tried.unixgram_longest, ProbeResult::Seen(Sockets::UNIXGRAM_MAX_BYTES));
        assert_eq!(tried.unixgram_unread, ProbeResult::Seen(Sockets::WAITING_DATAGRAMS));
        assert_eq!(tried.full_unix, ProbeResult::Seen("EAGAIN".into()));
        assert_eq!(tried.full_unixgram, ProbeResult::Seen("EAGAIN".into()));
    }
}
