//! What an error of `accept`, or of receiving a datagram, asks for. Pure, so that every system's
//! codes are tested on each.

use std::{io, time::Duration};

/// What an accept loop does after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// It concerned one client that is gone: accept the next.
    Retry,
    /// A resource ran out: serve the connections there are, and try again after this time even
    /// if no client arrives meanwhile (an edge-triggered poller would not say anything more).
    BackOff(Duration),
    /// The listener is broken, and no later call can succeed.
    Fatal,
}

impl AcceptError {
    const BACK_OFF: AcceptError = AcceptError::BackOff(Duration::from_millis(50));
}

/// Whose error codes a number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codes {
    Linux,
    /// macOS and the BSDs, whose numbers are the same for everything named here.
    Bsd,
    Windows,
}

impl Codes {
    const HOST: Codes = if cfg!(windows) {
        Codes::Windows
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        Codes::Linux
    } else {
        Codes::Bsd
    };
}

/// Says what an accept loop does after `error`.
///
/// An error that is not known backs off, because that neither ends the server nor spins.
pub fn classify(error: &io::Error) -> AcceptError {
    match error.raw_os_error() {
        Some(code) => classify_code(Codes::HOST, code),
        None if error.kind() == io::ErrorKind::Interrupted => AcceptError::Retry,
        None => AcceptError::BACK_OFF,
    }
}

fn classify_code(codes: Codes, code: i32) -> AcceptError {
    let (retry, fatal) = match codes {
        Codes::Linux => (LINUX_RETRY, LINUX_FATAL),
        Codes::Bsd => (BSD_RETRY, BSD_FATAL),
        Codes::Windows => (WINDOWS_RETRY, WINDOWS_FATAL),
    };
    if retry.contains(&code) {
        AcceptError::Retry
    } else if fatal.contains(&code) {
        AcceptError::Fatal
    } else {
        AcceptError::BACK_OFF
    }
}

/// accept(2): EINTR, EPERM (a firewall), and the pending errors of the new connection:
/// ENONET, EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ENOTCONN,
/// ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH. EOPNOTSUPP (95) is both a pending error and what a socket
/// says that cannot accept, so it backs off.
const LINUX_RETRY: &[i32] = &[4, 1, 64, 71, 92, 100, 101, 103, 104, 107, 110, 112, 113];
/// EBADF, EFAULT, EINVAL (it does not listen), ENOTSOCK.
const LINUX_FATAL: &[i32] = &[9, 14, 22, 88];

/// EINTR, EPROTO (macOS, FreeBSD), ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET,
/// ENOTCONN, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH.
const BSD_RETRY: &[i32] = &[4, 100, 92, 50, 51, 53, 54, 57, 60, 64, 65];
/// EBADF, EFAULT, EINVAL (it does not listen), ENOTSOCK, EOPNOTSUPP (macOS, FreeBSD).
const BSD_FATAL: &[i32] = &[9, 14, 22, 38, 102, 45];

/// ERROR_NETNAME_DELETED (how AcceptEx says reset) and ERROR_UNEXP_NET_ERR (how wine's does),
/// WSAEINTR, WSAENETDOWN, WSAENETUNREACH, WSAENETRESET, WSAECONNABORTED, WSAECONNRESET,
/// WSAENOTCONN, WSAETIMEDOUT, WSAEHOSTDOWN, WSAEHOSTUNREACH; and WSAEMSGSIZE, a datagram that was
/// longer than its buffer.
const WINDOWS_RETRY: &[i32] =
    &[64, 59, 10004, 10050, 10051, 10052, 10053, 10054, 10057, 10060, 10064, 10065, 10040];
/// ERROR_INVALID_HANDLE, WSAEBADF, WSAEFAULT, WSAEINVAL, WSAENOTSOCK, WSAEOPNOTSUPP,
/// WSANOTINITIALISED.
const WINDOWS_FATAL: &[i32] = &[6, 10009, 10014, 10022, 10038, 10045, 10093];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_all(codes: Codes, numbers: &[i32], expected: AcceptError) {
        for &number in numbers {
            assert_eq!(classify_code(codes, number), expected, "{codes:?} error {number}");
        }
    }

    #[test]
    fn a_client_that_has_gone_is_skipped() {
        // ECONNABORTED, EINTR, EPROTO, ECONNRESET; WSAECONNRESET, WSAENOTCONN.
        assert_all(Codes::Linux, &[103, 4, 71, 104], AcceptError::Retry);
        assert_all(Codes::Bsd, &[53, 4, 100, 54], AcceptError::Retry);
        assert_all(Codes::Windows, &[10053, 10004, 10054, 10057, 64, 59], AcceptError::Retry);
    }

    #[test]
    fn what_ran_out_is_waited_for() {
        // EMFILE, ENFILE, ENOBUFS, ENOMEM; WSAEMFILE, WSAENOBUFS, ERROR_TOO_MANY_OPEN_FILES,
        // ERROR_NOT_ENOUGH_MEMORY, ERROR_NO_SYSTEM_RESOURCES.
        assert_all(Codes::Linux, &[24, 23, 105, 12], AcceptError::BACK_OFF);
        assert_all(Codes::Bsd, &[24, 23, 55, 12], AcceptError::BACK_OFF);
        assert_all(Codes::Windows, &[10024, 10055, 4, 8, 1450], AcceptError::BACK_OFF);
    }

    #[test]
    fn a_broken_listener_is_fatal() {
        // EBADF, EINVAL, ENOTSOCK, and EOPNOTSUPP where it means nothing else.
        assert_all(Codes::Linux, &[9, 22, 88], AcceptError::Fatal);
        assert_all(Codes::Bsd, &[9, 22, 38, 102], AcceptError::Fatal);
        assert_all(Codes::Windows, &[10009, 10022, 10038, 10045], AcceptError::Fatal);
    }

    #[test]
    fn what_is_not_known_neither_ends_nor_spins() {
        assert_all(Codes::Linux, &[95, 9999, -1], AcceptError::BACK_OFF);
        assert_eq!(classify(&io::Error::other("odd")), AcceptError::BACK_OFF);
        assert_eq!(classify(&io::ErrorKind::Interrupted.into()), AcceptError::Retry);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_host_has_its_own_codes() {
        assert_eq!(classify(&io::Error::from_raw_os_error(103)), AcceptError::Retry);
        assert_eq!(classify(&io::Error::from_raw_os_error(22)), AcceptError::Fatal);
    }
}
