//! Memory of a server of datagrams: neither those that are answered nor the clients that sent them
//! leave any behind, nor descriptors or children.

use harness::launcher::Server;
use report::{Failure, FailureKind, Transport};

use crate::case::{CaseResult, Observation};
use crate::client::datagrams::Sent;
use crate::expectation::{FREED_WITHIN, expect_at_most, expect_descriptors, expect_survival};
use crate::growth::Allowance;
use crate::lifecycle::Lifecycle;

/// What a server may keep of a datagram: a collector of garbage may not have run.
const BYTES_PER_DATAGRAM: f64 = 16.0;
/// What it may keep of a client: a few words in a table.
const BYTES_PER_CLIENT: f64 = 512.0;
/// What it finds.
pub(super) const JUDGED: [FailureKind; 3] =
    [FailureKind::Memory, FailureKind::Descriptors, FailureKind::Children];
/// Descriptors, or children that have ended, that it may have more than before its clients.
const FEW: usize = 16;
/// Rounds that a line takes.
const ROUNDS: usize = 12;

pub(super) fn over_udp(lifecycle: &Lifecycle) -> CaseResult {
    keeps_nothing(lifecycle, Transport::Udp)
}

pub(super) fn over_a_path(lifecycle: &Lifecycle) -> CaseResult {
    keeps_nothing(lifecycle, Transport::Unixgram)
}

fn keeps_nothing(lifecycle: &Lifecycle, transport: Transport) -> CaseResult {
    let server = lifecycle.start_with(&lifecycle.over(transport)?)?;
    let found = judge(lifecycle, &server, transport);
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

fn judge(lifecycle: &Lifecycle, server: &Server, transport: Transport) -> Result<(), Failure> {
    /// Few enough for any receive queue.
    const TOGETHER: u64 = 8;
    const DATAGRAMS: u64 = 512;
    const CLIENTS: u64 = 100;
    let datagrams = lifecycle.datagrams(transport, server)?;
    let process = server.process();
    let mut client = datagrams.client()?;
    // A collector of garbage may begin at 4 MiB, as Go's does.
    let (bytes, of, most) = (BYTES_PER_DATAGRAM, "datagram", 40 * lifecycle.size());
    let allowance = Allowance { bytes, of, rounds: ROUNDS, most };
    allowance.judge(&process, lifecycle.clock(), || {
        for _ in 0..DATAGRAMS / TOGETHER {
            let sent = (0..TOGETHER).map(|_| client.send(64));
            let sent = sent.collect::<Result<Vec<Sent>, Failure>>()?;
            client.receive(sent)?;
        }
        Ok(DATAGRAMS)
    })?;
    let before = process.descriptors()?;
    let (bytes, of, most) = (BYTES_PER_CLIENT, "client", lifecycle.size());
    let allowance = Allowance { bytes, of, rounds: ROUNDS, most };
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
    expect_descriptors(&process, before + FEW, FREED_WITHIN, lifecycle.clock())?;
    if cfg!(target_os = "linux") {
        let what = "children that have ended and were not waited for";
        let unwaited = || process.unwaited_children();
        let clock = lifecycle.clock();
        expect_at_most(FailureKind::Children, what, FEW, FREED_WITHIN, clock, unwaited)?;
    }
    Ok(())
}
