//! Operations that the server cancels and reissues: no client and no byte may be lost.

use std::thread;
use std::time::{Duration, Instant};

use harness::launcher::Start;
use harness::process::Process;
use report::{Failure, FailureKind};

use crate::case::{CaseResult, Observation};
use crate::client::connection::{Connection, ReadResult};
use crate::client::peer::Peer;
use crate::expectation::expect_survival;
use crate::lifecycle::Lifecycle;

/// How long an operation waits before the server cancels it.
const CANCEL_AFTER: Duration = Duration::from_millis(1);

/// Runs a case on a server that repeatedly cancels one kind of operation.
fn run_while_cancelling(
    operation: &str,
    lifecycle: &Lifecycle,
    case: impl FnOnce(&Peer) -> CaseResult,
) -> CaseResult {
    let start = Start::default()
        .with_argument("--capability")
        .with_argument("cancel")
        .with_argument("--cancel")
        .with_argument(format!("{operation}={}ms", CANCEL_AFTER.as_millis()));
    let server = lifecycle.start_with(&start)?;
    let found = lifecycle.peer(&server).and_then(|peer| {
        // Operations to cancel: an accept is always pending, and this client makes a read pending.
        let mut idle = peer.connect()?;
        idle.exchange(64)?;
        if Process::IS_SUPPORTED {
            expect_cancelled(&server.process(), operation, lifecycle)?;
        }
        let observation = case(&peer)?;
        peer.expect_service()?;
        Ok(observation)
    });
    expect_survival(&server, found, lifecycle.clock())
}

/// Expects the server to wake up often: a server that cancels pending operations every millisecond
/// does, and an idle server does not.
fn expect_cancelled(
    process: &Process,
    operation: &str,
    lifecycle: &Lifecycle,
) -> Result<(), Failure> {
    /// Far fewer wake-ups than cancellations in this time, and far more than an idle server has.
    const MIN_WAKEUPS: u64 = 100;
    let deadline = lifecycle.clock().deadline_after(Duration::from_secs(2));
    let before = process.switches()?.voluntary;
    loop {
        let woken = process.switches()?.voluntary.saturating_sub(before);
        if woken >= MIN_WAKEUPS {
            return Ok(());
        }
        if deadline.is_over() {
            let expected = format!(
                "a server that cancels each {operation} that waits for {CANCEL_AFTER:?}: it wakes \
                 up {MIN_WAKEUPS} times in {:.0} s",
                deadline.elapsed().as_secs_f64()
            );
            return Err(Failure::new(FailureKind::Announcement, expected, format!("{woken}")));
        }
        thread::sleep(10 * CANCEL_AFTER);
    }
}

/// Sleeps for a random time up to `longest`, so that clients hit every moment of the server's wait.
fn sleep_random_time(random: &mut fastrand::Rng, longest: Duration) {
    // The case needs a random moment, not a state.
    thread::sleep(longest.mul_f64(random.f64()));
}

pub(super) fn cancelled_accept_no_orphan(lifecycle: &Lifecycle) -> CaseResult {
    /// Few enough to need hardly any descriptors, and to show soon that a client was forgotten.
    const BATCH: u64 = 25;
    const HELLO: u64 = 16;
    let limit = Duration::from_secs(2);
    run_while_cancelling("accept", lifecycle, |peer| {
        let mut random = lifecycle.random(0);
        let mut closed = 0;
        for _ in 0..lifecycle.size() / BATCH {
            let mut clients = Vec::new();
            for _ in 0..BATCH {
                sleep_random_time(&mut random, 2 * CANCEL_AFTER);
                let mut client = peer.connect()?;
                client.send(HELLO)?;
                clients.push(client);
            }
            for mut client in clients {
                match client.receive_and_judge("a client's echo", HELLO, limit) {
                    Ok(()) => {}
                    Err(e) if matches!(e.kind, FailureKind::Closed | FailureKind::Reset) => {
                        closed += 1;
                    }
                    Err(e) => return Err(e),
                }
                // A reset leaves no port in TIME_WAIT.
                client.reset();
            }
        }
        if closed > 0 {
            return Observation::recorded("some clients were closed without an echo");
        }
        Observation::met()
    })
}

pub(super) fn cancelled_read_no_loss(lifecycle: &Lifecycle) -> CaseResult {
    const BURSTS: usize = 5;
    const BURST_BYTES: u64 = 16 * 1024;
    run_while_cancelling("read", lifecycle, |peer| {
        let mut random = lifecycle.random(0);
        let mut clients = peer.connect_many(4)?;
        // Each client sends about one byte per cancellation.
        let pause = CANCEL_AFTER / 2;
        let end = Instant::now() + Duration::from_millis(lifecycle.size());
        while Instant::now() < end {
            for client in &mut clients {
                sleep_random_time(&mut random, pause);
                client.send(1)?;
                receive_arrived(client)?;
            }
        }
        clients.iter_mut().try_for_each(Connection::receive_all)?;
        for _ in 0..BURSTS {
            for client in &mut clients {
                sleep_random_time(&mut random, pause);
                client.send(BURST_BYTES)?;
            }
            clients.iter_mut().try_for_each(Connection::receive_all)?;
        }
        Observation::met()
    })
}

/// Receives and checks what has come back so far.
fn receive_arrived(client: &mut Connection) -> Result<(), Failure> {
    match client.try_receive(64)? {
        ReadResult::Bytes(_) | ReadResult::Nothing => Ok(()),
        ReadResult::End => Err(client.early_end_failure(client.sent_bytes())),
    }
}
