//! Blocking echo servers of known behaviour, with which the generator is tested.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What a server does with the bytes that it has just read, before it echoes them. The number is
/// that of the reads before this one, over all connections.
pub(crate) type Behaviour = dyn Fn(&mut TcpStream, &mut Vec<u8>, u64) -> Action + Send + Sync;

/// What the server does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Echo,
    Close,
}

/// Starts a server with one thread per connection. It ends with the test.
pub(crate) fn tcp(
    behaviour: impl Fn(&mut TcpStream, &mut Vec<u8>, u64) -> Action + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let behaviour: Arc<Behaviour> = Arc::new(behaviour);
    let reads = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (behaviour, reads) = (Arc::clone(&behaviour), Arc::clone(&reads));
            thread::spawn(move || serve(stream.expect("a client"), &behaviour, &reads));
        }
    });
    address
}

/// Starts a correct server.
pub(crate) fn echo() -> SocketAddr {
    tcp(|_, _, _| Action::Echo)
}

fn serve(mut stream: TcpStream, behaviour: &Arc<Behaviour>, reads: &AtomicU64) {
    stream.set_nodelay(true).expect("an option of TCP");
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 {
            return;
        }
        let mut bytes = buffer[..n].to_vec();
        let number = reads.fetch_add(1, Ordering::SeqCst);
        if behaviour(&mut stream, &mut bytes, number) == Action::Close
            || stream.write_all(&bytes).is_err()
        {
            return;
        }
    }
}

/// Starts a UDP server that answers datagram number `n`, counted from 0, `times(n)` times.
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

/// Starts a correct server on a Unix path.
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
