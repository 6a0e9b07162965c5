//! Makes system calls fail, with seccomp(2).

use std::io;

use rustix::io::Errno;
use rustix::io_uring::IoringEnterFlags;
use rustix::net::AddressFamily;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::Denial;

/// io_uring_setup, io_uring_enter and io_uring_register. The numbers are the same on both
/// architectures.
const IO_URING_CALLS: std::ops::RangeInclusive<i64> = 425..=427;
/// io_uring_enter(2).
const IO_URING_ENTER: i64 = 426;
/// epoll_wait(2) and epoll_pwait(2). aarch64 lacks the first.
const EPOLL_WAITS: &[i64] = if cfg!(target_arch = "x86_64") { &[232, 281] } else { &[22] };
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
    let is_ipv6 = rule(vec![condition(0, SeccompCmpOp::Eq, family)?])?;
    deny(vec![(SOCKET, vec![is_ipv6])], Errno::AFNOSUPPORT)
}

pub(super) fn fail_poller() -> io::Result<()> {
    let flags = IoringEnterFlags::GETEVENTS.bits().into();
    let is_set = |argument, bits| condition(argument, SeccompCmpOp::MaskedEq(bits), bits);
    let is_zero = |argument| condition(argument, SeccompCmpOp::Eq, 0);
    // The timeout of epoll_wait(2). That of epoll_pwait2(2) is a pointer.
    let at_once = rule(vec![is_zero(3)?])?;
    // The number of entries to submit, and the flags, of io_uring_enter(2).
    let only_waits = rule(vec![is_zero(1)?, is_set(3, flags)?])?;
    let waits = EPOLL_WAITS.iter().map(|call| (*call, vec![at_once.clone()]));
    deny(waits.chain([(IO_URING_ENTER, vec![only_waits])]).collect(), Errno::IO)
}

/// Compares the lower half of an argument.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        .map_err(io::Error::other)
}

/// Matches a call that meets all conditions.
fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

/// Makes calls fail. A call without rules fails whatever its arguments are.
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
