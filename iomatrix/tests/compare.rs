//! Runs `iomatrix compare` on small benches, and on files that are not benches.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use harness::scratch::Scratch;
use report::bench::{self, Bench, BenchRow, Build, Count, Pinning};
use report::load::{
    Amount, Arrival, BuildProfile, Ending, Generator, Measurement, MessageSizes, Target, Traffic,
    Validity, Workload,
};
use report::{Attestation, Host, Model, Seed, Transport};

fn bench(host: Host, system_calls: f64) -> Bench {
    let measurement = Measurement {
        validity: Validity::Valid,
        ending: Ending::Complete,
        opening_seconds: Some(0.01),
        seconds: 1.0,
        traffic: Traffic::default(),
        throughput: None,
        response: None,
        service: None,
        send_lag: None,
        connect: None,
        errors: std::collections::BTreeMap::new(),
        notes: Vec::new(),
        generator: Generator::default(),
    };
    let (servers, generator) = (BuildProfile::Release, BuildProfile::Release);
    Bench {
        version: bench::FORMAT_VERSION,
        label: "here".into(),
        started_unix: 0,
        seconds: 1.0,
        host,
        build: Build { rustc: "rustc".into(), servers: Some(servers), generator },
        workload: Workload {
            target: Target { transport: Transport::Tcp, address: "127.0.0.1:1".into() },
            connections: 1,
            idle_connections: 0,
            sizes: MessageSizes(vec![64]),
            pipeline: 1,
            arrival: Arrival::Closed,
            churn: false,
            connect_rate: None,
            warmup_seconds: 0.0,
            amount: Amount::Seconds(1.0),
            threads: 1,
            seed: Seed::new(1),
        },
        workers: 1,
        pinning: Pinning::None { reason: "one processor".into() },
        baseline: "row".into(),
        interrupted: false,
        floor_ns: Vec::new(),
        ceiling: None,
        rows: vec![BenchRow {
            name: "row".into(),
            package: "backend-row".into(),
            model: Model::Readiness,
            driver: "epoll".into(),
            flavor: "plain".into(),
            runtime: None,
            attestation: Attestation::NotAttested { reason: "not asked".into() },
            refused: None,
            samples: vec![bench::Sample { round: 0, measurement, server: None }],
            system_calls: Count::Of(system_calls),
            idle_connection_bytes: Count::none("not counted"),
        }],
    }
}

/// Writes each bench to a result folder of its own.
fn folders(scratch: &Scratch, benches: [&Bench; 2]) -> [PathBuf; 2] {
    ["A", "B"].map(|name| {
        let folder = scratch.path().join(name);
        fs::create_dir(&folder).expect("make a folder");
        let bench = benches[usize::from(name == "B")];
        let text = serde_json::to_string(bench).expect("a bench is JSON");
        fs::write(folder.join(bench::FILE_NAME), text).expect("write a bench");
        folder
    })
}

fn compare(paths: &[PathBuf; 2], options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
    // Wide enough for every sentence.
    command
        .env("COLUMNS", "200")
        .arg("compare")
        .args(paths)
        .args(options)
        .output()
        .expect("start iomatrix")
}

#[track_caller]
fn expect(output: &Output, status: i32, parts: &[&str]) {
    let page = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{page}");
    for part in parts {
        assert!(page.contains(part), "expected '{part}' in:\n{page}");
    }
}

#[test]
fn more_system_calls_are_a_regression_and_fewer_are_none() {
    let scratch = Scratch::new().expect("make a folder");
    let host = harness::host::probe();
    let (few, many) = (bench(host.clone(), 2.0), bench(host, 3.0));
    let [a, b] = folders(&scratch, [&few, &many]);
    let line = "| row | here | system calls per message |  | 2.00 | 3.00 | +50 % | a regression |";
    let paths = [a.clone(), b.clone()];
    expect(&compare(&paths, &["--output", "markdown"]), 1, &[line, "times on here: 0 regr"]);
    expect(&compare(&paths, &["--output", "json"]), 1, &["\"judgement\": \"regression\""]);
    let files = [b.join(bench::FILE_NAME), a];
    expect(&compare(&files, &[]), 0, &["an improvement", "green: nothing is worse"]);
}

#[test]
fn times_of_another_host_need_force() {
    let scratch = Scratch::new().expect("make a folder");
    let host = harness::host::probe();
    let elsewhere = Host { cpus: host.cpus + 1, ..host.clone() };
    let paths = folders(&scratch, [&bench(host, 2.0), &bench(elsewhere, 2.0)]);
    expect(&compare(&paths, &[]), 0, &["not compared: other host (CPUs", "--force compares them"]);
    expect(&compare(&paths, &["--force"]), 0, &["forced, for another host (CPUs"]);
}

#[test]
fn what_cannot_be_compared_is_a_usage_error() {
    let scratch = Scratch::new().expect("make a folder");
    let host = harness::host::probe();
    let mut other = bench(host.clone(), 2.0);
    other.workload.connections = 9;
    let [a, b] = folders(&scratch, [&bench(host, 2.0), &other]);
    expect(
        &compare(&[a.clone(), b.clone()], &[]),
        2,
        &["differ in workload: connections 1 against 9"],
    );
    let nowhere = scratch.path().join("nowhere");
    expect(&compare(&[a.clone(), nowhere], &[]), 2, &["nowhere"]);
    let empty = scratch.path().join("empty");
    fs::create_dir(&empty).expect("make a folder");
    expect(&compare(&[a.clone(), empty.clone()], &[]), 2, &["no file there is a result"]);
    let load = empty.join("load.json");
    fs::write(&load, r#"{"measurements": []}"#).expect("write a file");
    expect(
        &compare(&[a.clone(), load], &[]),
        2,
        &["load.json: it is a result of `iomatrix load` and has no version"],
    );
    let newer = b.join("bench.json");
    other.version += 1;
    fs::write(&newer, serde_json::to_string(&other).expect("JSON")).expect("write a file");
    expect(
        &compare(&[a, newer], &[]),
        2,
        &["it is a result of `iomatrix bench` and has format 2; this program reads format 1"],
    );
}
