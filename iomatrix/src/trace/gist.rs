//! Describes a system call in a few words: what it was about, and what it returned.

use super::lines::StraceCall;

/// Describes a call, except for its name.
pub(super) fn gist(call: &StraceCall) -> String {
    let about = describe_subject(call);
    let Some(end) = &call.end else { return about };
    let outcome = describe_outcome(call, &end.result);
    match (about.as_str(), outcome.as_str()) {
        ("", "") => String::new(),
        ("", outcome) => format!("-> {outcome}"),
        (about, "") => about.to_owned(),
        (about, outcome) => format!("{about} -> {outcome}"),
    }
}

fn describe_subject(call: &StraceCall) -> String {
    let arguments: Vec<&str> = call.arguments.split(", ").collect();
    let argument = |index: usize| arguments.get(index).copied().unwrap_or("");
    match call.name.as_str() {
        "io_uring_enter" => ring_work(argument(1), argument(2), argument(3)),
        "epoll_ctl" => {
            let what = match argument(1) {
                "EPOLL_CTL_ADD" => "add",
                "EPOLL_CTL_MOD" => "change",
                "EPOLL_CTL_DEL" => "remove",
                other => other,
            };
            format!("{what} {}", descriptor_kind(argument(2))).trim_end().to_owned()
        }
        "futex" if argument(1).starts_with("FUTEX_WAKE") => format!("wake {}", argument(2)),
        "futex" if argument(1).starts_with("FUTEX_WAIT") => "wait".to_owned(),
        "timerfd_settime" if call.arguments.contains("it_value={tv_sec=0, tv_nsec=0}") => {
            "disarm".to_owned()
        }
        "timerfd_settime" => "arm".to_owned(),
        _ if is_transfer(&call.name) => match descriptor_kind(argument(0)) {
            "socket" => String::new(),
            other => other.to_owned(),
        },
        _ => String::new(),
    }
}

/// How many entries the call submits to a ring, and for how many completions it waits.
fn ring_work(submit: &str, wait: &str, flags: &str) -> String {
    let waits = flags.contains("IORING_ENTER_GETEVENTS") && wait != "0";
    match (submit, waits) {
        ("0", true) => format!("wait {wait}"),
        (submit, false) => format!("submit {submit}"),
        (submit, true) => format!("submit {submit}, wait {wait}"),
    }
}

/// The type of a descriptor, as strace shows it with `-y`: `socket`, `eventfd`, `timerfd`, `pipe`,
/// `file`.
fn descriptor_kind(descriptor: &str) -> &str {
    let Some(target) = descriptor.split_once('<').map(|(_, target)| target) else { return "" };
    if target.starts_with('/') {
        return "file";
    }
    let target = target.strip_prefix("anon_inode:").unwrap_or(target).trim_start_matches('[');
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    &target[..target.find(|c| !is_word(c)).unwrap_or(target.len())]
}

fn is_transfer(name: &str) -> bool {
    is_read(name) || matches!(name, "write" | "writev" | "send" | "sendto" | "sendmsg")
}

fn is_read(name: &str) -> bool {
    matches!(name, "read" | "readv" | "recv" | "recvfrom" | "recvmsg")
}

fn describe_outcome(call: &StraceCall, result: &str) -> String {
    let mut words = result.split_whitespace();
    let value = words.next().unwrap_or("");
    if matches!(value, "-1" | "?") {
        return match (call.name.as_str(), words.next().unwrap_or("no result")) {
            ("futex" | "io_uring_enter", "ETIMEDOUT" | "ETIME") => "timed out".to_owned(),
            (_, error) => error.to_owned(),
        };
    }
    match call.name.as_str() {
        // The result is the number of entries that the kernel took.
        "io_uring_enter" if call.arguments.split(", ").nth(1) == Some(value) => String::new(),
        "io_uring_enter" => format!("{value} taken"),
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "poll" | "ppoll" => {
            format_count(value, "event")
        }
        "futex" if call.arguments.contains("FUTEX_WAKE") => format_count(value, "thread"),
        "futex" => "woken".to_owned(),
        "accept" | "accept4" => "a connection".to_owned(),
        name if is_read(name) && value == "0" => "end of stream".to_owned(),
        name if is_transfer(name) => format_count(value, "byte"),
        // 0 says nothing but success.
        _ if value == "0" => String::new(),
        _ => value.to_owned(),
    }
}

fn format_count(number: &str, what: &str) -> String {
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::super::lines::parse;
    use super::*;

    #[track_caller]
    fn assert_gist(line: &str, expected: &str) {
        let calls = parse(format!("1 {line}").as_bytes());
        assert_eq!(gist(&calls[0]), expected, "{line}");
    }

    #[test]
    fn readiness() {
        assert_gist("epoll_wait(4<anon_inode:[eventpoll]>, [...], 1024, -1) = 1", "-> 1 event");
        assert_gist("epoll_pwait(4, [...], 1024, 0, NULL, 8) = 16", "-> 16 events");
        assert_gist("epoll_wait(4, [], 1024, 10) = 0", "-> 0 events");
        assert_gist("epoll_wait(4, 0x1, 8, -1) = -1 EINTR (Interrupted system call)", "-> EINTR");
        assert_gist("recvfrom(7<socket:[5]>, \"\"..., 4096, 0, NULL, NULL) = 64", "-> 64 bytes");
        assert_gist("sendto(7<socket:[5]>, \"\"..., 1, 0, NULL, 0) = 1", "-> 1 byte");
        assert_gist("read(7<socket:[5]>, \"\", 4096) = 0", "-> end of stream");
        assert_gist("epoll_wait(4<anon_inode:[eventpoll]>, ", "");
    }

    #[test]
    fn what_runtimes_do_beside_it() {
        let again = "-1 EAGAIN (Resource temporarily unavailable)";
        assert_gist(
            &format!("read(5<anon_inode:[eventfd]>, 0x7, 8) = {again}"),
            "eventfd -> EAGAIN",
        );
        let ctl = "epoll_ctl(4<anon_inode:[eventpoll]>, EPOLL_CTL";
        assert_gist(
            &format!("{ctl}_MOD, 5<anon_inode:[eventfd]>, {{a, b}}) = 0"),
            "change eventfd",
        );
        assert_gist(&format!("{ctl}_DEL, 8<socket:[52]>, NULL) = 0"), "remove socket");
        assert_gist("futex(0x55, FUTEX_WAKE_PRIVATE, 1) = 1", "wake 1 -> 1 thread");
        let wait = "futex(0x55, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, FUTEX_BITSET_MATCH_ANY";
        assert_gist(&format!("{wait}) = 0"), "wait -> woken");
        assert_gist(&format!("{wait}) = -1 ETIMEDOUT (Connection timed out)"), "wait -> timed out");
        assert_gist(wait, "wait");
        let timer =
            "timerfd_settime(6<anon_inode:[timerfd]>, 0, {it_interval={tv_sec=0, tv_nsec=0}";
        assert_gist(&format!("{timer}, it_value={{tv_sec=0, tv_nsec=0}}}}, NULL) = 0"), "disarm");
        assert_gist(&format!("{timer}, it_value={{tv_sec=1, tv_nsec=0}}}}, NULL) = 0"), "arm");
    }

    #[test]
    fn completion() {
        let ring = "io_uring_enter(5<anon_inode:[io_uring]>";
        let both = format!("{ring}, 2, 1, IORING_ENTER_GETEVENTS|0x80, NULL, 128");
        assert_gist(&both, "submit 2, wait 1");
        assert_gist(&format!("{both}) = 2"), "submit 2, wait 1");
        assert_gist(&format!("{both}) = 1"), "submit 2, wait 1 -> 1 taken");
        assert_gist(
            &format!("{both}) = -1 ETIME (Timer expired)"),
            "submit 2, wait 1 -> timed out",
        );
        assert_gist(&format!("{ring}, 0, 1, IORING_ENTER_GETEVENTS, NULL, 8) = 0"), "wait 1");
        assert_gist(&format!("{ring}, 1, 0, 0, NULL, 128) = 1"), "submit 1");
        assert_gist(&format!("{ring}, 0, 0, 0, NULL, 128) = 0"), "submit 0");
    }
}
