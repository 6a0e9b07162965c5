//! Memory cases for datagrams: the server keeps no memory, descriptors or children for datagrams
//! that it has answered, or for the clients that sent them.

use harness::launcher::Server;
use report::{Failure, FailureKind, Transport};

use crate::case::{CaseResult, Observation};
use crate::client::datagrams::Sent;
use crate::expectation::{FREE_TIME_LIMIT, expect_at_most, expect_descriptors, expect_survival};
use crate::growth::Allowance;
use crate::lifecycle::Lifecycle;

/// What a server may keep per datagram: its garbage collector may not have run yet.
const BYTES_PER_DATAGRAM: f64 = 16.0;
/// What a server may keep per client: a few words in a table.
const BYTES_PER_CLIENT: f64 = 512.0;
pub(super) const ANSWERING_FAILURES: [FailureKind; 3] =
    [FailureKind::Memory, FailureKind::Descriptors, FailureKind::Children];
/// Additional descriptors, or unreaped children, that are no leak.
const SPARE: usize = 16;
/// Rounds before memory growth is first estimated.
const ROUNDS: usize = 12;

pub(super) fn udp_memory(lifecycle: &Lifecycle) -> CaseResult {
    expect_nothing_kept(lifecycle, Transport::Udp)
}

pub(super) fn unixgram_memory(lifecycle: &Lifecycle) -> CaseResult {
    expect_nothing_kept(lifecycle, Transport::Unixgram)
}

fn expect_nothing_kept(lifecycle: &Lifecycle, transport: Transport) -> CaseResult {
    let server = lifecycle.start_with(&lifecycle.start_with_listener(transport)?)?;
    let found = judge(lifecycle, &server, transport);
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

fn judge(lifecycle: &Lifecycle, server: &Server, transport: Transport) -> Result<(), Failure> {
    /// Few enough to fit into any receive queue.
    const GROUP: u64 = 8;
    const DATAGRAMS: u64 = 512;
    const CLIENTS: u64 = 100;
    let datagrams = lifecycle.datagrams(transport, server)?;
    let process = server.process();
    let mut client = datagrams.client()?;
    // A garbage collector may first run at a heap of 4 MiB, as Go's does.
    let (bytes, unit, max_count) = (BYTES_PER_DATAGRAM, "datagram", 40 * lifecycle.size());
    let allowance = Allowance { bytes, unit, rounds: ROUNDS, max_count };
    allowance.judge(&process, lifecycle.clock(), || {
        for _ in 0..DATAGRAMS / GROUP {
            let sent = (0..GROUP).map(|_| client.send(64));
            let sent = sent.collect::<Result<Vec<Sent>, Failure>>()?;
            client.receive(sent)?;
        }
        Ok(DATAGRAMS)
    })?;
    let before = process.descriptors()?;
    let (bytes, unit, max_count) = (BYTES_PER_CLIENT, "client", lifecycle.size());
    let allowance = Allowance { bytes, unit, rounds: ROUNDS, max_count };
    allowance.judge(&process, lifecycle.clock(), || {
        for _ in 0..CLIENTS {
            if transport == Transport::Udp {
                datagrams.brief_client()?.exchange(64)?;
            } else {
                let mut client = datagrams.client()?;
                client.exchange(64)?;
                client.remove_path()?;
            }
        }
        Ok(CLIENTS)
    })?;
    expect_descriptors(&process, before + SPARE, FREE_TIME_LIMIT, lifecycle.clock())?;
    if cfg!(target_os = "linux") {
        let what = "children that have ended and were not waited for";
        let unwaited = || process.unreaped_children();
        let clock = lifecycle.clock();
        expect_at_most(FailureKind::Children, what, SPARE, FREE_TIME_LIMIT, clock, unwaited)?;
    }
    Ok(())
}
