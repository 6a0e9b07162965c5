//! What a server goes through after or instead of a good start: abilities that are taken away,
//! being suspended, being started again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use harness::announcement::Announcement;
use harness::attest::attest_process;
use harness::launcher::{Attempt, DRAIN, Ended, Launch, Server, Start};
use harness::process::{Process, Signal};
use harness::restrict::{Denial, Restrictions};
use report::{Failure, FailureKind};

use super::{expect_message, expect_silent_error};
use crate::case::{Found, Observation};
use crate::expectation::{expect_graceful_end, expect_survival};
use crate::lifecycle::Lifecycle;
use crate::peer::Peer;
use crate::streams::Streams;
use crate::suites::tcp_accept::at_the_limit_under;

/// How soon a server without descriptors recovers once some are free.
const RECOVERY: Duration = Duration::from_secs(3);
/// What a graceful end may take beyond the drain.
const BEYOND_DRAIN: Duration = Duration::from_secs(2);

pub(super) fn uring_denied(lifecycle: &Lifecycle) -> Found {
    let usual = lifecycle.start()?;
    let needs_ring = usual.ready()?.driver == "io_uring";
    drop(usual);
    for denial in [Denial::Enosys, Denial::Eperm, Denial::Enomem] {
        let taken = Restrictions { deny_io_uring: Some(denial), ..Restrictions::default() };
        match launch_without(lifecycle, &taken)? {
            Launch::Ready(server) => serves_as_it_says(lifecycle, &server)?,
            Launch::Declined(Announcement::Unavailable(_)) if needs_ring => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                return Err(dishonest("a server that serves, or is unavailable", &other));
            }
        }
    }
    Observation::met()
}

pub(super) fn memlock_tiny(lifecycle: &Lifecycle) -> Found {
    for bytes in [0, 64 * 1024] {
        let taken = Restrictions { memlock_bytes: Some(bytes), ..Restrictions::default() };
        match launch_without(lifecycle, &taken)? {
            Launch::Ready(server) => serves_as_it_says(lifecycle, &server)?,
            Launch::Declined(Announcement::Unavailable(_)) => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                return Err(dishonest("a server that serves, or is unavailable", &other));
            }
        }
    }
    Observation::met()
}

pub(super) fn few_descriptors(lifecycle: &Lifecycle) -> Found {
    for open_files in [4, 6, 8, 10, 12, 16, 24] {
        let taken = Restrictions { open_files: Some(open_files), ..Restrictions::default() };
        match launch_without(lifecycle, &taken)? {
            // One that found enough for itself may have none left for a client.
            Launch::Ready(_) | Launch::Declined(Announcement::Unavailable(_)) => {}
            Launch::Ended(Attempt { ended: Ended::Code(1), stdout, stderr })
                if stdout.is_empty() && !stderr.is_empty() => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                let expected = format!(
                    "with {open_files} descriptors: ready, unavailable, or exit 1 with a message"
                );
                return Err(dishonest(&expected, &other));
            }
        }
    }
    Observation::met()
}

pub(super) fn no_ipv6(lifecycle: &Lifecycle) -> Found {
    let restrictions = Restrictions { no_ipv6: true, ..Restrictions::default() };
    let usual = Start { restrictions, ..Start::default() };
    let server = lifecycle.start_with(&usual)?;
    expect_survival(&server, lifecycle.peer(&server)?.serves(), lifecycle.clock())?;
    let on_ipv6 = Start { listen: vec!["tcp:[::1]:0".to_owned()], ..usual };
    let attempt = lifecycle.attempt(&on_ipv6)?;
    expect_silent_error(&attempt, 1)?;
    expect_message(&attempt, "::1")?;
    Observation::met()
}

pub(super) fn stderr_closed(lifecycle: &Lifecycle) -> Found {
    let taken = Restrictions { unread_stderr: true, ..Restrictions::default() };
    // Out of descriptors there is something to write.
    at_the_limit_under(lifecycle, &taken, |peer, _, crowd| {
        for connection in &mut crowd.served {
            connection.exchange(64)?;
            connection.finish_sending()?;
        }
        // What it does with a client for whom there is no descriptor yet is another case.
        for connection in &mut crowd.served {
            connection.expect_end()?;
        }
        crowd.served.clear();
        let mut client = peer.connect()?;
        client.send(64)?;
        client.receive_in("a new client's echo after all", 64, RECOVERY)?;
        Observation::met()
    })
}

fn launch_without(lifecycle: &Lifecycle, taken: &Restrictions) -> Result<Launch, Failure> {
    lifecycle.launch(&Start { restrictions: taken.clone(), ..Start::default() })
}

/// The driver that is announced is the one in use, whatever it fell back to.
fn serves_as_it_says(lifecycle: &Lifecycle, server: &Server) -> Result<(), Failure> {
    let peer = lifecycle.peer(server)?;
    let process = server.process();
    let driver = &server.ready()?.driver;
    let found = peer
        .exchanging(|exchange| attest_process(driver, &process, 4, exchange))
        .and_then(|_| peer.serves());
    expect_survival(server, found, lifecycle.clock())
}

fn dishonest(expected: &str, launch: &Launch) -> Failure {
    match launch {
        Launch::Ready(_) => Failure::new(FailureKind::Announcement, expected, "ready"),
        Launch::Declined(said) => {
            Failure::new(FailureKind::Announcement, expected, format!("{said:?}"))
        }
        Launch::Ended(attempt) => {
            let actual = format!("{:?} after writing {:?}", attempt.ended, attempt.stdout);
            Failure::new(FailureKind::Crash, expected, actual)
        }
    }
}

pub(super) fn stop_continue(peer: &Peer, process: &Process) -> Found {
    let mut streams = Streams::start(peer, 8)?;
    streams.run(Duration::from_millis(100))?;
    process.stop(peer.clock().progress())?;
    // How long it is suspended is the case; what the kernel still takes for it goes on meanwhile.
    let suspended = streams.run(Duration::from_millis(peer.size()));
    process.signal(Signal::Continue)?;
    suspended?;
    streams.run(Duration::from_millis(200))?;
    streams.finish(peer.clock())?;
    peer.serves()?;
    Observation::met()
}

pub(super) fn signal_noise(peer: &Peer, process: &Process) -> Found {
    /// Between two suspensions: five hundred a second.
    const PAUSE: Duration = Duration::from_millis(2);
    /// Suspensions of a server that waits.
    const IDLE_STOPS: usize = 10;
    peer.serves()?;
    // One that has nothing to do is interrupted while it waits.
    for _ in 0..IDLE_STOPS {
        process.wait_asleep(peer.clock().progress())?;
        process.stop(peer.clock().progress())?;
        process.signal(Signal::Continue)?;
    }
    let mut streams = Streams::start(peer, 4)?;
    let stop = AtomicBool::new(false);
    let noise = || {
        while !stop.load(Ordering::Relaxed) {
            process.signal(Signal::Stop)?;
            process.signal(Signal::Continue)?;
            thread::sleep(PAUSE);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let noise = scope.spawn(noise);
        let found = streams.run(Duration::from_millis(peer.size()));
        stop.store(true, Ordering::Relaxed);
        noise.join().unwrap_or_else(|_| {
            Err(Failure::new(FailureKind::Harness, "a thread that sends signals", "its panic"))
        })?;
        found
    })?;
    streams.finish(peer.clock())?;
    peer.serves()?;
    Observation::met()
}

pub(super) fn restart_loop(lifecycle: &Lifecycle) -> Found {
    let mut server = lifecycle.start()?;
    let address = lifecycle.peer(&server)?.address()?;
    for _ in 0..lifecycle.size() {
        let mut client = lifecycle.peer(&server)?.connect()?;
        client.exchange(64)?;
        server.ask_to_stop()?;
        client.expect_end()?;
        drop(client);
        expect_graceful_end(&server, DRAIN + BEYOND_DRAIN, lifecycle.clock())?;
        server = lifecycle.start_with(&Start::on(address))?;
    }
    let found = lifecycle.peer(&server)?.serves();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}
