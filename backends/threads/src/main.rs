//! Echo server without a runtime: a thread for each connection, asleep in the call that waits.

mod connection;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use common::{
    AcceptError, Backend, Capability, Context, Drained, Driver, Flavor, Listener, Listeners,
    ServeError, Transport, Work, Workers, block_on,
};

use connection::{Connections, Peer};

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "std",
    drivers: &[Driver::Threads],
    flavors: &[Flavor {
        name: "thread-per-connection",
        about: "A thread accepts, and starts one for each client",
        workers: Workers::One,
        serve: thread_per_connection,
    }],
    // A thread that computes holds up nobody. But nothing ends a call that waits.
    transports: &[Transport::Tcp],
    capabilities: &[Capability::Cpu],
    probe: |_| Ok(()),
};

/// Enough for an echo, whose buffer is on the heap; 2 MiB, the default, is address space alone,
/// but thousands of them may be more than a process is granted.
const STACK_BYTES: usize = 128 * 1024;

fn main() {
    common::run(&BACKEND)
}

fn thread_per_connection(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let connections = Arc::new(Connections::default());
    let mut accept_loops = Vec::new();
    for Listener { socket, work } in listeners.tcp {
        socket.set_nonblocking(false)?;
        let address = reachable(socket.local_addr()?);
        let server =
            Server { work, connections: Arc::clone(&connections), context: context.clone() };
        let accept_loop = move || server.accept_loop(&socket);
        let accept_loop =
            thread::Builder::new().name(format!("accept-{address}")).spawn(accept_loop)?;
        accept_loops.push((accept_loop, address));
    }
    context.ready();
    block_on(context.stop());
    for (accept_loop, address) in accept_loops {
        // A client of our own ends the call that waits for one. It may find no descriptor, or the
        // loop in its pause after an error.
        while !accept_loop.is_finished() {
            drop(TcpStream::connect(address));
            thread::sleep(Duration::from_millis(5));
        }
    }
    connections.finish();
    Ok(block_on(context.drained()))
}

/// An address by which this host reaches a listener on `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

/// What an accept loop needs to serve.
struct Server {
    work: Option<Work>,
    connections: Arc<Connections>,
    context: Context,
}

impl Server {
    fn accept_loop(&self, listener: &TcpListener) {
        while !self.context.stopping() {
            match listener.accept() {
                Ok((stream, _)) => self.serve(stream),
                Err(error) => match self.context.accept_error(&error) {
                    AcceptError::Retry => {}
                    AcceptError::BackOff(pause) => thread::sleep(pause),
                    AcceptError::Fatal => return self.context.fail(),
                },
            }
        }
        self.serve_queue(listener);
    }

    /// Serves the clients in the accept queue, which closing the listener would reset.
    fn serve_queue(&self, listener: &TcpListener) {
        if listener.set_nonblocking(true).is_err() {
            return;
        }
        for _ in 0..=common::BACKLOG {
            match listener.accept() {
                // What is accepted blocks or not as its listener does, but for Linux.
                Ok((stream, _)) if stream.set_nonblocking(false).is_ok() => self.serve(stream),
                Ok(_) => {}
                Err(error) if common::classify(&error) == AcceptError::Retry => {}
                Err(_) => break,
            }
        }
    }

    fn serve(&self, stream: TcpStream) {
        let counted = self.context.connection();
        let peer = Arc::new(Peer::new(stream));
        let entry = self.connections.enter(&peer);
        let (work, context) = (self.work, self.context.clone());
        let echo = move || {
            let result = peer.echo(work, &context);
            drop(entry);
            counted.ended(result);
        };
        let thread = thread::Builder::new().name("connection".to_owned()).stack_size(STACK_BYTES);
        // The client was dropped with what the thread would have been given.
        if let Err(error) = thread.spawn(echo)
            && let AcceptError::BackOff(pause) = self.context.accept_error(&error)
        {
            thread::sleep(pause);
        }
    }
}
