//! TCP over IPv6, and which clients a listener on `[::]` accepts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use harness::launcher::{Server, Start};
use harness::ports::free_port;
use report::{Failure, FailureKind, Question, Transport};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::duplex::{Flow, Pieces, exchange};
use crate::expectation::{expect_started, expect_survival};
use crate::lifecycle::{Lifecycle, no_port_failure};

pub(super) const SUITE: Suite = Suite {
    name: "ip6",
    about: "A server serves the address families that it was asked to listen on, and no others.",
    question: Question::Start,
    cases: &[
        Case::must("echo", "The server echoes what a client sends to ::1.")
            .sizes(128 * 1024, 1024 * 1024, 64 * 1024 * 1024)
            .needs(&[Need::Ipv6])
            .answers(Question::Bytes)
            .lifecycle(echo),
        Case::should(
            "dual-stack-as-asked",
            "A listener on [::] takes IPv4 clients if it was asked to, and only then.",
        )
        .needs(&[Need::Ipv6])
        .lifecycle(dual_stack_as_asked),
        Case::should(
            "both-families-same-port",
            "A server can listen on one port for IPv4 and for IPv6, with one listener for each.",
        )
        .needs(&[Need::Ipv6])
        .lifecycle(both_families_same_port),
    ],
};

fn echo(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_with(&Start::with_listeners(&["tcp:[::1]:0"]))?;
    let peer = lifecycle.peer(&server)?;
    let found = peer.connect().and_then(|mut connection| {
        connection.exchange(1)?;
        let flow = Flow::new(&mut connection, lifecycle.size(), peer.seed());
        let flow = flow.writes(Pieces::RandomUpTo(65_536)).reads(Pieces::RandomUpTo(65_536));
        exchange(&mut [flow], lifecycle.clock())
    });
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

fn dual_stack_as_asked(lifecycle: &Lifecycle) -> CaseResult {
    // The kernel could pick a port that another process has at 127.0.0.1.
    let ips = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let any = || -> Result<Start, Failure> {
        let port = free_port(Transport::Tcp, &ips).map_err(|e| no_port_failure(&e))?;
        Ok(Start::with_listeners(&[&format!("tcp:[::]:{port}")]))
    };
    for (start, takes_ipv4) in [(any()?.with_argument("--dual-stack"), true), (any()?, false)] {
        let server = expect_started(lifecycle.launch(&start)?)?;
        let port = lifecycle.peer(&server)?.address()?.port();
        let reached = |ip: IpAddr| is_served(lifecycle, &server, (ip, port).into());
        if !reached(Ipv6Addr::LOCALHOST.into())? {
            return Err(Failure::new(FailureKind::Refused, "service on ::1", "none"));
        }
        match (takes_ipv4, reached(Ipv4Addr::LOCALHOST.into())?) {
            (true, false) => {
                let expected = "service on 127.0.0.1 too, as --dual-stack asks";
                return Err(Failure::new(FailureKind::Refused, expected, "none"));
            }
            (false, true) => {
                let expected = "no service on 127.0.0.1, which nobody asked for";
                return Err(Failure::new(FailureKind::NotRefused, expected, "service"));
            }
            (true, true) | (false, false) => {}
        }
    }
    Observation::met()
}

/// Whether the server answers a client at `address`.
fn is_served(lifecycle: &Lifecycle, server: &Server, address: SocketAddr) -> Result<bool, Failure> {
    let peer = lifecycle.peer_at_address(address);
    match peer.expect_service() {
        Ok(()) => Ok(true),
        Err(e) if e.kind == FailureKind::Refused => Ok(false),
        Err(e) => expect_survival(server, Err(e), lifecycle.clock()),
    }
}

fn both_families_same_port(lifecycle: &Lifecycle) -> CaseResult {
    let ips = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let port = free_port(Transport::Tcp, &ips).map_err(|e| no_port_failure(&e))?;
    let both = [format!("tcp:0.0.0.0:{port}"), format!("tcp:[::]:{port}")];
    let both = Start::with_listeners(&[&both[0], &both[1]]);
    let server = expect_started(lifecycle.launch(&both)?)?;
    for ip in [Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        if !is_served(lifecycle, &server, (ip, port).into())? {
            return Err(Failure::new(FailureKind::Refused, format!("service on {ip}"), "none"));
        }
    }
    Observation::met()
}
