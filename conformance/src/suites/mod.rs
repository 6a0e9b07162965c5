//! The suites: one file each, with its table of cases at the top. `restricted` and `exposure` hold
//! cases of `life`, `fair` and `udp`; `datagrams` and `datagram_memory` hold cases of `udp` and
//! `unixdg`; `stalls` is a check that three suites use.

mod datagram_memory;
mod datagrams;
mod endurance;
mod exposure;
mod fair;
mod idle;
mod ip6;
mod life;
mod res;
mod restricted;
mod shutdown;
mod stalls;
mod tcp_accept;
mod tcp_backpressure;
mod tcp_close;
mod tcp_concurrency;
mod tcp_content;
mod tcp_echo;
mod tcp_half_close;
mod tcp_large;
mod tcp_reset;
mod udp;
mod unix;
mod unixdg;

use crate::case::Suite;

/// All suites, in the order of the matrix.
pub const ALL: &[&Suite] = &[
    &tcp_echo::SUITE,
    &tcp_content::SUITE,
    &tcp_large::SUITE,
    &tcp_half_close::SUITE,
    &tcp_reset::SUITE,
    &tcp_close::SUITE,
    &tcp_backpressure::SUITE,
    &tcp_accept::SUITE,
    &tcp_concurrency::SUITE,
    &udp::SUITE,
    &unix::SUITE,
    &unixdg::SUITE,
    &ip6::SUITE,
    &endurance::SUITE,
    &fair::SUITE,
    &idle::SUITE,
    &res::SUITE,
    &shutdown::SUITE,
    &life::SUITE,
];
