//! Judges whether the host's limits are enough, and for what.

use report::host::{Availability, Host, IoUring, Limit, LimitValue, group_digits, size};
use report::{Outside, outside};

/// Descriptors that the server and the judge each need in the cases of 1,000 connections: one per
/// connection, and 100 for everything else.
const DESCRIPTORS: u64 = 1_100;
/// The backlog that the contract asks of a server.
const BACKLOG: u32 = 1_024;
/// Ports for the case of 5,000 connections in sequence, each of which then stays in TIME_WAIT, and
/// as many again for cells that run at the same time.
const PORTS: u32 = 10_000;

/// A limit of the host, compared with what the suites and measurements need.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) name: &'static str,
    /// What the host has.
    pub(super) found: Outside,
    /// What that is enough for, or not enough for.
    pub(super) verdict: Outside,
    /// What to change, if it is not enough.
    pub(super) fix: Option<Outside>,
}

/// Judges every known limit of this host, in the order in which they are shown.
pub(super) fn judge(host: &Host) -> Vec<Diagnosis> {
    [
        Some(cpus(host.cpus)),
        host.limits.open_files.map(open_files),
        memlock(host),
        host.somaxconn.map(|length| somaxconn(length, &host.os)),
        host.ephemeral_ports.map(ephemeral_ports),
        Some(ipv6(&host.ipv6)),
        host.tcp_congestion_control.as_ref().map(|name| congestion_control(name, &host.os)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn cpus(count: usize) -> Diagnosis {
    let verdict = match count {
        0 | 1 => "the server and the load generator would share it: check, but do not measure",
        2 | 3 => "one worker can be measured, with the load generator on a CPU of its own",
        _ => "enough to measure several workers, with the load generator apart",
    };
    Diagnosis { name: "CPUs", found: count.to_string().into(), verdict: verdict.into(), fix: None }
}

fn open_files(limit: Limit) -> Diagnosis {
    let verdict = if limit.soft.allows(DESCRIPTORS) {
        "enough for the cases of 1,000 connections".to_owned()
    } else {
        format!(
            "too few for the cases of 1,000 connections, which take about {}",
            group_digits(DESCRIPTORS)
        )
    };
    let lasting = "docker run --ulimit nofile=4096, or LimitNOFILE=4096 in a systemd unit";
    let fix = if limit.soft.allows(DESCRIPTORS) {
        None
    } else if limit.hard.allows(DESCRIPTORS) {
        Some("ulimit -n 4096, or as many as ulimit -Hn allows".to_owned())
    } else {
        Some(format!("raise the hard limit as well: {lasting}"))
    };
    Diagnosis {
        name: "open files",
        found: amount(limit.soft, group_digits),
        verdict: verdict.into(),
        fix: fix.map(Outside::from),
    }
}

/// Only the memory of rings is charged to this limit, so it is judged on Linux only.
fn memlock(host: &Host) -> Option<Diagnosis> {
    let limit = host.limits.memlock.filter(|_| host.os == "linux")?;
    let entries = group_digits(IoUring::RING_ENTRIES.into());
    let ring = size(IoUring::RING_BYTES);
    let scarce = "docker run --ulimit memlock=-1:-1, or LimitMEMLOCK=infinity in a systemd unit";
    let (verdict, fix) = match host.limits.rings() {
        None if host.limits.memlock_exempt => {
            ("does not bind io_uring, as CAP_IPC_LOCK is held".to_owned(), None)
        }
        None => ("enough for any number of rings".to_owned(), None),
        Some(0) if host.driver("io_uring").is_some_and(Availability::is_available) => (
            format!("a ring of {entries} entries was set up: this kernel does not charge it"),
            None,
        ),
        Some(0) => (
            format!("too little for a ring of {entries} entries, which takes {ring}"),
            Some(scarce.to_owned()),
        ),
        Some(rings) => (
            format!(
                "room for {rings} rings of {entries} entries ({ring} each), over all processes \
                 of this user"
            ),
            is_scarce(rings, host.cpus).then(|| scarce.to_owned()),
        ),
    };
    Some(Diagnosis {
        name: "memlock",
        found: amount(limit.soft, size),
        verdict: verdict.into(),
        fix: fix.map(Outside::from),
    })
}

/// Whether the limit allows fewer than two rings per CPU. A server may use one per CPU, and the
/// kernel frees those of the previous server late.
fn is_scarce(rings: u64, cpus: usize) -> bool {
    u64::try_from(cpus).is_ok_and(|cpus| rings < 2 * cpus)
}

fn somaxconn(length: u32, os: &Outside) -> Diagnosis {
    let enough = length >= BACKLOG;
    let backlog = group_digits(BACKLOG.into());
    let verdict = if enough {
        format!("enough for the contract's backlog of {backlog}")
    } else {
        format!("cuts the contract's backlog of {backlog} short")
    };
    let sysctl = if os.equals("linux") {
        "net.core.somaxconn"
    } else if os.equals("freebsd") {
        "kern.ipc.soacceptqueue"
    } else {
        "kern.ipc.somaxconn"
    };
    Diagnosis {
        name: "somaxconn",
        found: group_digits(length.into()).into(),
        verdict: verdict.into(),
        fix: (!enough).then(|| format!("sudo sysctl {sysctl}={BACKLOG}").into()),
    }
}

fn ephemeral_ports(count: u32) -> Diagnosis {
    let verdict = if count >= PORTS {
        "enough for the cases of 5,000 connections in sequence"
    } else {
        "few: 5,000 connections in sequence leave as many ports in TIME_WAIT"
    };
    Diagnosis {
        name: "ports",
        found: group_digits(count.into()).into(),
        verdict: verdict.into(),
        fix: None,
    }
}

fn ipv6(state: &Availability) -> Diagnosis {
    let (found, verdict, fix) = match state {
        Availability::Available { details } => ("yes", details.clone(), None),
        Availability::Unavailable { reason, fix } => {
            ("no", outside!("the cases of IPv6 are left out: {}", reason), fix.clone())
        }
    };
    Diagnosis { name: "IPv6", found: found.into(), verdict, fix }
}

fn congestion_control(name: &Outside, os: &Outside) -> Diagnosis {
    let unusual = os.equals("linux") && !name.equals("cubic");
    let verdict = if unusual {
        "most Linux hosts have cubic; compare measurements only with the same"
    } else {
        "the usual one"
    };
    Diagnosis {
        name: "TCP",
        found: name.clone(),
        verdict: verdict.into(),
        fix: unusual.then(|| "sudo sysctl net.ipv4.tcp_congestion_control=cubic".into()),
    }
}

fn amount(value: LimitValue, show: fn(u64) -> String) -> Outside {
    match value {
        LimitValue::At(amount) => show(amount).into(),
        LimitValue::Unlimited => "unlimited".into(),
    }
}
