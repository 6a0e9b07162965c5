//! What a message costs the generator itself, found by loading an echo that does nothing else, in a
//! thread of this program: it says what the generator could drive on this host.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use report::Transport;
use report::load::{Amount, Arrival, Target, Validity, Workload};

use crate::affinity::pin;
use crate::load::Load;
use crate::run::run;

/// How long it is measured, in seconds.
const SECONDS: f64 = 0.5;
const WARMUP_SECONDS: f64 = 0.1;
const BUFFER_BYTES: usize = 256 * 1024;
const LISTENER: Token = Token(usize::MAX);

/// An echo in a thread, for a client that reads what it is sent: it keeps nothing that does not fit
/// into the client's socket, and closes the connection instead.
struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// CPU time of the generator for a message, in nanoseconds, against such an echo, which it loads as
/// `load` would a server, in a closed loop over TCP. The echo runs on `server_cpus`.
///
/// # Errors
/// A sentence that says why it cannot be told.
pub fn generator_ns(
    load: &Load,
    server_cpus: &[usize],
    interrupted: &AtomicBool,
) -> anyhow::Result<f64> {
    if load.workload.target.transport != Transport::Tcp || load.workload.churn {
        bail!("it is measured for connections over TCP that last");
    }
    let echo = Echo::start(server_cpus.to_vec())?;
    let workload = Workload {
        target: Target { transport: Transport::Tcp, address: echo.address.to_string().into() },
        arrival: Arrival::Closed,
        idle_connections: 0,
        warmup_seconds: WARMUP_SECONDS,
        amount: Amount::Seconds(SECONDS),
        ..load.workload.clone()
    };
    let measurement = run(&Load { workload, ..load.clone() }, &mut (), interrupted)?.measurement;
    // A saturated generator is what is looked for here; anything else that is wrong is not.
    if let Validity::Invalid { reasons } = &measurement.validity
        && measurement.error_count() > 0
    {
        bail!("{}", report::Outside::join(reasons, "; ").on_terminal());
    }
    measurement.generator_ns().context("this system does not tell a thread's CPU time")
}

impl Echo {
    fn start(cpus: Vec<usize>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            pin(&cpus).map_err(io::Error::other)?;
            serve(listener, &stopped)
        });
        Ok(Self { address, stop, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What went wrong there has shown as an error of the load.
            let _ = thread.join();
        }
    }
}

fn serve(mut listener: TcpListener, stop: &AtomicBool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events = Events::with_capacity(512);
    while !stop.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(Duration::from_millis(50))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) | Ok(()) => {}
        }
        for event in events.iter() {
            if event.token() == LISTENER {
                while let Ok((mut client, _)) = listener.accept() {
                    let token = Token(clients.len());
                    client.set_nodelay(true)?;
                    poll.registry().register(&mut client, token, Interest::READABLE)?;
                    clients.push(Some(client));
                }
            } else if let Some(place) = clients.get_mut(event.token().0)
                && let Some(client) = place
                && !echo(client, &mut buffer)
            {
                *place = None;
            }
        }
    }
    Ok(())
}

/// Sends back what is there. Says whether the connection goes on.
fn echo(client: &mut TcpStream, buffer: &mut [u8]) -> bool {
    loop {
        match client.read(buffer) {
            Ok(0) => return false,
            Ok(n) => {
                if !matches!(client.write(&buffer[..n]), Ok(sent) if sent == n) {
                    return false;
                }
                if cfg!(unix) && n < buffer.len() {
                    return true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}
