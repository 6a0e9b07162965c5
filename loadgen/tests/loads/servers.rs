//! Echo servers of known behaviour, each a thread that blocks: what the generator is tested with.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What a server does with the bytes that it has just read, and that it is about to echo. It is
/// given the number of reads before this one, over all connections.
pub(crate) type Deed = dyn Fn(&mut TcpStream, &mut Vec<u8>, u64) -> After + Send + Sync;

/// What follows a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The bytes are echoed.
    Echo,
    /// The connection ends.
    Close,
}

/// A server with a thread for each connection; it ends with the test.
pub(crate) fn tcp(
    deed: impl Fn(&mut TcpStream, &mut Vec<u8>, u64) -> After + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let deed: Arc<Deed> = Arc::new(deed);
    let reads = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (deed, reads) = (Arc::clone(&deed), Arc::clone(&reads));
            thread::spawn(move || serve(stream.expect("a client"), &deed, &reads));
        }
    });
    address
}

/// One that is right.
pub(crate) fn echo() -> SocketAddr {
    tcp(|_, _, _| After::Echo)
}

fn serve(mut stream: TcpStream, deed: &Arc<Deed>, reads: &AtomicU64) {
    stream.set_nodelay(true).expect("an option of TCP");
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 {
            return;
        }
        let mut bytes = buffer[..n].to_vec();
        let number = reads.fetch_add(1, Ordering::SeqCst);
        if deed(&mut stream, &mut bytes, number) == After::Close
            || stream.write_all(&bytes).is_err()
        {
            return;
        }
    }
}

/// A UDP server that answers a datagram so many times, as `times` says for its number.
pub(crate) fn udp(times: impl Fn(u64) -> usize + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        for number in 0.. {
            let (n, from) = socket.recv_from(&mut buffer).expect("a datagram");
            for _ in 0..times(number) {
                // The client may be gone.
                let _ = socket.send_to(&buffer[..n], from);
            }
        }
    });
    address
}

/// A server on a Unix path, which is right.
#[cfg(unix)]
pub(crate) fn unix(path: &std::path::Path) {
    let listener = std::os::unix::net::UnixListener::bind(path).expect("a path");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            thread::spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(n) = stream.read(&mut buffer) {
                    if n == 0 || stream.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}
