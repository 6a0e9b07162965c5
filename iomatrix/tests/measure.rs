//! Runs `iomatrix load` and `iomatrix bench` as a user types them, and checks what they print,
//! write and exit with. The servers are threads of this test, and mio's backend in a development
//! build, because no time is judged.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use harness::binaries;
use report::bench::{Bench, Pinning};
use report::load::{Ending, LoadResult};
use socket2::{Domain, Socket, Type};

const IOMATRIX: &str = env!("CARGO_BIN_EXE_iomatrix");

/// Starts an echo server that changes the byte at this position of each connection's stream.
fn server(wrong_at: Option<usize>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            thread::spawn(move || {
                let mut buffer = vec![0; 4096];
                let mut before = 0;
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    let at = wrong_at.and_then(|at| at.checked_sub(before));
                    if let Some(byte) = at.and_then(|at| buffer[..n].get_mut(at)) {
                        *byte ^= 1;
                    }
                    before += n;
                    if stream.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn iomatrix(command: &str, arguments: &[&str]) -> Output {
    let output = Command::new(IOMATRIX).arg(command).args(arguments).output();
    output.unwrap_or_else(|error| panic!("start {IOMATRIX}: {error}"))
}

/// Runs a short closed loop.
fn load(address: SocketAddr, options: &[&str]) -> Output {
    let address = address.to_string();
    let short = [address.as_str(), "-c", "4", "-d", "300ms", "-w", "50ms"];
    iomatrix("load", &[&short, options].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn result(output: &Output) -> LoadResult {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Whether nothing was wrong, except that this host saturated the generator.
fn is_saturated(output: &Output) -> bool {
    output.status.code() == Some(3) && text(&output.stdout).contains("saturated")
}

#[test]
fn a_load_prints_what_it_measured_in_each_format() {
    let address = server(None);
    for (format, expected) in [
        ("text", "closed loop"),
        ("json", "\"throughput\""),
        ("jsonl", "\"run\":1"),
        ("csv", "messages_per_second"),
        ("markdown", "| "),
    ] {
        let output = load(address, &["--output", format]);
        assert!(output.status.success() || is_saturated(&output), "{output:?}");
        assert!(text(&output.stdout).contains(expected), "{output:?}");
    }
    // The log has nothing but times. Whether they are valid is on another page.
    let log = load(address, &["--output", "hdr"]);
    assert!(matches!(log.status.code(), Some(0 | 3)), "{log:?}");
    assert!(text(&log.stdout).contains("times in nanoseconds"), "{log:?}");
    let output = load(address, &["--output", "jsonl", "--runs", "2"]);
    let runs: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is a document"))
        .collect();
    let numbers: Vec<_> = runs.iter().map(|run| run["run"].clone()).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn wrong_bytes_make_it_invalid_and_give_no_number() {
    let output = load(server(Some(100)), &["--output", "json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let measurement = &result(&output).measurements[0];
    assert_eq!(measurement.throughput, None);
    assert_eq!(measurement.ending, Ending::Abandoned);
    let page = text(&load(server(Some(100)), &[]).stdout);
    assert!(page.contains("invalid") && page.contains("altered"), "{page}");
    assert!(!page.contains("messages/s"), "{page}");
}

#[test]
fn a_condition_that_holds_is_status_99() {
    let address = server(None);
    let output = load(address, &["--fail-if", "throughput > 0", "--fail-if", "p99 > 100s"]);
    if is_saturated(&output) {
        return;
    }
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    assert!(text(&output.stderr).contains("throughput > 0"), "{output:?}");
    let output = load(address, &["--fail-if", "errors > 0"]);
    assert!(output.status.success() || is_saturated(&output), "{output:?}");
    let output = load(address, &["--fail-if", "p99 is bad"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn mistakes_are_answered_with_what_to_write() {
    let mistakes: [(&[&str], &str); 7] = [
        (&["127.0.0.1"], "has no port"),
        (&["10.1.2.3:80"], "--allow-remote"),
        (&["127.0.0.1:1", "-p", "much"], "such as 64"),
        (&["127.0.0.1:1", "-r", "fast"], "such as 500"),
        (&["udp:127.0.0.1:1", "-p", "4", "-d", "1s"], "datagram"),
        (&["127.0.0.1:1", "-c", "0"], "1 at the least"),
        (&["127.0.0.1:1", "--churn", "--pipeline", "2"], "one message"),
    ];
    for (arguments, expected) in mistakes {
        let output = iomatrix("load", arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(expected), "{output:?}");
    }
    // Bound but not listening, so nobody else can get the port.
    let nobody = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    nobody.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    let address = nobody.local_addr().expect("its address").as_socket().unwrap();
    let output = load(address, &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("cannot open connection"), "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_interruption_leaves_what_was_measured_and_is_status_130() {
    let address = server(None).to_string();
    let child = Command::new(IOMATRIX)
        .args(["load", &address, "-c", "2", "-d", "600s", "-w", "0s", "--output", "json"])
        .args(["--output", "hdr=/dev/null"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    // A signal that comes before its connections exist may come before its handler does.
    let connections = || text(&std::fs::read("/proc/net/tcp").unwrap_or_default());
    let is_loading = || connections().contains(&port(&address));
    let start = std::time::Instant::now();
    while !is_loading() {
        assert!(start.elapsed().as_secs() < 60, "it does not load");
        thread::yield_now();
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let result = result(&output);
    assert_eq!(result.measurements[0].ending, Ending::Interrupted);
}

/// The port of an address, as procfs writes it for an established connection to it.
#[cfg(target_os = "linux")]
fn port(address: &str) -> String {
    let port: u16 = address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    format!(":{port:04X} 01")
}

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("iomatrix-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a short bench of mio's row, with the program at `program`. The result goes to `file`.
fn bench(program: &Path, file: &Path, options: &[&str]) -> Output {
    let folder = program.parent().expect("it is in a folder");
    let output = Command::new(IOMATRIX)
        .args(["bench", "--row", "mio", "--rounds", "2", "-c", "8", "-d", "200ms", "-w", "50ms"])
        .args(["--output", "json", "--output", &format!("json={}", file.display())])
        .args(options)
        .env(binaries::BIN_DIR, folder)
        .output();
    output.unwrap_or_else(|error| panic!("start {IOMATRIX}: {error}"))
}

#[test]
fn a_bench_checks_first_measures_in_rounds_and_saves() {
    let programs = binaries::locate(&["backend-mio"], binaries::OWN_PROFILE).expect("it is built");
    let folder = Folder::new("bench");
    let output = bench(&programs["backend-mio"], &folder.0.join("mio.json"), &[]);
    let saved = std::fs::read(folder.0.join("mio.json")).expect("a result");
    assert_eq!(saved, output.stdout, "{output:?}");
    let bench: Bench = serde_json::from_slice(&saved).expect("a bench");
    let row = &bench.rows[0];
    assert_eq!(row.refused, None, "{output:?}");
    assert_eq!(row.samples.len(), 2);
    assert_eq!(bench.build.servers, None);
    if cfg!(target_os = "linux") {
        assert_eq!(bench.floor_ns.len(), 2);
        let measured = row.samples.iter().find_map(|sample| sample.server.as_ref());
        if let Some(used) = measured {
            assert!(used.cpu_ns.number().is_some_and(|ns| ns > 500.0), "{used:?}");
            assert_eq!(used.submissions.number(), None);
        }
        assert!(row.idle_connection_bytes.number().is_some(), "{:?}", row.idle_connection_bytes);
        let is_apart = matches!(bench.pinning, Pinning::Apart { .. });
        let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        assert_eq!(is_apart, cpus > 1, "{:?}", bench.pinning);
    }
}

#[cfg(unix)]
#[test]
fn a_row_that_answers_wrongly_is_not_timed() {
    use std::os::unix::fs::PermissionsExt as _;
    let mutant = binaries::locate(&["mutant"], binaries::OWN_PROFILE).expect("it is built");
    let folder = Folder::new("wrong");
    let program = folder.0.join("backend-mio");
    // Drops the two arguments of `--flavor`, because the mutant does not have mio's flavor.
    let script = format!(
        "#!/bin/sh\nshift 2\nexec '{}' --fault translates-crlf \"$@\"\n",
        mutant["mutant"].display()
    );
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let output = bench(&program, &folder.0.join("wrong.json"), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let bench: Bench = serde_json::from_slice(&output.stdout).expect("a bench");
    let refused = bench.rows[0].refused.as_ref().expect("it is wrong");
    assert_eq!(refused.because, report::bench::RefusalKind::Wrong);
    assert!(refused.reason.starts_with("fails tcp-echo/"), "{refused:?}");
    assert!(bench.rows[0].samples.is_empty());
}

#[test]
fn a_sweep_wants_one_quantity_with_several_values() {
    let output = iomatrix("sweep", &["--row", "mio"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("-c 1,8,64,512"), "{output:?}");
    let output = iomatrix("bench", &["--row", "nope"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("the rows are: tokio"), "{output:?}");
}
