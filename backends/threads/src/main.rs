//! Echo server without a runtime: a thread for each connection, asleep in the call that waits.

mod connection;
mod datagrams;
mod loops;
mod transport;

use std::{sync::Arc, thread};

use common::{
    AcceptError, BACKLOG, Backend, Capability, Context, Drained, Driver, Flavor, Listeners,
    ServeError, Transport, Work, Workers, block_on, classify,
};

use connection::{Connections, Peer};
use loops::Loops;
use transport::{Listener, Stream};

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
    transports: &Transport::ALL,
    // A thread that computes holds up nobody. But nothing ends a call that waits.
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
    let mut loops = Loops::new();
    let server = |work| Server { work, connections: connections.clone(), context: context.clone() };
    for common::Listener { socket, work } in listeners.tcp {
        socket.set_nonblocking(false)?;
        let server = server(work);
        loops.start("tcp", Listener::Tcp(socket), move |tcp| server.accept_loop(tcp))?;
    }
    for socket in listeners.udp {
        socket.set_nonblocking(false)?;
        let context = context.clone();
        loops.start("udp", socket, move |udp| datagrams::echo(udp, &context))?;
    }
    #[cfg(unix)]
    for listener in listeners.unix {
        listener.set_nonblocking(false)?;
        let server = server(None);
        loops.start("unix", Listener::Unix(listener), move |unix| server.accept_loop(unix))?;
    }
    #[cfg(unix)]
    for socket in listeners.unixgram {
        socket.set_nonblocking(false)?;
        let context = context.clone();
        loops.start("unixgram", socket, move |unix| datagrams::echo(unix, &context))?;
    }
    context.ready();
    block_on(context.stop());
    // First, as waking a loop may need a descriptor that a client gives back.
    connections.finish();
    loops.end();
    Ok(block_on(context.drained()))
}

/// What an accept loop needs to serve.
struct Server {
    work: Option<Work>,
    connections: Arc<Connections>,
    context: Context,
}

impl Server {
    fn accept_loop(&self, listener: &Listener) {
        while !self.context.stopping() {
            match listener.accept() {
                Ok(stream) => self.serve(stream),
                // How the wait of some listeners is ended.
                Err(_) if self.context.stopping() => break,
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
    fn serve_queue(&self, listener: &Listener) {
        if listener.set_nonblocking(true).is_err() {
            return;
        }
        for _ in 0..=BACKLOG {
            match listener.accept() {
                // What is accepted blocks or not as its listener does, but for Linux.
                Ok(stream) if stream.set_nonblocking(false).is_ok() => self.serve(stream),
                Ok(_) => {}
                Err(error) if classify(&error) == AcceptError::Retry => {}
                Err(_) => break,
            }
        }
    }

    fn serve(&self, stream: Stream) {
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
