//! `iomatrix check` on servers that are not rows: by a command, with and without the contract, and
//! by an address. The server is the mutant, which speaks the contract.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use harness::binaries;
use report::{Grade, Run, Verdict};

const IOMATRIX: &str = env!("CARGO_BIN_EXE_iomatrix");

/// The mutant's program, built once.
fn mutant() -> &'static str {
    static MUTANT: OnceLock<String> = OnceLock::new();
    MUTANT.get_or_init(|| {
        let programs = binaries::locate(&["mutant"], binaries::OWN_PROFILE).expect("it is built");
        programs["mutant"].to_str().expect("the path is UTF-8").to_owned()
    })
}

fn check(arguments: &[&str]) -> Output {
    let output = Command::new(IOMATRIX).arg("check").args(arguments).output();
    output.unwrap_or_else(|error| panic!("start {IOMATRIX}: {error}"))
}

fn command(arguments: &str) -> String {
    format!("'{}' --listen tcp:{{addr}} {arguments}", mutant())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The result of a check of this command, with these options.
fn run(command: &str, options: &[&str]) -> Run {
    let arguments = [&["--command", command, "--output", "json"], options].concat();
    let output = check(&arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn a_right_server_is_certified_by_its_command_alone() {
    let output = check(&["--command", &command(""), "--profile", "quick"]);
    let page = text(&output.stdout);
    assert!(output.status.success(), "{page}");
    let end = page.lines().last().unwrap_or_default();
    assert!(end.starts_with("certified: yes, grade "), "{end}");
    assert!(page.contains("grade command, profile quick"), "{page}");
}

#[test]
fn a_wrong_one_is_not_and_the_files_say_why() {
    let server = command("--fault translates-crlf");
    let options = ["--case", "tcp-echo/*-values"];
    let output = check(&[&["--command", &server, "--output", "junit"], &options[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let page = text(&output.stdout);
    assert!(page.contains("<failure") && page.contains("type=\"altered\""), "{page}");
    assert!(page.contains("errors=\"0\""), "{page}");
    let run = run(&server, &options);
    let row = &run.rows[0];
    assert_eq!((row.grade, row.certificate.certified), (Grade::Command, false));
    assert_eq!(row.certificate.must.broken, 1);
    assert!(row.certificate.reasons.iter().any(|reason| reason.contains("not asked")));
    assert!(run.cells[0].repeat.contains("--command"), "{:?}", run.cells[0].repeat);
}

#[test]
fn a_process_below_a_wrapper_is_the_one_that_is_measured() {
    if !cfg!(target_os = "linux") {
        // On other systems the process cases are unavailable.
        return;
    }
    let wrapped = format!("sh -c \"{}; true\"", command("").replace('\'', ""));
    let faulty = wrapped.replace("; true", "--fault leaks-idle-on-fin; true");
    let options = ["--case", "tcp-close/idle"];
    assert_eq!(run(&wrapped, &options).cells[0].verdict, Verdict::Pass);
    assert_eq!(run(&faulty, &options).cells[0].verdict, Verdict::Fail);
}

#[test]
fn a_command_that_never_listens_or_ends_is_not_judged() {
    let refusal = |command: &str| {
        let output = check(&["--command", command, "--start-timeout", "1s"]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        text(&output.stderr)
    };
    let said = refusal(&command("--no-such-option"));
    assert!(said.contains("the server ended with status 2 before it listened"), "{said}");
    // It listens on another port than the one that it is given.
    let elsewhere = format!("'{}' --listen tcp:127.0.0.1:0 --drain {{port}}s", mutant());
    let said = refusal(&elsewhere);
    assert!(said.contains("expected a server that listens on 127.0.0.1:"), "{said}");
}

/// A server that the test started itself.
struct ListeningServer(Child);

impl Drop for ListeningServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl ListeningServer {
    /// Starts a server on a free port, and returns its address too.
    fn start(kind: &str, arguments: &[&str]) -> (Self, String) {
        let child = Command::new(mutant())
            .args(["--listen", &format!("{kind}:127.0.0.1:0"), "--announce", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut server = Self(child.expect("it starts"));
        let stdout = server.0.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("it announces itself");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        let address = ready["listeners"][0].as_str().expect("a listener");
        let address = address.strip_prefix("tcp:").unwrap_or(address).to_owned();
        (server, address)
    }
}

/// The result of a check of the server at this address.
fn run_at(address: &str, options: &[&str]) -> Run {
    let arguments = [&["--address", address, "--output", "json"], options].concat();
    let output = check(&arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn a_server_that_listens_already_gets_the_wire_cases() {
    let (_server, address) = ListeningServer::start("tcp", &[]);
    let run = run_at(&address, &["--suite", "tcp-half-close", "--profile", "quick"]);
    assert_eq!(run.rows[0].grade, Grade::Address);
    assert!(run.cells.iter().all(|cell| cell.verdict == Verdict::Pass), "{run:?}");
    let asks = |case: &str| run.cells.iter().any(|cell| cell.case == case);
    assert!(asks("large-backlog") && !asks("no-spin"), "a case asked for the process");
}

#[test]
fn a_server_of_udp_is_certified_below_the_contract_if_it_is_right() {
    let certified = |arguments: &[&str]| {
        let (_server, address) = ListeningServer::start("udp", arguments);
        let run = run_at(&address, &["--profile", "quick"]);
        let suites = run.cells.iter().map(|cell| cell.suite.clone());
        assert!(suites.into_iter().all(|suite| suite == "udp" || suite == "endurance"), "{run:?}");
        assert_eq!(run.rows[0].grade, Grade::Address);
        run.rows[0].certificate.certified
    };
    assert_eq!([&[][..], &["--fault", "doubles-reply"]].map(certified), [true, false]);
}

#[cfg(unix)]
#[test]
fn a_command_of_a_unix_path_is_certified_below_the_contract_if_it_is_right() {
    let certified = |fault: &str| {
        let command = format!("'{}' --listen unix:{{path}} {fault}", mutant());
        let run = run(&command, &["--transport", "unix", "--profile", "quick"]);
        assert_eq!(run.rows[0].grade, Grade::Command);
        run.rows[0].certificate.certified
    };
    assert_eq!(["", "--fault translates-crlf"].map(certified), [true, false]);
}

#[test]
fn what_a_server_is_declared_not_to_do_is_not_asked_and_the_certificate_says_so() {
    let server = command("--fault drops-data-with-fin");
    let options = ["--suite", "tcp-half-close", "--profile", "quick"];
    let asked = |declared: &[&str]| {
        let run = run(&server, &[&options[..], declared].concat());
        let red = run.cells.iter().any(|cell| cell.verdict == Verdict::Fail);
        (red, run.rows[0].certificate.without.clone())
    };
    assert_eq!(asked(&[]), (true, vec![]));
    assert_eq!(asked(&["--without", "half-close"]), (false, vec!["half-close".into()]));
}

#[cfg(target_os = "linux")]
#[test]
fn limits_are_asked_of_a_command_that_knows_no_contract() {
    for (fault, case) in [
        ("accept-error-ends-process", "tcp-accept/emfile-survives"),
        ("any-address", "life/only-its-address"),
    ] {
        let run = run(&command(&format!("--fault {fault}")), &["--case", case]);
        let verdict = run.cells[0].verdict;
        assert!(matches!(verdict, Verdict::Fail | Verdict::Crash), "{fault}: {run:?}");
    }
}

#[test]
fn what_cannot_be_judged_is_a_mistake_of_the_command_line() {
    for (option, value, hint) in [
        ("--command", "node echo.mjs", "{port}"),
        ("--contract", "node echo.mjs {port}", "leave it out"),
        ("--address", "192.0.2.1:80", "--allow-remote"),
    ] {
        let output = check(&[option, value]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(hint), "{}", text(&output.stderr));
    }
}

#[test]
fn a_server_that_speaks_the_contract_gets_all_cases() {
    let server = format!("'{}' --flavor default", mutant());
    let options = ["--suite", "shutdown", "--profile", "quick"];
    let output = check(&[&["--contract", &server, "--output", "json"], &options[..]].concat());
    let run: Run = serde_json::from_slice(&output.stdout).unwrap();
    let row = &run.rows[0];
    let driver = match std::env::consts::OS {
        "linux" => "epoll",
        "windows" => "afd",
        _ => "kqueue",
    };
    assert_eq!((row.grade, &row.driver), (Grade::Contract, &driver.into()));
    let asks = |case: &str| run.cells.iter().any(|cell| cell.case == case);
    assert!(asks("sigterm-idle"), "a case of grade contract was left out");
    // Some cases are unavailable on Windows, which has no signals between processes.
    let is_fine = |verdict| matches!(verdict, Verdict::Pass | Verdict::Unavailable);
    assert!(run.cells.iter().all(|cell| is_fine(cell.verdict)), "{run:?}");
    assert!(run.cells[0].repeat.contains("--contract"), "{:?}", run.cells[0].repeat);
}

#[test]
fn a_server_that_does_not_introduce_itself_is_red_with_what_it_said() {
    let output = check(&["--contract", &format!("'{}' --no-such-option", mutant())]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("docs/CONTRACT.md") && said.contains("--no-such-option"), "{said}");
}
