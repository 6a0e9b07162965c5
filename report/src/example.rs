//! Small documents for tests: a load in an open loop and in a closed loop, a bench of three rows,
//! and a check of one row.

use std::collections::BTreeMap;

use crate::bench::{self, Bench, BenchRow, Build, Ceiling, Count, Pinning, Sample, ServerUse};
use crate::host::{Availability, Host, Limits};
use crate::load::{
    self, Amount, Arrival, BuildProfile, Ending, Generator, Latency, LoadResult, Measurement,
    MessageSizes, Percentile, Target, Throughput, Traffic, Validity, Workload,
};
use crate::outside::Outside;
use crate::run::{self, Attestation, Cell, Failure, FailureKind, Run, RunRow};
use crate::seed::{Seed, SeedSource};
use crate::sockets::Sockets;
use crate::transport::Transport;
use crate::verdict::{Grade, Level, Model, Question, Verdict};

pub(crate) fn host() -> Host {
    Host {
        os: "linux".into(),
        arch: "x86_64".into(),
        kernel: Some("6.17.0".into()),
        cpu_model: Some("Example 9".into()),
        cpus: 4,
        memory_bytes: Some(8 << 30),
        virtualisation: None,
        container: None,
        seccomp: None,
        runner: None,
        tcp_congestion_control: Some("cubic".into()),
        limits: Limits { open_files: None, memlock: None, memlock_exempt: false },
        somaxconn: Some(4096),
        ephemeral_ports: Some(28_232),
        ipv6: Availability::Available { details: "bound".into() },
        drivers: Vec::new(),
        io_uring: None,
        counters: Vec::new(),
        sockets: Sockets::default(),
    }
}

pub(crate) fn workload(arrival: Arrival) -> Workload {
    Workload {
        target: Target { transport: Transport::Tcp, address: "127.0.0.1:8080".into() },
        connections: 64,
        idle_connections: 0,
        sizes: MessageSizes(vec![1024]),
        pipeline: 1,
        arrival,
        churn: false,
        connect_rate: None,
        warmup_seconds: 2.0,
        amount: Amount::Seconds(10.0),
        threads: 1,
        seed: Seed::new(7319),
    }
}

/// A distribution of 2,000 samples with this p99, in nanoseconds.
pub(crate) fn latency(p99: u64) -> Latency {
    let at = |percent, ns| Percentile { percent, ns };
    Latency {
        samples: 2_000,
        min_ns: 9_000,
        mean_ns: 45_000.0,
        max_ns: 2_300_000,
        percentiles: vec![at(50.0, Some(42_000)), at(99.0, Some(p99)), at(99.9, None)],
    }
}

/// A valid measurement of an open loop.
pub(crate) fn open() -> Measurement {
    Measurement {
        validity: Validity::Valid,
        ending: Ending::Complete,
        opening_seconds: Some(0.01),
        seconds: 10.0,
        traffic: Traffic { sent: 200_012, echoed: 200_012, bytes: 204_812_288 },
        throughput: Some(Throughput {
            messages_per_second: 20_001.2,
            bytes_per_second: 20_481_228.8,
        }),
        response: Some(latency(121_000)),
        service: Some(latency(109_000)),
        send_lag: Some(latency(9_000)),
        connect: Some(latency(300_000)),
        errors: BTreeMap::new(),
        notes: Vec::new(),
        generator: Generator {
            threads: 1,
            cpu_seconds: Some(3.4),
            busiest_share: Some(0.34),
            waits_share: None,
            jitter_p99_ns: Some(6_000),
            profile: BuildProfile::Release,
        },
    }
}

/// A valid measurement of a closed loop.
pub(crate) fn closed(messages_per_second: f64, p99: u64) -> Measurement {
    Measurement {
        throughput: Some(Throughput {
            messages_per_second,
            bytes_per_second: messages_per_second * 1024.0,
        }),
        response: None,
        service: Some(latency(p99)),
        send_lag: None,
        ..open()
    }
}

pub(crate) fn invalid(reason: &str) -> Validity {
    Validity::Invalid { reasons: vec![reason.into()] }
}

pub(crate) fn load(arrival: Arrival, measurements: Vec<Measurement>) -> LoadResult {
    LoadResult {
        version: load::FORMAT_VERSION,
        started_unix: 1_760_000_000,
        host: host(),
        workload: workload(arrival),
        measurements,
    }
}

/// A row whose cost grows by 1 % of `cost` per round.
pub(crate) fn row(name: &str, package: &str, model: Model, cost: f64) -> BenchRow {
    let sample = |round: u32| {
        let cost = cost * (1.0 + 0.01 * f64::from(round));
        Sample {
            round,
            measurement: closed(100_000.0 / cost, (100_000.0 * cost) as u64),
            server: Some(ServerUse {
                cpu_ns: Count::Of(4_000.0 * cost),
                user_ns: Count::Of(1_000.0 * cost),
                system_ns: Count::Of(3_000.0 * cost),
                submissions: Count::none("no ring"),
                context_switches: Count::Of(0.2),
                resident_bytes: Count::Of(6_291_456.0),
                threads: Count::Of(3.0),
            }),
        }
    };
    BenchRow {
        name: name.into(),
        package: package.into(),
        model,
        driver: "epoll".into(),
        flavor: "plain".into(),
        runtime: Some(format!("{name} 1.0").into()),
        attestation: Attestation::Attested { seen: "no ring".into() },
        refused: None,
        samples: (0..6).map(sample).collect(),
        system_calls: Count::Of(2.08),
        idle_connection_bytes: Count::Of(5_120.0),
    }
}

/// `slow` and `fast` are one program on two drivers; `base` is another program.
pub(crate) fn bench() -> Bench {
    let mut fast = row("fast", "backend-pair", Model::Completion, 0.5);
    fast.driver = "io_uring".into();
    Bench {
        version: bench::FORMAT_VERSION,
        label: "linux".into(),
        started_unix: 1_760_000_000,
        seconds: 120.0,
        host: host(),
        build: Build {
            rustc: "rustc 1.95.0".into(),
            servers: Some(BuildProfile::Release),
            generator: BuildProfile::Release,
        },
        workload: workload(Arrival::Closed),
        workers: 2,
        pinning: Pinning::Apart { server: vec![0, 1], generator: vec![2, 3] },
        baseline: "base".into(),
        interrupted: false,
        floor_ns: vec![2_000.0; 6],
        ceiling: Some(Ceiling { messages_per_second: 400_000.0, generator_ns: 2_500.0 }),
        rows: vec![
            row("base", "backend-base", Model::Readiness, 1.0),
            fast,
            row("slow", "backend-pair", Model::Readiness, 1.0),
        ],
    }
}

/// A cell of the row `base`.
pub(crate) fn cell(case: &str, verdict: Verdict) -> Cell {
    let is_broken = matches!(verdict, Verdict::Fail | Verdict::Crash | Verdict::Timeout);
    let failure = is_broken.then(|| Failure::new(FailureKind::Lost, "all", "less"));
    let is_absent = matches!(verdict, Verdict::Unavailable | Verdict::Unsupported);
    Cell {
        row: "base".into(),
        suite: "tcp-echo".into(),
        case: case.into(),
        level: Level::Must,
        question: Question::Bytes,
        requirement: "Bytes come back".into(),
        verdict,
        failure,
        reason: is_absent.then(|| "no such driver".into()),
        observation: None,
        margin: None,
        seed: Seed::new(1),
        seconds: 0.1,
        cpu_seconds: Some(0.1),
        exclusive: false,
        held_back: None,
        stderr_tail: Vec::new(),
        likely_fix: None,
        repeat: Outside::default(),
        waiver: None,
        is_unasked: false,
        follows_from: None,
    }
}

pub(crate) fn check(cells: Vec<Cell>) -> Run {
    Run {
        version: run::FORMAT_VERSION,
        label: "linux".into(),
        started_unix: 1_760_000_000,
        seconds: 1.0,
        seed: Seed::new(1),
        seed_source: SeedSource::Random,
        profile: "default".into(),
        host: host(),
        planned: cells.len(),
        rows: vec![RunRow {
            name: "base".into(),
            model: Model::Readiness,
            driver: "epoll".into(),
            flavor: "plain".into(),
            workers: 2,
            runtime: None,
            attestation: Attestation::NotAttested { reason: "not here".into() },
            grade: Grade::Contract,
            certificate: crate::Certificate::default(),
        }],
        cells,
    }
}
