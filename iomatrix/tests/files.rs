//! What `iomatrix report` and `iomatrix compare` say about files that are not results. Each file is
//! named, none blocks the command, and the others are still shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use harness::scratch::Scratch;

/// How long a command may take on a busy host. Waiting for a FIFO would take forever.
const LIMIT: Duration = Duration::from_secs(60);

/// A trace without rows, which is a valid result.
const TRACE: &str = r#"{"version": 1, "connections": 1, "message_bytes": 64, "rows": []}"#;

fn iomatrix(command: &str, paths: &[&Path]) -> Output {
    let start = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
    let output = program.arg(command).args(paths).output().expect("start iomatrix");
    assert!(start.elapsed() < LIMIT, "it has waited");
    output
}

#[track_caller]
fn expect(output: &Output, status: i32, parts: &[&str]) {
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{said}");
    for part in parts {
        assert!(said.contains(part), "expected '{part}' in:\n{said}");
    }
}

fn file(scratch: &Scratch, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = scratch.path().join(name);
    fs::write(&path, text).expect("write a file");
    path
}

#[test]
fn a_file_alone_that_is_no_result_is_named_with_what_it_is() {
    let scratch = Scratch::new().expect("make a folder");
    let texts = [
        ("", 3, "it is empty"),
        (" \n", 3, "it is empty"),
        ("hello", 3, "it is no JSON: expected value at line 1"),
        ("{}", 2, "it is JSON, but no result of iomatrix"),
        ("[1, 2]", 3, "an object"),
        (&TRACE[..40], 3, "it is truncated: a JSON document ends at line 1, column 40"),
        (&TRACE[..60], 3, "a result of `iomatrix trace` ends at line 1, column 60"),
        (r#"{"version": 7, "dimension": "rate"}"#, 2, "has format 7; this program reads format 1"),
        (r#"{"dimension": "rate"}"#, 2, "it is a result of `iomatrix sweep` and has no version"),
        (r#"{"version": 1, "dimension": 3}"#, 3, "it is no result of `iomatrix sweep` that can be"),
        (
            r#"{"version": 1.0, "dimension": "rate"}"#,
            2,
            "and has the version 1.0, which is no whole",
        ),
        (r#"{"version": "1", "cells": []}"#, 2, "has the version \"1\", which is no whole number"),
        (r#"{"version": null, "cells": []}"#, 2, "has the version null"),
        (r#"{"version": -1, "cells": []}"#, 2, "has the version -1"),
        (r#"{"version": 1, "version": 1, "cells": []}"#, 3, "the field `version` stands twice"),
        (r#"{"cells": [{"a": 1, "a": 2}]}"#, 3, "`iomatrix check` that can be read: the field `a`"),
        (
            r#"{"version": 2, "traces": []}"#,
            2,
            "it is a result of `iomatrix report` and has format 2",
        ),
        (r#"{"version": 1, "traces": [{}]}"#, 2, "a result of `iomatrix trace` and has no version"),
        (r#"{"version": 1, "loads": 3}"#, 3, "expected a list of results"),
        (r#"{"suites": []}"#, 2, "it is JSON, but no result of iomatrix"),
    ];
    for (text, status, sentence) in texts {
        let path = file(&scratch, "one.json", text);
        let name = path.display().to_string();
        expect(&iomatrix("report", &[&path]), status, &[sentence, &name]);
    }
    let deep = |open: &str, close: &str| {
        format!(r#"{{"cells": {}1{}}}"#, open.repeat(100_000), close.repeat(100_000))
    };
    for text in [deep("[", "]"), deep(r#"{"a":"#, "}")] {
        let path = file(&scratch, "deep.json", text);
        expect(&iomatrix("report", &[&path]), 3, &["more than 64 lists and objects are nested"]);
    }
    let [utf_8, utf_16]: [&[u8]; 2] = [b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0"];
    for text in [utf_8, utf_16] {
        let path = file(&scratch, "mark.json", text);
        expect(&iomatrix("report", &[&path]), 3, &["it begins with a byte order mark"]);
    }
    let latin = file(&scratch, "latin.json", b"{\"\xe9\": 1}");
    expect(&iomatrix("report", &[&latin]), 3, &["it is no JSON"]);
    expect(&iomatrix("report", &[&scratch.path().join("none")]), 2, &["there is no such file"]);
}

/// The example of a document, which the tests of `report` keep as a golden page.
fn example(name: &str) -> String {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = repository.join(format!("report/src/golden/snapshots/{name}-json.snap"));
    let text = fs::read_to_string(path).expect("read a golden page");
    let start = text.find("\n{").expect("a document after the head");
    text[start..].to_owned()
}

const KINDS: [&str; 6] = ["run", "bench", "sweep", "load", "trace", "comparison"];

#[test]
fn what_report_writes_as_json_it_reads_back() {
    let scratch = Scratch::new().expect("make a folder");
    let several = scratch.path().join("several");
    fs::create_dir(&several).expect("make a folder");
    for kind in KINDS {
        fs::write(several.join(format!("{kind}.json")), example(kind)).expect("write a file");
    }
    let merged = scratch.path().join("merged.json");
    let output = format!("--output=json={}", merged.display());
    let written = iomatrix("report", &[&several, Path::new(&output)]);
    let page = |path: &Path, format: &str| {
        iomatrix("report", &[path, Path::new(&format!("--output={format}"))])
    };
    for format in ["text", "markdown", "json"] {
        let (before, after) = (page(&several, format), page(&merged, format));
        assert!(!before.stdout.is_empty() && before.stderr.is_empty(), "{before:?}");
        assert_eq!(after, before, "{format}");
        assert_eq!(after.status, written.status);
    }
    let (one, other) =
        (iomatrix("compare", &[&several, &several]), iomatrix("compare", &[&merged, &merged]));
    assert_eq!(one.status, other.status, "{other:?}");
}

/// The rule is that of `report::Exit`, for every kind of document.
#[test]
fn the_status_is_that_of_the_worst_document_of_any_kind() {
    let scratch = Scratch::new().expect("make a folder");
    let trace = file(&scratch, "trace.json", example("trace"));
    expect(&iomatrix("report", &[&trace]), 0, &["tokio"]);
    let nothing = file(&scratch, "nothing.json", TRACE);
    expect(&iomatrix("report", &[&trace, &nothing]), 3, &["tokio"]);
    let stopped = file(&scratch, "stopped.json", example("load"));
    expect(&iomatrix("report", &[&trace, &stopped]), 130, &["tokio"]);
    let invalid =
        example("load").replace("\"ending\": \"interrupted\"", "\"ending\": \"complete\"");
    let load = file(&scratch, "load.json", invalid);
    expect(&iomatrix("report", &[&trace, &load]), 3, &["tokio"]);
    let comparison = file(&scratch, "comparison.json", example("comparison"));
    assert!(example("comparison").contains("regression"));
    expect(&iomatrix("report", &[&trace, &load, &comparison]), 1, &["tokio"]);
    expect(&iomatrix("report", &[&comparison, &stopped]), 130, &["interrupted"]);
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let scratch = Scratch::new().expect("make a folder");
    let trace = file(&scratch, "trace.json", example("trace"));
    let bad = file(&scratch, "bad.json", "{}");
    let once = iomatrix("report", &[&trace]);
    let roundabout = scratch.path().join(".").join("trace.json");
    assert_eq!(iomatrix("report", &[&trace, &trace, &roundabout]), once);
    let output = iomatrix("report", &[scratch.path(), &trace, &bad, scratch.path()]);
    assert_eq!(output.stdout, once.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches("bad.json").count(), 1, "{said}");
}

#[cfg(unix)]
#[test]
fn a_file_with_two_names_is_read_once() {
    let scratch = Scratch::new().expect("make a folder");
    let trace = file(&scratch, "trace.json", example("trace"));
    let once = iomatrix("report", &[&trace]);
    fs::hard_link(&trace, scratch.path().join("again.json")).expect("make a link");
    assert_eq!(iomatrix("report", &[scratch.path()]).stdout, once.stdout);
}

#[test]
fn others_are_shown_and_the_status_says_that_one_is_missing() {
    let scratch = Scratch::new().expect("make a folder");
    file(&scratch, "good.json", TRACE);
    file(&scratch, "half.json", &TRACE[..60]);
    file(&scratch, "notes.txt", "no result, and not looked at");
    fs::create_dir(scratch.path().join("folder.json")).expect("make a folder");
    let page = iomatrix("report", &[scratch.path()]);
    expect(&page, 3, &["half.json: it is truncated", "shapes, not times"]);
    assert!(!String::from_utf8_lossy(&page.stderr).contains("notes.txt"));
}

#[test]
fn a_folder_without_results_is_an_error_and_not_an_empty_page() {
    let scratch = Scratch::new().expect("make a folder");
    expect(&iomatrix("report", &[scratch.path()]), 2, &["no file there is a result"]);
    for index in 0..12 {
        file(&scratch, &format!("{index:02}.json"), "{}");
    }
    let parts = ["09.json: it is JSON, but no result", "\n  and 2 more"];
    expect(&iomatrix("report", &[scratch.path()]), 2, &parts);
}

#[test]
fn compare_takes_benches_and_checks_only() {
    let scratch = Scratch::new().expect("make a folder");
    let trace = file(&scratch, "trace.json", TRACE);
    let sentence = "trace.json: it is a result of `iomatrix trace`, which `iomatrix compare` does";
    expect(&iomatrix("compare", &[&trace, &trace]), 2, &[sentence]);
}

#[test]
fn a_file_longer_than_the_limit_is_not_read() {
    let scratch = Scratch::new().expect("make a folder");
    let path = scratch.path().join("long.json");
    let sparse = fs::File::create(&path).expect("make a file");
    sparse.set_len(300 * 1024 * 1024).expect("make it long");
    expect(&iomatrix("report", &[&path]), 3, &["long.json: it is longer than 256 MiB"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let scratch = Scratch::new().expect("make a folder");
        let fifo = scratch.path().join("fifo.json");
        let made = Command::new("mkfifo").arg(&fifo).status().expect("start mkfifo");
        assert!(made.success());
        expect(&iomatrix("report", &[&fifo]), 2, &["fifo.json: it is a FIFO; name a file"]);
        expect(&iomatrix("compare", &[&fifo, &fifo]), 2, &["it is a FIFO"]);
        let socket = scratch.path().join("socket.json");
        let _listener = UnixListener::bind(&socket).expect("listen");
        expect(&iomatrix("report", &[&socket]), 2, &["it is a socket"]);
        expect(&iomatrix("report", &[Path::new("/dev/zero")]), 2, &["it is a device"]);
        // All of them in one folder, together with a result.
        file(&scratch, "good.json", TRACE);
        let parts = ["fifo.json: it is a FIFO", "socket.json: it is a socket", "not times"];
        expect(&iomatrix("report", &[scratch.path()]), 3, &parts);
    }

    #[test]
    fn a_link_that_leads_back_is_not_followed() {
        let scratch = Scratch::new().expect("make a folder");
        file(&scratch, "good.json", TRACE);
        symlink(scratch.path(), scratch.path().join("back")).expect("make a link");
        symlink("nowhere", scratch.path().join("broken.json")).expect("make a link");
        expect(&iomatrix("report", &[scratch.path()]), 3, &["broken.json: there is no such file"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_claims_no_length_is_read_to_its_end() {
        expect(&iomatrix("report", &[Path::new("/proc/self/status")]), 3, &["it is no JSON"]);
    }
}

#[cfg(unix)]
#[test]
fn nothing_is_obeyed_that_a_name_or_a_file_says() {
    let scratch = Scratch::new().expect("make a folder");
    let cut = file(&scratch, "a\u{1b}[2J\n::error::x.json", r#"{"version": 1, "cells": ["#);
    let row = r#"[{"model": "\u001b[2J\n::error::x"}]"#;
    let unknown = file(&scratch, "b.json", TRACE.replace("[]", row));
    let output = iomatrix("report", &[&cut, &unknown]);
    expect(&output, 3, &["it is truncated", "unknown variant"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains('\u{1b}'), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("::")), "{said}");
}

#[test]
fn a_page_takes_the_place_of_no_result_that_is_read() {
    let scratch = Scratch::new().expect("make a folder");
    let result = file(&scratch, "trace.json", TRACE);
    let text = format!("--output=text={}", result.display());
    let output = iomatrix("report", &[&result, Path::new(&text)]);
    expect(&output, 2, &["is among the results that are read; write to a file elsewhere"]);
    let beside = format!("--output=json={}", scratch.path().join("all.json").display());
    expect(&iomatrix("report", &[scratch.path(), Path::new(&beside)]), 2, &["is among"]);
    assert_eq!(fs::read_to_string(&result).expect("it is there"), TRACE);
    assert!(!scratch.path().join("all.json").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_standard_error_that_takes_nothing_stops_no_page() {
    let scratch = Scratch::new().expect("make a folder");
    let result = file(&scratch, "trace.json", TRACE);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("open /dev/full");
    let mut program = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
    program.arg("report").args([&result, &scratch.path().join("nothing.json")]).stderr(full);
    let output = program.output().expect("start iomatrix");
    expect(&output, 3, &["trace"]);
}

#[test]
fn nothing_is_obeyed_that_a_command_line_says() {
    let output = iomatrix("check", &[Path::new("--profile=\u{1b}[2J\n::error::x")]);
    expect(&output, 2, &["invalid value"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains('\u{1b}') && !said.lines().any(|line| line.starts_with("::")), "{said}");
}

#[test]
fn nothing_is_obeyed_that_a_variable_says() {
    for variable in ["CONFORMANCE_PROFILE", "CONFORMANCE_REQUIRE", "CONFORMANCE_SEED"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
        command.args(["check", "--help"]).env(variable, "\u{1b}[2J\n::error::x");
        let output = command.output().expect("start iomatrix");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(variable), "{said}");
        assert!(!said.contains('\u{1b}') && !said.contains("::error::"), "{said}");
    }
}
