//! Runs `iomatrix trace` on a row of each model, and where there is no strace or nothing can be
//! traced.

use std::process::{Command, Output};

const IOMATRIX: &str = env!("CARGO_BIN_EXE_iomatrix");

#[track_caller]
fn trace(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(IOMATRIX);
    command.arg("trace").args(arguments).envs(environment.iter().copied());
    command.output().unwrap_or_else(|error| panic!("start {IOMATRIX}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn assert_refused(output: &Output, status: i32, sentence: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(sentence), "expected '{sentence}' in {said}");
}

#[test]
fn a_row_that_is_none_is_named_with_those_that_are() {
    let output = trace(&["tokio,nothing"], &[]);
    assert_refused(&output, 2, "no row matches 'nothing'; the rows are: tokio, ");
}

#[test]
#[cfg(not(target_os = "linux"))]
fn elsewhere_there_is_no_strace() {
    assert_refused(&trace(&["tokio"], &[]), 69, "strace is Linux's");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use harness::scratch::Scratch;
    use report::trace::{Call, Ladder, Operations, Outcome, Request, Trace};

    use super::*;

    /// The output, or `None` on a machine that says it cannot trace. CI installs strace, so a
    /// machine that cannot trace is a failure there.
    #[track_caller]
    fn traced(arguments: &[&str], environment: &[(&str, &str)]) -> Option<Output> {
        let output = trace(arguments, environment);
        let said = text(&output.stderr);
        let can = !["strace is not installed", "ptrace is not allowed here"]
            .iter()
            .any(|reason| said.contains(reason));
        if can {
            return Some(output);
        }
        assert_refused(&output, 69, "fix: ");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{said}");
        None
    }

    fn names(request: &Request) -> Vec<(String, String)> {
        let calls = request.calls.iter();
        // arm64 has no epoll_wait(2); its libc calls epoll_pwait(2).
        let name = |call: &Call| call.name.on_terminal().replace("epoll_pwait", "epoll_wait");
        calls.map(|call| (name(call), call.gist.on_terminal())).collect()
    }

    fn row<'a>(trace: &'a Trace, name: &str) -> &'a Ladder {
        trace.rows.iter().find(|row| row.name == name).expect("a row that was asked for")
    }

    #[test]
    fn readiness_reads_and_writes_and_completion_enters_its_ring() {
        let Some(output) = traced(&["tokio", "uring", "--output", "json"], &[]) else { return };
        assert!(output.status.success(), "{}", text(&output.stderr));
        let trace: Trace = serde_json::from_slice(&output.stdout).expect("a trace");
        let tokio = row(&trace, "tokio").requests();
        assert_eq!(tokio.len(), 2);
        let expected =
            [("epoll_wait", "-> 1 event"), ("recvfrom", "-> 64 bytes"), ("sendto", "-> 64 bytes")]
                .map(|(name, gist)| (name.to_owned(), gist.to_owned()));
        for call in &expected {
            assert!(names(&tokio[0]).contains(call), "{tokio:?}");
        }
        assert_eq!(names(&tokio[0]).first(), Some(&expected[0]), "what woke it comes first");
        assert_eq!(tokio[0].operations, Operations::NoRing);
        let uring = row(&trace, "uring");
        if let Outcome::Unavailable { reason } = &uring.outcome {
            assert!(reason.contains("io_uring"), "{reason:?}");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason:?}");
            return;
        }
        for request in uring.requests() {
            let has = |name: &str| request.calls.iter().any(|call| call.name.equals(name));
            assert!(has("io_uring_enter") && !has("recvfrom"), "{request:?}");
            // One receive and one send, however they are spread over calls.
            let expected = Operations::Counted { submissions: 2, completions: 2 };
            assert_eq!(request.operations, expected);
        }
    }

    #[test]
    fn the_page_says_what_it_is_not() {
        let arguments = ["tokio", "--connections", "4", "--requests", "1"];
        let Some(output) = traced(&arguments, &[("COLUMNS", "80")]) else { return };
        let page = text(&output.stdout);
        assert!(page.starts_with("strace slows and reorders: shapes, not times\n"), "{page}");
        assert!(page.contains("\nper request:") && page.contains("\nper message:"), "{page}");
    }

    #[test]
    fn without_strace_its_package_is_named() {
        let output = trace(&["tokio"], &[("PATH", "/nowhere")]);
        assert_refused(&output, 69, "strace is not installed\n  fix: apt-get install strace");
    }

    /// A folder with these programs: those of backends, and strace if there is to be one.
    fn programs(scripts: &[(&str, String)]) -> Scratch {
        let folder = Scratch::new().expect("room for temporary files");
        for (name, script) in scripts {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script is written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is started");
        }
        folder
    }

    fn in_folder(folder: &Path) -> (&'static str, &str) {
        ("CONFORMANCE_BIN_DIR", folder.to_str().expect("the path is UTF-8"))
    }

    #[test]
    fn a_strace_that_may_not_trace_is_told_apart_from_a_server_that_ends() {
        let denied = "echo 'strace: ptrace(PTRACE_TRACEME, ...): Operation not permitted' >&2";
        let folder = programs(&[
            ("strace", format!("{denied}; exit 1")),
            ("backend-tokio", "exit 1".to_owned()),
        ]);
        let path = folder.path().to_str().expect("the path is UTF-8");
        let output = trace(&["tokio"], &[("PATH", path), in_folder(folder.path())]);
        assert_refused(&output, 69, "ptrace is not allowed here: strace: ptrace(PTRACE_TRACEME");
        let Some(output) = traced(&["tokio"], &[in_folder(folder.path())]) else { return };
        assert_refused(&output, 3, "tokio: crash: expected a server that becomes ready");
    }

    #[test]
    fn a_wrong_echo_ends_it_and_a_row_that_cannot_run_does_not() {
        use harness::binaries::{OWN_PROFILE, locate};
        let mutant = &locate(&["mutant"], OWN_PROFILE).expect("it is built")["mutant"];
        let says_why = r#"echo '{"unavailable":"no |\u001b[2J here"}'; exit 69"#.to_owned();
        // Drops `--flavor multi-thread`, which the mutant does not know.
        let folder = programs(&[
            (
                "backend-tokio",
                format!("shift 2; exec '{}' --fault flips-lone-byte \"$@\"", mutant.display()),
            ),
            ("backend-mio", says_why),
        ]);
        let here = in_folder(folder.path());
        let Some(output) = traced(&["tokio", "--message", "1"], &[here]) else { return };
        assert_refused(&output, 3, "iomatrix: tokio: altered: expected");
        let Some(output) = traced(&["mio", "tokio"], &[here]) else { return };
        let page = text(&output.stdout);
        assert!(output.status.success(), "{page}");
        assert!(page.contains("mio is unavailable: no |\u{fffd}[2J here"), "{page}");
        assert!(page.contains("per request:"), "{page}");
        let Some(output) = traced(&["mio"], &[here]) else { return };
        assert_eq!(output.status.code(), Some(69));
    }
}
