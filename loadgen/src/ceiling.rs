//! The CPU time per message of the generator itself, which says how much it can drive on this host.
//! It is measured with an echo server that does nothing else, in a thread of this program.

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

/// Length of the measured part.
const SECONDS: f64 = 0.5;
const WARMUP_SECONDS: f64 = 0.1;
const BUFFER_BYTES: usize = 256 * 1024;
const LISTENER: Token = Token(usize::MAX);

/// An echo server in a thread. If an echo does not fit into the socket, the server closes the
/// connection instead of keeping the rest, so the client must read what it is sent.
struct EchoServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Measures the generator's CPU time per message, in nanoseconds, against an echo server that runs
/// on `server_cpus`. The workload is that of `load`, but in a closed loop and without idle
/// connections.
///
/// # Errors
/// The workload is not one of lasting TCP connections, the load failed, or the system does not
/// report a thread's CPU time.
pub fn generator_ns(
    load: &Load,
    server_cpus: &[usize],
    interrupted: &AtomicBool,
) -> anyhow::Result<f64> {
    if load.workload.target.transport != Transport::Tcp || load.workload.churn {
        bail!("it is measured for connections over TCP that last");
    }
    let echo = EchoServer::start(server_cpus.to_vec())?;
    let workload = Workload {
        target: Target { transport: Transport::Tcp, address: echo.address.to_string().into() },
        arrival: Arrival::Closed,
        idle_connections: 0,
        warmup_seconds: WARMUP_SECONDS,
        amount: Amount::Seconds(SECONDS),
        ..load.workload.clone()
    };
    let measurement = run(&Load { workload, ..load.clone() }, &mut (), interrupted)?.measurement;
    // Saturation is what this load is for, although it makes the measurement invalid. Errors are
    // not.
    if let Validity::Invalid { reasons } = &measurement.validity
        && measurement.error_count() > 0
    {
        bail!("{}", report::Outside::join(reasons, "; ").on_terminal());
    }
    measurement.generator_ns().context("this system does not tell a thread's CPU time")
}

impl EchoServer {
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

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If the thread failed, that has shown as an error of the load.
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

/// Echoes what has arrived. Returns whether the connection stays open.
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
