//! The backends that call epoll_wait(2) or io_uring_enter(2) in a loop of their own, when that call
//! begins to fail: the server names the call, drains its connections, and ends with exit status 1.
//! Where a runtime owns the loop, the runtime decides; most of them panic.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use harness::deadline::Deadline;
use harness::launcher::{Launch, Launcher, START_TIMEOUT, ServerExit, Start};
use harness::registry::Registry;
use harness::restrict::Restrictions;
use harness::row::Row;
use harness::{binaries, supervisor};
use libtest_mimic::{Arguments, Failed, Trial};

/// The backends with a loop of their own, and the call that their message names.
const LOOPS: [(&str, &str); 2] =
    [("backend-mio", "error: wait for events: "), ("backend-uring", "error: io_uring_enter: ")];
/// Longer than a client can take to send it before the server is busy.
const MESSAGE_BYTES: usize = 4 << 20;
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    supervisor::run_if_asked();
    let arguments = Arguments::from_args();
    let trials = match trials() {
        Ok(trials) => trials,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Result<Vec<Trial>, harness::Error> {
    let mut trials = Vec::new();
    if !cfg!(target_os = "linux") {
        return Ok(trials);
    }
    let registry = Registry::load()?;
    for (package, words) in LOOPS {
        let of_package = registry.built_rows().filter(|entry| entry.package == package);
        let mut rows: Vec<Row> = of_package.map(Row::from_entry).collect();
        binaries::provide_executables(&mut rows, binaries::OWN_PROFILE, &|_| {})?;
        for row in rows {
            trials.push(Trial::test(format!("drains::{}", row.name), move || {
                expect_drain(&row, words)
            }));
        }
    }
    Ok(trials)
}

/// The server ends as after a stop signal, but for its exit status.
fn expect_drain(row: &Row, words: &str) -> Result<(), Failed> {
    let launcher = Launcher::new(row.origin.clone());
    let restrictions = Restrictions { failing_poller: true, ..Restrictions::default() };
    let start = Start { restrictions, ..Start::default() };
    let launched = launcher.launch(&start, || Deadline::after(START_TIMEOUT)).map_err(to_failed)?;
    let server = match launched {
        Launch::Ready(server) => server,
        // Without io_uring, its backends cannot run.
        Launch::Declined(_) => return Ok(()),
        Launch::Ended(ended) => return Err(format!("ended: {ended:?}").into()),
    };
    let address = server.address().map_err(to_failed)?;
    let (sent, received) = exchange(address)?;
    let ended = server.wait(Deadline::after(LIMIT), "the server to end").map_err(to_failed)?;
    let stderr = server.stderr().lock().text();
    let stderr = stderr.on_terminal();
    if !stderr.contains(words) || ended != ServerExit::Code(1) {
        return Err(format!("expected {words:?} and status 1, found {ended:?}, {stderr}").into());
    }
    if !sent.starts_with(&received) {
        return Err("other bytes came back".into());
    }
    Ok(())
}

/// Sends a long message and FIN, and receives until the server's FIN. A reset is an error.
fn exchange(address: SocketAddr) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut writer = stream.try_clone()?;
    let sent: Vec<u8> = (0..MESSAGE_BYTES).map(|index| (index % 251) as u8).collect();
    let message = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&message)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    writing.join().map_err(|_| io::Error::other("the writing thread has panicked"))??;
    Ok((sent, received))
}

fn to_failed(failure: report::Failure) -> Failed {
    format!("{failure:?}").into()
}
