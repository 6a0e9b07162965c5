//! Echo server without a runtime: one thread per connection, which blocks in `read` and `write`.

mod connection;
mod datagrams;
mod loops;
mod transport;

use std::sync::Arc;
use std::thread;

use common::{
    Backend, Capability, Context, Drained, Driver, Flavor, Recovery, ServeError, Sockets,
    Transport, Work, Workers, block_on,
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
        about: "One thread accepts, and starts one thread per connection",
        workers: Workers::One,
        serve: thread_per_connection,
    }],
    transports: &Transport::ALL,
    // A thread that computes holds up no other client. But a blocking call cannot be cancelled.
    capabilities: &[Capability::Cpu],
    probe: |_| Ok(()),
};

/// Enough for an echo, whose buffer is on the heap. The default of 2 MiB is only address space, but
/// thousands of such stacks may exceed a limit of the process.
const STACK_BYTES: usize = 128 * 1024;

fn main() {
    common::run(&BACKEND)
}

fn thread_per_connection(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    let connections = Arc::new(Connections::default());
    let mut loops = Loops::new();
    let server = |work| Server { work, connections: connections.clone(), context: context.clone() };
    for common::Listener { socket, work } in sockets.tcp {
        socket.set_nonblocking(false)?;
        let server = server(work);
        loops.start("tcp", Listener::Tcp(socket), move |tcp| server.accept_loop(tcp))?;
    }
    for socket in sockets.udp {
        socket.set_nonblocking(false)?;
        let context = context.clone();
        loops.start("udp", socket, move |udp| datagrams::echo(udp, &context))?;
    }
    #[cfg(unix)]
    for listener in sockets.unix {
        listener.set_nonblocking(false)?;
        let server = server(None);
        loops.start("unix", Listener::Unix(listener), move |unix| server.accept_loop(unix))?;
    }
    #[cfg(unix)]
    for socket in sockets.unixgram {
        socket.set_nonblocking(false)?;
        let context = context.clone();
        loops.start("unixgram", socket, move |unix| datagrams::echo(unix, &context))?;
    }
    context.announce();
    block_on(context.stopped());
    // First the clients: waking a loop may need a descriptor that a client gives back.
    connections.finish();
    loops.end();
    Ok(block_on(context.drained()))
}

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
                // This is how the stop ends the wait of some listeners.
                Err(_) if self.context.stopping() => break,
                Err(error) => match self.context.after_accept_error(&error) {
                    Recovery::Retry => {}
                    Recovery::BackOff(pause) => thread::sleep(pause),
                    Recovery::Fatal => return,
                },
            }
        }
        self.serve_queue(listener);
    }

    /// Serves the clients in the accept queue: closing the listener would reset them.
    fn serve_queue(&self, listener: &Listener) {
        if listener.set_nonblocking(true).is_err() {
            return;
        }
        for stream in self.context.accept_queued(|| listener.accept()) {
            // Except on Linux, an accepted socket inherits O_NONBLOCK from its listener.
            if stream.set_nonblocking(false).is_ok() {
                self.serve(stream);
            }
        }
    }

    fn serve(&self, stream: Stream) {
        let counted = self.context.count_connection();
        let peer = Arc::new(Peer::new(stream));
        let entry = self.connections.enter(&peer);
        let (work, context) = (self.work, self.context.clone());
        let echo = move || {
            let result = peer.echo(work, &context);
            drop(entry);
            counted.ended(result);
        };
        let thread = thread::Builder::new().name("connection".to_owned()).stack_size(STACK_BYTES);
        // On an error, the client is dropped with the closure.
        if let Err(error) = thread.spawn(echo) {
            thread::sleep(self.context.after_spawn_error(&error));
        }
    }
}
