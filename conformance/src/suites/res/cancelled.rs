//! Operations that the server cancels and reissues: none may lose a client or a byte.

use std::thread;
use std::time::{Duration, Instant};

use harness::launcher::Start;
use harness::process::Process;
use report::{Failure, FailureKind};

use crate::case::{CaseResult, Observation};
use crate::client::connection::{Connection, Read1};
use crate::client::peer::Peer;
use crate::expectation::expect_survival;
use crate::lifecycle::Lifecycle;

/// After how long the server cancels what waits.
const CANCEL_AFTER: Duration = Duration::from_millis(1);

/// Starts a server that cancels one kind of operation again and again, and runs a case on it.
fn with_cancelled(
    operation: &str,
    lifecycle: &Lifecycle,
    case: impl FnOnce(&Peer) -> CaseResult,
) -> CaseResult {
    let start = Start::default()
        .with("--capability")
        .with("cancel")
        .with("--cancel")
        .with(format!("{operation}={}ms", CANCEL_AFTER.as_millis()));
    let server = lifecycle.start_with(&start)?;
    let found = lifecycle.peer(&server).and_then(|peer| {
        // What is to be cancelled waits: an accept always, and a read of this client.
        let mut idle = peer.connect()?;
        idle.exchange(64)?;
        if Process::IS_TOLD {
            expect_cancelled(&server.process(), operation, lifecycle)?;
        }
        let observation = case(&peer)?;
        peer.serves()?;
        Ok(observation)
    });
    expect_survival(&server, found, lifecycle.clock())
}

/// A server that cancels what waits each millisecond wakes up for it, and one with nothing to do
/// does not.
fn expect_cancelled(
    process: &Process,
    operation: &str,
    lifecycle: &Lifecycle,
) -> Result<(), Failure> {
    /// Far fewer than there are in the time, and far more than those of an idle server.
    const LEAST: u64 = 100;
    let deadline = lifecycle.clock().within(Duration::from_secs(2));
    let before = process.switches()?.voluntary;
    loop {
        let woken = process.switches()?.voluntary.saturating_sub(before);
        if woken >= LEAST {
            return Ok(());
        }
        if deadline.is_over() {
            let expected = format!(
                "a server that cancels each {operation} that waits for {CANCEL_AFTER:?}: it wakes \
                 up {LEAST} times in {:.0} s",
                deadline.elapsed().as_secs_f64()
            );
            return Err(Failure::new(FailureKind::Announcement, expected, format!("{woken}")));
        }
        thread::sleep(10 * CANCEL_AFTER);
    }
}

/// Up to so much of the time in which the server waits, at random: that hits each moment of it.
fn any_moment(random: &mut fastrand::Rng, longest: Duration) {
    // The case needs a moment, not a state.
    thread::sleep(longest.mul_f64(random.f64()));
}

pub(super) fn cancelled_accept_no_orphan(lifecycle: &Lifecycle) -> CaseResult {
    /// So few at once need no descriptors to speak of, and one that is forgotten shows soon.
    const BATCH: u64 = 25;
    const HELLO: u64 = 16;
    let limit = Duration::from_secs(2);
    with_cancelled("accept", lifecycle, |peer| {
        let mut random = lifecycle.random(0);
        let mut closed = 0;
        for _ in 0..lifecycle.size() / BATCH {
            let mut clients = Vec::new();
            for _ in 0..BATCH {
                any_moment(&mut random, 2 * CANCEL_AFTER);
                let mut client = peer.connect()?;
                client.send(HELLO)?;
                clients.push(client);
            }
            for mut client in clients {
                match client.receive_in("a client's echo", HELLO, limit) {
                    Ok(()) => {}
                    Err(e) if matches!(e.kind, FailureKind::Closed | FailureKind::Reset) => {
                        closed += 1;
                    }
                    Err(e) => return Err(e),
                }
                // Leaves nothing in TIME_WAIT.
                client.reset();
            }
        }
        if closed > 0 {
            return Observation::of("some clients were closed without an echo");
        }
        Observation::met()
    })
}

pub(super) fn cancelled_read_no_loss(lifecycle: &Lifecycle) -> CaseResult {
    const BURSTS: usize = 5;
    const BURST_BYTES: u64 = 16 * 1024;
    with_cancelled("read", lifecycle, |peer| {
        let mut random = lifecycle.random(0);
        let mut clients = peer.connect_many(4)?;
        // Each client sends a byte about once in the time of a read.
        let pause = CANCEL_AFTER / 2;
        let end = Instant::now() + Duration::from_millis(lifecycle.size());
        while Instant::now() < end {
            for client in &mut clients {
                any_moment(&mut random, pause);
                client.send(1)?;
                take(client)?;
            }
        }
        clients.iter_mut().try_for_each(Connection::receive_all)?;
        for _ in 0..BURSTS {
            for client in &mut clients {
                any_moment(&mut random, pause);
                client.send(BURST_BYTES)?;
            }
            clients.iter_mut().try_for_each(Connection::receive_all)?;
        }
        Observation::met()
    })
}

/// Takes and checks what has come back so far.
fn take(client: &mut Connection) -> Result<(), Failure> {
    match client.try_receive(64)? {
        Read1::Bytes(_) | Read1::Nothing => Ok(()),
        Read1::End => Err(client.ended_early(client.sent())),
    }
}
