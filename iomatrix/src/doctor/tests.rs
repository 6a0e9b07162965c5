//! The pages and judgements, tested with invented hosts.

use std::path::PathBuf;

use harness::launcher::{Origin, Program};
use harness::ring_needs::RingNeeds;
use report::host::{Availability, Counter, Hint, IoUring, Limit, LimitValue, Limits, Seccomp};
use report::sockets::{AcceptAtLimit, ProbeResult, Sockets};
use report::{View, Width};

use super::judge::judge;
use super::*;

fn at_most(amount: u64) -> LimitValue {
    LimitValue::At(amount)
}

/// A container in which io_uring is denied.
fn host() -> Host {
    let driver = |name: &str, state| Driver { name: name.into(), state };
    let unavailable = |reason: &str, fix: Option<&str>| Availability::Unavailable {
        reason: reason.into(),
        fix: fix.map(str::to_owned).map(Into::into),
    };
    let available = |details: &str| Availability::Available { details: details.into() };
    let limit = |soft, hard| Some(Limit { soft, hard });
    Host {
        os: "linux".into(),
        arch: "x86_64".into(),
        kernel: Some("6.17.0".into()),
        cpu_model: Some("A|B".into()),
        cpus: 4,
        memory_bytes: Some(16 << 30),
        virtualisation: None,
        container: Some(Hint { name: "docker".into(), evidence: "/.dockerenv exists".into() }),
        seccomp: Some(Seccomp::Filter),
        runner: None,
        tcp_congestion_control: Some("cubic".into()),
        limits: Limits {
            open_files: limit(at_most(1024), LimitValue::Unlimited),
            memlock: limit(at_most(8 << 20), at_most(8 << 20)),
            memlock_exempt: false,
        },
        somaxconn: Some(4096),
        ephemeral_ports: Some(28_232),
        ipv6: Availability::Available { details: "a socket on ::1 was bound".into() },
        drivers: vec![
            driver("epoll", available("an instance was created")),
            driver("kqueue", unavailable("macOS and the BSDs only", None)),
            driver("io_uring", unavailable("EPERM: a filter", Some("allow it"))),
        ],
        io_uring: None,
        counters: vec![Counter { name: "process".into(), state: available("/proc") }],
        sockets: Sockets {
            accept_queue: ProbeResult::Seen(128),
            accept_at_limit: ProbeResult::Seen(AcceptAtLimit::Closed),
            established_at_once: ProbeResult::Seen(false),
            refused_us: ProbeResult::Unknown("not refused within 50ms".into()),
            udp_longest: ProbeResult::Seen(9216),
            udp_waiting: ProbeResult::Seen(50),
            unixgram_longest: ProbeResult::Seen(100 * 1024),
            unixgram_unread: ProbeResult::Seen(16),
            full_unix: ProbeResult::Seen("ECONNREFUSED".into()),
            full_unixgram: ProbeResult::Seen("ENOBUFS".into()),
            sleep_us: ProbeResult::Seen(1060),
            timeout_us: ProbeResult::Seen(4100),
        },
    }
}

fn rows() -> Vec<Row> {
    [
        ("tokio", "epoll"),
        ("tokio-uring", "io_uring"),
        ("compio-io_uring", "io_uring"),
        ("tokio-kqueue", "kqueue"),
    ]
    .map(|(name, driver)| row(name, driver, &[]))
    .into()
}

/// A row on `driver` that needs these setup flags.
fn row(name: &str, driver: &str, setup: &[&str]) -> Row {
    let origin = Origin::Contract(Program { executable: PathBuf::new(), arguments: Vec::new() });
    let setup = setup.iter().map(|flag| (*flag).to_owned()).collect();
    let ring = RingNeeds { setup, operations: vec!["accept".to_owned()] };
    Row { driver: Some(driver.into()), ring, ..Row::undeclared(name, origin) }
}

fn page(rows: Vec<Row>, format: Format) -> String {
    page_of(host(), rows, format)
}

fn page_of(host: Host, rows: Vec<Row>, format: Format) -> String {
    let checkup = Checkup { host, rows };
    report::render(&checkup, &(), format, View::plain(Width::new(100))).unwrap()
}

#[test]
fn the_text_says_what_why_how_and_for_whom() {
    let expected = "\
linux 6.17.0 x86_64
A|B, 16 GiB
container: docker (/.dockerenv exists)
seccomp: filter mode

drivers (1 of 4 rows can run here)
  epoll            available: an instance was created
  kqueue           not available: macOS and the BSDs only
                   affects: tokio-kqueue
  io_uring         NOT available: EPERM: a filter
                   fix: allow it
                   affects: tokio-uring, compio-io_uring

limits
  CPUs             4: enough to measure several workers, with the load generator apart
  open files       1,024: too few for the cases of 1,000 connections, which take about 1,100
                   fix: ulimit -n 4096, or as many as ulimit -Hn allows
  memlock          8 MiB: room for 78 rings of 1,024 entries (104 KiB each), over all processes of
                   this user
  somaxconn        4,096: enough for the contract's backlog of 1,024
  ports            28,232: enough for the cases of 5,000 connections in sequence
  IPv6             yes: a socket on ::1 was bound
  TCP              cubic: the usual one

sockets, as tried
  accept queue     128: clients wait where 1,024 are asked for: cases in which more wait are
                   unavailable
  accept, EMFILE   closed: the kernel closes the client: cases in which it has to wait are
                   unavailable
  connect          later: not established when connect returns: resets wait for it
  refusal          unknown: not refused within 50ms
  UDP              9,216 bytes: the longest by default: cases go up to that, those of 65,507 bytes
                   are unavailable
  UDP queue        50: short datagrams wait, of 50 that were sent
  Unix datagram    102,400 bytes: enough for every case
  Unix unread      16: short datagrams of one sender wait unread, of 50 that were sent
  full Unix queue  ECONNREFUSED: what connect says when it does not wait
  full datagrams   ENOBUFS: what send says when it does not wait
  sleep            1.06 ms: how long a sleep of 1 ms takes
  receive limit    4.10 ms: how long a receive with a limit of 1 ms waits

counters
  process          available: /proc
";
    assert_eq!(page(rows(), Format::Text), expected);
}

#[test]
fn markdown_escapes_what_the_host_says() {
    let page = page(rows(), Format::Markdown);
    assert!(page.contains("- A\\|B, 16 GiB\n"), "{page}");
    assert!(
        page.contains(
            "| io\\_uring | no | EPERM: a filter | allow it | tokio-uring, compio-io\\_uring |\n"
        ),
        "{page}"
    );
}

/// Linux 5.19, on which a plain ring works.
fn old_kernel() -> Host {
    let mut host = host();
    host.drivers = vec![Driver {
        name: "io_uring".into(),
        state: Availability::Available { details: "a ring was set up".into() },
    }];
    host.io_uring = Some(IoUring {
        features: Vec::new(),
        setup_flags: vec!["COOP_TASKRUN".into()],
        operations: vec!["accept".into()],
    });
    host
}

#[test]
fn a_kernel_too_old_for_a_row_is_named_with_the_one_that_does() {
    let rows = vec![
        row("compio-io_uring", "io_uring", &["COOP_TASKRUN"]),
        row("uring", "io_uring", &["SINGLE_ISSUER", "DEFER_TASKRUN"]),
    ];
    let text = page_of(old_kernel(), rows.clone(), Format::Text);
    assert!(text.contains("drivers (1 of 2 rows can run here)"), "{text}");
    assert!(text.contains("affects: uring\n"), "{text}");
    assert!(
        text.contains("  compio-io_uring  available: needs Linux 5.19 (COOP_TASKRUN)\n"),
        "{text}"
    );
    assert!(text.contains("fix: boot Linux 6.1 or newer\n"), "{text}");
    let markdown = page_of(old_kernel(), rows, Format::Markdown);
    assert!(
        markdown.contains(
            "| uring | no | this kernel's io\\_uring lacks SINGLE\\_ISSUER (Linux 6.0), \
             DEFER\\_TASKRUN (Linux 6.1) | boot Linux 6.1 or newer |\n"
        ),
        "{markdown}"
    );
}

#[test]
fn a_kernel_that_does_not_charge_rings_is_not_said_to_lack_memory_for_them() {
    let mut host = old_kernel();
    let low = Limit { soft: at_most(65_536), hard: at_most(65_536) };
    host.limits.memlock = Some(low);
    assert_judged(&host, "memlock", "does not charge it", None);
}

#[test]
fn without_rows_nothing_is_said_of_them() {
    let page = page(Vec::new(), Format::Text);
    assert!(page.contains("\ndrivers\n"), "{page}");
    assert!(!page.contains("affects"), "{page}");
}

#[track_caller]
fn assert_judged(host: &Host, name: &str, verdict: &str, fix: Option<&str>) {
    let judgements = judge(host);
    let found = judgements.iter().find(|judgement| judgement.name == name).unwrap();
    assert!(found.verdict.contains(verdict), "{found:?}");
    match fix {
        Some(fix) => assert!(found.fix.as_ref().unwrap().contains(fix), "{found:?}"),
        None => assert_eq!(found.fix, None),
    }
}

#[test]
fn scarce_limits_get_a_fix() {
    let mut poor = host();
    let low = |amount| Some(Limit { soft: at_most(amount), hard: at_most(amount) });
    poor.limits.open_files = low(8);
    assert_judged(&poor, "open files", "too few", Some("hard limit"));
    poor.limits.memlock = low(65_536);
    assert_judged(&poor, "memlock", "too little for a ring", Some("memlock=-1:-1"));
    poor.limits.memlock = low(7 * 104 * 1024);
    assert_judged(&poor, "memlock", "room for 7 rings", Some("memlock"));
    poor.limits.memlock_exempt = true;
    assert_judged(&poor, "memlock", "CAP_IPC_LOCK", None);
    poor.somaxconn = Some(128);
    assert_judged(&poor, "somaxconn", "short", Some("net.core.somaxconn=1024"));
    poor.ephemeral_ports = Some(1000);
    assert_judged(&poor, "ports", "TIME_WAIT", None);
    poor.tcp_congestion_control = Some("bbr".into());
    assert_judged(&poor, "TCP", "cubic", Some("tcp_congestion_control=cubic"));
    poor.cpus = 1;
    assert_judged(&poor, "CPUs", "do not measure", None);
}

#[test]
fn other_systems_have_no_rings_to_charge() {
    let mut mac = host();
    mac.os = "macos".into();
    assert!(judge(&mac).iter().all(|judgement| judgement.name != "memlock"));
}
