//! Each expected error as a user provokes it: its exit status, and the sentence that says what was
//! wrong and what to type instead. No test starts a server of this repository.

use std::net::SocketAddr;
use std::process::{Command, Output};

use socket2::{Domain, Socket, Type};

fn iomatrix(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
    command.args(arguments).env_remove("CONFORMANCE_PROFILE").output().expect("start iomatrix")
}

#[track_caller]
fn expect(arguments: &[&str], status: i32, sentence: &str) {
    let output = iomatrix(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(said.contains(sentence), "{arguments:?}: expected '{sentence}' in:\n{said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
}

#[test]
fn an_unknown_row_is_answered_alike_by_every_command() {
    let sentence = "iomatrix: no row matches 'toki'; did you mean 'tokio'";
    for command in [
        &["check", "--row", "mio,toki"][..],
        &["bench", "--row", "toki"],
        &["bench", "--row", "mio", "--baseline", "toki"],
        &["sweep", "-c", "1,2", "--row", "toki"],
        &["trace", "mio", "toki"],
    ] {
        expect(command, 2, sentence);
        expect(command, 2, "the rows are: tokio, ");
    }
    expect(&["check", "--row", "nothing*"], 2, "no row matches 'nothing*'; the rows are: tokio, ");
    expect(&["bench", "--baseline", "mio*"], 2, "no row matches 'mio*'");
}

#[test]
fn unknown_suites_and_cases_are_answered_with_the_nearest() {
    expect(&["check", "--suite", "tcp-ecoh"], 2, "no suite matches 'tcp-ecoh'; did you mean 'tcp-");
    let sentence = "did you mean 'tcp-half-close/large-backlog'?";
    expect(&["check", "--case", "tcp-half-close/large-backlogs"], 2, sentence);
    expect(&["explain", "tcp-half-close/large-backlogs"], 2, sentence);
    expect(&["check", "--case", "tcp-large"], 2, "write 'tcp-large/*' or one of\n  tcp-large/");
}

#[test]
fn a_selection_without_cells_is_no_success() {
    let nothing = ["check", "--suite", "tcp-echo", "--case", "tcp-close/idle"];
    expect(&nothing, 2, "no case is selected: `iomatrix list` shows them");
}

#[test]
fn a_sweep_over_nothing_or_too_much_says_what_to_vary() {
    for values in [&["sweep"][..], &["sweep", "-c", "1,2", "--workers", "1,2"]] {
        expect(values, 2, "give several values to one of -c, -r, -p and --workers");
    }
}

#[test]
fn a_strangers_host_is_neither_judged_nor_loaded() {
    let sentence = "192.0.2.1:80 is beyond loopback: ";
    for command in [&["check", "--address", "192.0.2.1:80"][..], &["load", "192.0.2.1:80"]] {
        expect(command, 2, sentence);
        expect(command, 2, "say --allow-remote if that host is yours");
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_one_sentence_and_no_wall_of_cells() {
    // Bound but not listening, so nobody else can get the port.
    let nobody = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    nobody.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = nobody.local_addr().expect("its address").as_socket().unwrap().to_string();
    let sentence = format!("no case was judged: connect to {address}: ");
    expect(&["check", "--address", &address], 3, &sentence);
    if !cfg!(unix) {
        return;
    }
    let sentence = "no case was judged: ./no-such-server: no such program";
    expect(&["check", "--command", "./no-such-server {port}"], 2, sentence);
    let sentence = "no case was judged: no program 'no-such-server' in the folders of PATH";
    expect(&["check", "--contract", "no-such-server"], 2, sentence);
    let ends = ["check", "--command", "sh -c 'echo why >&2; exit 7' {port}"];
    expect(&ends, 3, "the server ended with status 7 before it listened\n  | why");
    let never = ["check", "--command", "sh -c 'sleep 600' {port}", "--start-timeout", "300ms"];
    expect(&never, 3, "no case was judged: expected a server that listens on 127.0.0.1:");
    expect(&never, 3, "a slow start gets more time with --start-timeout");
    let never = ["check", "--contract", "sh -c 'sleep 600'", "--start-timeout", "300ms"];
    expect(&never, 3, "expected the server's announcement, got nothing within ");
}

#[test]
fn a_command_that_cannot_be_started_as_it_is_written_is_quoted() {
    expect(&["check", "--command", "echo"], 2, "--command: 'echo' does not say where to listen");
    expect(&["check", "--command", ""], 2, "--command: an empty command");
    expect(&["check", "--contract", "echo {port}"], 2, "--contract: 'echo {port}' says where");
    expect(&["check", "--command", "\u{1b}[2J'"], 2, "--command: '\u{fffd}[2J''");
}

#[cfg(unix)]
#[test]
fn a_server_that_does_not_announce_itself_is_red_and_one_that_declines_is_unavailable() {
    let silent = ["check", "--contract", "sh -c 'echo went \x1b[2J wrong >&2; exit 1' server"];
    expect(&silent, 1, "no case was judged: the server does not announce itself");
    expect(&silent, 1, "\n  | went \u{fffd}[2J wrong\n");
    let declines = r#"sh -c 'echo "{\"unavailable\":\"no ring\"}"; exit 69' server"#;
    expect(&["check", "--contract", declines], 69, "it cannot serve here: no ring");
}
