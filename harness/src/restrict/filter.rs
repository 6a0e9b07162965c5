//! Makes system calls fail (seccomp(2)).

use std::io;

use rustix::io::Errno;
use rustix::net::AddressFamily;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::Denial;

/// io_uring_setup, io_uring_enter, io_uring_register: the same numbers on both architectures.
const IO_URING_CALLS: std::ops::RangeInclusive<i64> = 425..=427;
/// socket(2).
const SOCKET: i64 = if cfg!(target_arch = "x86_64") { 41 } else { 198 };

pub(super) fn deny_io_uring(denial: Denial) -> io::Result<()> {
    let errno = match denial {
        Denial::Enosys => Errno::NOSYS,
        Denial::Eperm => Errno::PERM,
        Denial::Enomem => Errno::NOMEM,
    };
    deny(IO_URING_CALLS.map(|call| (call, vec![])).collect(), errno)
}

pub(super) fn deny_ipv6() -> io::Result<()> {
    let family = u64::from(AddressFamily::INET6.as_raw());
    let is_ipv6 = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)?;
    deny(vec![(SOCKET, vec![is_ipv6])], Errno::AFNOSUPPORT)
}

/// Fails calls; one without rules whatever its arguments are.
fn deny(calls: Vec<(i64, Vec<SeccompRule>)>, errno: Errno) -> io::Result<()> {
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(
        calls.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno.raw_os_error().unsigned_abs()),
        architecture,
    )
    .map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    // This also sets no_new_privs, without which an ordinary user may not install a filter.
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}
