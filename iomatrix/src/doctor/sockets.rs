//! Shows what the kernel does with sockets, and which cases depend on that.

use report::host::{Host, group_digits};
use report::sockets::{AcceptAtLimit, ProbeResult, Sockets};
use report::{Outside, outside};

use super::judge::Diagnosis;

/// The outcome of every trial on this host, in the order in which they are shown.
pub(super) fn judge(host: &Host) -> Vec<Diagnosis> {
    let sockets = &host.sockets;
    vec![
        accept_queue(&sockets.accept_queue),
        at_limit(&sockets.accept_at_limit),
        connect(&sockets.established_at_once),
        refusal(&sockets.refused_us),
        datagrams("UDP", &sockets.udp_longest, Sockets::UDP_MAX_BYTES),
        udp_queue(&sockets.udp_waiting),
        datagrams("Unix datagram", &sockets.unixgram_longest, Sockets::UNIXGRAM_MAX_BYTES),
        unread("Unix unread", &sockets.unixgram_unread),
        full("full Unix queue", &sockets.full_unix, "what connect says when it does not wait"),
        full("full datagrams", &sockets.full_unixgram, "what send says when it does not wait"),
        time("sleep", &sockets.sleep_us, "how long a sleep of 1 ms takes"),
        time("receive limit", &sockets.timeout_us, "how long a receive with a limit of 1 ms waits"),
    ]
}

fn diagnosis<T>(
    name: &'static str,
    tried: &ProbeResult<T>,
    judge: impl FnOnce(&T) -> (Outside, Outside),
) -> Diagnosis {
    let (found, verdict) = match tried {
        ProbeResult::Seen(seen) => judge(seen),
        ProbeResult::Unknown(reason) => ("unknown".into(), reason.clone()),
    };
    Diagnosis { name, found, verdict, fix: None }
}

fn number(value: u32) -> Outside {
    group_digits(value.into()).into()
}

fn accept_queue(tried: &ProbeResult<u32>) -> Diagnosis {
    diagnosis("accept queue", tried, |room| {
        let backlog = Sockets::BACKLOG;
        let wait = format!("clients wait where {} are asked for", group_digits(backlog.into()));
        let verdict = match *room >= backlog {
            true => wait,
            false => format!("{wait}: cases in which more wait are unavailable"),
        };
        (number(*room), verdict.into())
    })
}

fn at_limit(tried: &ProbeResult<AcceptAtLimit>) -> Diagnosis {
    diagnosis("accept, EMFILE", tried, |seen| match seen {
        AcceptAtLimit::Waits => ("waits".into(), "the client stays in the queue".into()),
        AcceptAtLimit::Closed => (
            "closed".into(),
            "the kernel closes the client: cases in which it has to wait are unavailable".into(),
        ),
    })
}

fn connect(tried: &ProbeResult<bool>) -> Diagnosis {
    diagnosis("connect", tried, |at_once| match at_once {
        true => ("at once".into(), "established when connect returns".into()),
        false => {
            ("later".into(), "not established when connect returns: resets wait for it".into())
        }
    })
}

fn refusal(tried: &ProbeResult<u32>) -> Diagnosis {
    time("refusal", tried, "how long a connect takes where nobody listens")
}

fn datagrams(name: &'static str, tried: &ProbeResult<u32>, most: u32) -> Diagnosis {
    diagnosis(name, tried, |longest| {
        let verdict = match *longest >= most {
            true => "enough for every case".into(),
            false => format!(
                "the longest by default: cases go up to that, those of {} bytes are unavailable",
                group_digits(most.into())
            ),
        };
        (outside!("{} bytes", number(*longest)), verdict.into())
    })
}

fn udp_queue(tried: &ProbeResult<u32>) -> Diagnosis {
    diagnosis("UDP queue", tried, |waiting| {
        let most = Sockets::WAITING_DATAGRAMS;
        (number(*waiting), format!("short datagrams wait, of {most} that were sent").into())
    })
}

fn unread(name: &'static str, tried: &ProbeResult<u32>) -> Diagnosis {
    diagnosis(name, tried, |unread| {
        let most = Sockets::WAITING_DATAGRAMS;
        let verdict =
            format!("short datagrams of one sender wait unread, of {most} that were sent");
        (number(*unread), verdict.into())
    })
}

fn full(name: &'static str, tried: &ProbeResult<Outside>, verdict: &str) -> Diagnosis {
    diagnosis(name, tried, |said| (said.clone(), verdict.into()))
}

fn time(name: &'static str, tried: &ProbeResult<u32>, verdict: &str) -> Diagnosis {
    diagnosis(name, tried, |us| {
        (format!("{:.2} ms", f64::from(*us) / 1000.0).into(), verdict.into())
    })
}
