//! What a loop does after an error of accepting a client or receiving a datagram. A pure function
//! of the error code, so that the codes of every system are tested on each.

use std::io;
use std::time::Duration;

/// What a loop that accepts or receives does after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The error concerns at most one client or datagram: accept or receive the next one.
    Retry,
    /// The system has run out of something. Try again after this time, even without an event: an
    /// edge-triggered poller does not report the listener again.
    BackOff(Duration),
    /// The socket is broken. The server has begun to stop, and the loop ends.
    Fatal,
}

/// How long a loop waits when the system has run out of something.
pub(crate) const BACK_OFF: Duration = Duration::from_millis(50);

impl Recovery {
    const BACK_OFF: Self = Self::BackOff(BACK_OFF);
}

/// Whose error codes a number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codes {
    Linux,
    /// macOS and the BSDs. Where their numbers differ, the tables hold both.
    Bsd,
    Windows,
}

impl Codes {
    const HOST: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        Self::Linux
    } else {
        Self::Bsd
    };
}

/// Decides what a loop that accepts or receives does after `error`.
///
/// An unknown error backs off, which neither ends the server nor spins.
pub fn classify(error: &io::Error) -> Recovery {
    match error.raw_os_error() {
        Some(code) => classify_code(Codes::HOST, code),
        None if error.kind() == io::ErrorKind::Interrupted => Recovery::Retry,
        // The standard library's error for a client without an address: older versions of macOS
        // accept one that has already disconnected.
        None if cfg!(target_vendor = "apple") && error.kind() == io::ErrorKind::InvalidInput => {
            Recovery::Retry
        }
        None => Recovery::BACK_OFF,
    }
}

fn classify_code(codes: Codes, code: i32) -> Recovery {
    let (retry, fatal) = match codes {
        Codes::Linux => (LINUX_RETRY, LINUX_FATAL),
        Codes::Bsd => (BSD_RETRY, BSD_FATAL),
        Codes::Windows => (WINDOWS_RETRY, WINDOWS_FATAL),
    };
    if retry.contains(&code) {
        Recovery::Retry
    } else if fatal.contains(&code) {
        Recovery::Fatal
    } else {
        Recovery::BACK_OFF
    }
}

/// accept(2): EINTR, and the pending errors of the new connection:
/// ENONET, EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ENOTCONN,
/// ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH. EPERM is in neither table: a firewall returns it for one
/// client, but a security policy returns it for every call. EOPNOTSUPP (95) is in neither table: it
/// is a pending error, or means that the socket cannot accept. After both, the loop backs off.
const LINUX_RETRY: &[i32] = &[4, 64, 71, 92, 100, 101, 103, 104, 107, 110, 112, 113];
/// EBADF, EFAULT, EINVAL (it does not listen), ENOTSOCK.
const LINUX_FATAL: &[i32] = &[9, 14, 22, 88];

/// EINTR, EPROTO (macOS, FreeBSD), ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET,
/// ENOTCONN, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH.
const BSD_RETRY: &[i32] = &[4, 100, 92, 50, 51, 53, 54, 57, 60, 64, 65];
/// EBADF, EFAULT, EINVAL (it does not listen), ENOTSOCK, EOPNOTSUPP (macOS, FreeBSD).
const BSD_FATAL: &[i32] = &[9, 14, 22, 38, 102, 45];

/// ERROR_NETNAME_DELETED (how AcceptEx says reset) and ERROR_UNEXP_NET_ERR (how wine's does),
/// WSAEINTR, WSAENETDOWN, WSAENETUNREACH, WSAENETRESET, WSAECONNABORTED, WSAECONNRESET,
/// WSAENOTCONN, WSAETIMEDOUT, WSAEHOSTDOWN, WSAEHOSTUNREACH; WSAEMSGSIZE, a datagram that was
/// longer than its buffer; and what a completion port says in their place: ERROR_SEM_TIMEOUT,
/// ERROR_MORE_DATA, ERROR_OPERATION_ABORTED, ERROR_CONNECTION_REFUSED, ERROR_NETWORK_UNREACHABLE,
/// ERROR_HOST_UNREACHABLE, ERROR_PORT_UNREACHABLE, ERROR_CONNECTION_ABORTED.
const WINDOWS_RETRY: &[i32] = &[
    64, 59, 10004, 10050, 10051, 10052, 10053, 10054, 10057, 10060, 10064, 10065, 10040, 121, 234,
    995, 1225, 1231, 1232, 1234, 1236,
];
/// ERROR_INVALID_HANDLE, WSAEBADF, WSAEFAULT, WSAEINVAL, WSAENOTSOCK, WSAEOPNOTSUPP,
/// WSANOTINITIALISED.
const WINDOWS_FATAL: &[i32] = &[6, 10009, 10014, 10022, 10038, 10045, 10093];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_all(codes: Codes, numbers: &[i32], expected: Recovery) {
        for &number in numbers {
            assert_eq!(classify_code(codes, number), expected, "{codes:?} error {number}");
        }
    }

    #[test]
    fn a_client_that_has_gone_is_skipped() {
        // ECONNABORTED, EINTR, EPROTO, ECONNRESET; WSAECONNRESET, WSAENOTCONN.
        assert_all(Codes::Linux, &[103, 4, 71, 104], Recovery::Retry);
        assert_all(Codes::Bsd, &[53, 4, 100, 54], Recovery::Retry);
        assert_all(Codes::Windows, &[10053, 10004, 10054, 10057, 64, 59, 1234], Recovery::Retry);
    }

    #[test]
    fn what_ran_out_is_waited_for() {
        // EMFILE, ENFILE, ENOBUFS, ENOMEM; WSAEMFILE, WSAENOBUFS, ERROR_TOO_MANY_OPEN_FILES,
        // ERROR_NOT_ENOUGH_MEMORY, ERROR_NO_SYSTEM_RESOURCES.
        assert_all(Codes::Linux, &[24, 23, 105, 12], Recovery::BACK_OFF);
        assert_all(Codes::Bsd, &[24, 23, 55, 12], Recovery::BACK_OFF);
        assert_all(Codes::Windows, &[10024, 10055, 4, 8, 1450], Recovery::BACK_OFF);
    }

    #[test]
    fn a_broken_listener_is_fatal() {
        // EBADF, EINVAL, ENOTSOCK, and EOPNOTSUPP where it means nothing else.
        assert_all(Codes::Linux, &[9, 22, 88], Recovery::Fatal);
        assert_all(Codes::Bsd, &[9, 22, 38, 102], Recovery::Fatal);
        assert_all(Codes::Windows, &[10009, 10022, 10038, 10045], Recovery::Fatal);
    }

    #[test]
    fn what_is_not_known_neither_ends_nor_spins() {
        assert_all(Codes::Linux, &[95, 9999, -1], Recovery::BACK_OFF);
        assert_eq!(classify(&io::Error::other("odd")), Recovery::BACK_OFF);
        assert_eq!(classify(&io::ErrorKind::Interrupted.into()), Recovery::Retry);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_host_has_its_own_codes() {
        assert_eq!(classify(&io::Error::from_raw_os_error(103)), Recovery::Retry);
        assert_eq!(classify(&io::Error::from_raw_os_error(22)), Recovery::Fatal);
    }
}
