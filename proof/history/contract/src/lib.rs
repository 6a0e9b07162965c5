//! The part of docs/CONTRACT.md that the servers in this folder need: options, announcement, exit
//! statuses. SIGTERM ends a server by default, unless the server handles it.

use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// What a server announces about itself.
pub struct Row {
    pub runtime: &'static str,
    /// `readiness` or `completion`.
    pub model: &'static str,
    pub driver: &'static str,
    pub flavor: &'static str,
    /// Number of threads that do I/O.
    pub workers: usize,
}

/// What the command line asks for, with its listeners open.
pub struct Asked {
    row: Row,
    offer: Offer,
    listener: TcpListener,
    cpu: Option<Cpu>,
    cancel_accept: Option<Duration>,
}

/// A listener on which each message costs CPU time, which must not block the other clients.
struct Cpu {
    listener: TcpListener,
    work: Duration,
}

/// The capability that a server offers in addition to TCP.
#[derive(Clone, Copy, PartialEq)]
enum Offer {
    Cancel,
    Cpu,
}

/// What a thread that does I/O receives.
pub struct Worker {
    /// A duplicate of the listener, in blocking mode.
    pub listener: TcpListener,
    /// How long an accept may wait before it is cancelled.
    pub cancel_accept: Duration,
    /// To report that this worker can accept.
    pub ready: Ready,
}

/// Reports that a worker can accept.
#[derive(Clone)]
pub struct Ready(Sender<()>);

impl Row {
    /// Reads the command line and listens. Ends the process where the contract requires it.
    pub fn asked(self) -> Asked {
        self.read(Offer::Cancel)
    }

    /// Like [`Row::asked`], for a server with the capability `cpu` instead of `cancel`.
    pub fn asked_with_cpu(self) -> Asked {
        self.read(Offer::Cpu)
    }

    fn read(self, offer: Offer) -> Asked {
        let mut tcp = String::new();
        let mut cpu = None;
        let mut work = Duration::from_millis(100);
        let mut cancel_accept = None;
        let mut arguments = env::args().skip(1);
        while let Some(option) = arguments.next() {
            if option == "--stop-on-stdin-eof" {
                continue;
            }
            let value = arguments.next().unwrap_or_default();
            match option.as_str() {
                "--listen" if offer == Offer::Cpu && value.starts_with("cpu:") => cpu = Some(value),
                "--listen" if value.starts_with("tcp:") => tcp = value,
                "--listen" => refuse(&value),
                "--cpu-work" => match milliseconds(&value) {
                    Some(time) => work = time,
                    None => end(2, &format!("{value} is no time in milliseconds")),
                },
                "--cancel" => match value.strip_prefix("accept=").and_then(milliseconds) {
                    Some(limit) => cancel_accept = Some(limit),
                    None => refuse(&value),
                },
                "--capability" if value != offer.name() => refuse(&value),
                "--announce" | "--buffer" | "--capability" | "--drain" | "--driver"
                | "--flavor" | "--workers" => {}
                _ => end(2, &format!("unknown option {option}")),
            }
        }
        let listen = |asked: &str| match listen(asked.split_once(':').map_or("", |(_, at)| at)) {
            Ok(listener) => listener,
            Err(error) => end(1, &format!("listen on {asked}: {error}")),
        };
        let listener = listen(&tcp);
        let cpu = cpu.map(|asked| Cpu { listener: listen(&asked), work });
        Asked { row: self, offer, listener, cpu, cancel_accept }
    }
}

impl Offer {
    fn name(self) -> &'static str {
        match self {
            Offer::Cancel => "cancel",
            Offer::Cpu => "cpu",
        }
    }
}

impl Asked {
    /// The listener, in non-blocking mode.
    pub fn listener(&self) -> io::Result<TcpListener> {
        self.listener.set_nonblocking(true)?;
        self.listener.try_clone()
    }

    /// The listener on which each message costs this much CPU time, in non-blocking mode.
    pub fn cpu_listener(&self) -> io::Result<Option<(TcpListener, Duration)>> {
        let Some(Cpu { listener, work }) = &self.cpu else { return Ok(None) };
        listener.set_nonblocking(true)?;
        Ok(Some((listener.try_clone()?, *work)))
    }

    /// The announcement, one line of JSON.
    pub fn announcement(&self) -> String {
        let Row { runtime, model, driver, flavor, workers } = &self.row;
        let named = |kind: &str, listener: &TcpListener| {
            format!("\"{kind}:{}\"", listener.local_addr().expect("a listener has an address"))
        };
        let cpu = self.cpu.as_ref().map(|cpu| format!(",{}", named("cpu", &cpu.listener)));
        format!(
            "{{\"ready\":1,\"listeners\":[{}{}],\"backend\":\"{runtime}\",\
             \"runtime\":\"{runtime}\",\"model\":\"{model}\",\"driver\":\"{driver}\",\
             \"flavor\":\"{flavor}\",\"workers\":{workers},\"capabilities\":[\"{}\"]}}",
            named("tcp", &self.listener),
            cpu.unwrap_or_default(),
            self.offer.name(),
        )
    }

    /// Runs `work` on the row's number of threads, and prints the announcement once all are ready.
    pub fn on_every_worker(self, work: fn(Worker)) {
        let (ready, all_ready) = mpsc::channel();
        let start = |_| {
            let listener = self.listener.try_clone().expect("duplicate the listener");
            let cancel_accept = self.cancel_accept.unwrap_or(Duration::from_secs(3600));
            let worker = Worker { listener, cancel_accept, ready: Ready(ready.clone()) };
            thread::spawn(move || work(worker))
        };
        let threads: Vec<_> = (0..self.row.workers).map(start).collect();
        for _ in &threads {
            all_ready.recv().expect("a worker that starts");
        }
        let announcement = self.announcement();
        // Closed before any client knows the address, so that none waits in a queue that nobody
        // serves: a worker that binds its own listener has dropped its duplicate.
        drop(self.listener);
        println!("{announcement}");
        for thread in threads {
            thread.join().expect("a worker that does not panic");
        }
    }
}

impl Ready {
    pub fn say(&self) {
        self.0.send(()).expect("somebody waits for it");
    }
}

/// Binds with SO_REUSEPORT, because tokio-uring 0.3 can neither take over a listener nor bind
/// without the option. No case here starts a second server on a live port.
fn listen(address: &str) -> io::Result<TcpListener> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.strip_suffix("ms")?.parse().ok().map(Duration::from_millis)
}

fn refuse(what: &str) -> ! {
    println!("{{\"unsupported\":\"{what}\"}}");
    process::exit(69)
}

fn end(status: i32, why: &str) -> ! {
    eprintln!("error: {why}");
    process::exit(status)
}
