//! `--output FORMAT[=FILE]`, which all commands take in the same way: it can be given several
//! times, and every mistake is found before anything starts.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::scratch::Scratch;

const COMMANDS: [&str; 10] =
    ["check", "list", "explain", "doctor", "load", "bench", "sweep", "trace", "compare", "report"];

fn iomatrix(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
    command.args(arguments).output().expect("start iomatrix")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn refused(arguments: &[&str], status: i32, sentence: &str) {
    let output = iomatrix(arguments);
    let said = text(&output.stderr);
    // Compared as one line, because clap wraps its messages.
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(line.contains(sentence), "{arguments:?}: expected '{sentence}' in:\n{said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
}

fn option(format: &str, path: &Path) -> String {
    format!("--output={format}={}", path.display())
}

#[test]
fn every_command_offers_text_and_says_which_formats_there_are() {
    for command in COMMANDS {
        let help = text(&iomatrix(&[command, "--help"]).stdout);
        assert!(help.contains("--output <FORMAT[=FILE]>"), "{command}: {help}");
        assert!(
            help.contains("[default: text]") && help.contains("the result as text"),
            "{command}: {help}"
        );
        assert!(!help.contains("--out <"), "{command}: {help}");
    }
}

#[test]
fn one_run_prints_and_writes_several_pages() {
    let scratch = Scratch::new().expect("make a folder");
    let (json, page) = (scratch.path().join("list.json"), scratch.path().join("list.md"));
    fs::write(&page, "what was there before").expect("write a file");
    let outputs = ["list", &option("json", &json), "--output", "text", &option("markdown", &page)];
    let output = iomatrix(&outputs);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, iomatrix(&["list"]).stdout);
    let written = |path| fs::read(path).expect("read a file");
    assert_eq!(written(&json), iomatrix(&["list", "--output", "json"]).stdout);
    assert_eq!(written(&page), iomatrix(&["list", "--output", "markdown"]).stdout);
    assert_eq!(fs::read_dir(scratch.path()).expect("read a folder").count(), 2, "a file is left");
    let output = iomatrix(&["doctor", &option("text", &page)]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(text(&written(&page)).contains("drivers ("));
}

#[test]
fn a_format_that_is_not_offered_is_answered_with_those_that_are() {
    let text_and_more = "write text, markdown, json, csv, junit or margins";
    refused(&["check", "--output", "xml"], 2, &format!("no such format; {text_and_more}"));
    let sentence = format!("there is no jsonl output here; {text_and_more}");
    refused(&["check", "--output", "jsonl=result.jsonl"], 2, &sentence);
    refused(
        &["explain", "--output", "json"],
        2,
        "there is no json output here; write text or markdown",
    );
    refused(&["trace", "tokio", "--output", "junit"], 2, "write text, markdown or json");
    let sentence = "a format comes before the file, as in json=result.json";
    refused(&["bench", "--output", "result.json"], 2, sentence);
    refused(&["load", "127.0.0.1:1", "--output", "json="], 2, "such as json=FILE");
}

#[test]
fn the_cells_of_a_check_are_listed_in_the_formats_of_a_list() {
    let list = ["check", "--row", "mio", "--case", "tcp-echo/one-byte", "--list"];
    let printed = |format| iomatrix(&[&list[..], &["--output", format]].concat()).stdout;
    assert_eq!(text(&printed("text")), "mio::tcp-echo/one-byte\n");
    let page: serde_json::Value = serde_json::from_slice(&printed("json")).expect("JSON");
    assert_eq!(page["cells"][0]["case"], "tcp-echo/one-byte");
    let sentence = "there is no junit output here; write text, markdown or json";
    refused(&[&list[..], &["--output", "junit"]].concat(), 2, sentence);
}

#[test]
fn two_pages_need_two_places() {
    let scratch = Scratch::new().expect("make a folder");
    let file = scratch.path().join("page");
    let twice = ["list", "--output", "text", "--output", "json"];
    refused(&twice, 2, "cannot both be printed; write one of them to a file, as in --output json=");
    let roundabout = scratch.path().join(".").join("page");
    let one_file = ["list", &option("text", &file), &option("json", &roundabout)];
    refused(&one_file, 2, "two outputs go to ");
    assert!(!file.exists());
    fs::write(&file, "").expect("write a file");
    refused(&one_file, 2, "give each a file of its own");
}

#[test]
fn a_file_that_cannot_be_written_is_found_out_first() {
    let scratch = Scratch::new().expect("make a folder");
    let nowhere = scratch.path().join("nowhere").join("page");
    for command in [
        &["check", "--command", "no-such-program {addr}"][..],
        &["bench", "--row", "mio"],
        &["sweep", "--row", "mio", "-c", "1,2"],
        &["trace", "mio"],
        &["load", "127.0.0.1:1"],
        &["compare", "/nowhere", "/nowhere"],
        &["report", "/nowhere"],
        &["list"],
        &["explain"],
        &["doctor"],
    ] {
        let folder = option("text", scratch.path());
        refused(&[command, &[&folder]].concat(), 2, "it is a folder; name a file in it");
        let missing = option("text", &nowhere);
        refused(&[command, &[&missing]].concat(), 2, "nowhere; make it first");
    }
    for name in ["new/", "new/.", "new//"] {
        let name = format!("{}/{name}", scratch.path().display());
        refused(&["list", &option("json", Path::new(&name))], 2, "it is a folder; name a file in");
    }
    let file = scratch.path().join("file");
    fs::write(&file, "").expect("write a file");
    refused(&["list", &option("json", &file.join("page"))], 2, "there is no folder ");
    fs::remove_file(&file).expect("remove it");
    assert_eq!(fs::read_dir(scratch.path()).expect("read it").count(), 0, "a file is left");
    refused(&["load", "127.0.0.1:1", &option("hdr", scratch.path())], 2, "it is a folder");
    refused(&["bench", "--output", "hdr"], 2, "there is no hdr output here");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::Stdio;
    use std::thread;

    use super::*;

    /// By convention `nobody`, because root may write everything.
    const ORDINARY_USER: u32 = 65_534;

    #[test]
    fn a_file_of_another_user_is_refused_and_left_as_it_is() {
        let scratch = Scratch::new().expect("make a folder");
        let file = scratch.path().join("page");
        fs::write(&file, "of another").expect("write a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).expect("its mode");
        let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
        command.args(["list", &option("text", &file)]).uid(ORDINARY_USER).gid(ORDINARY_USER);
        let Ok(output) = command.output() else {
            eprintln!("not tested: this user cannot become another");
            return;
        };
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(text(&output.stderr).contains("Permission denied"), "{output:?}");
        assert_eq!(fs::read(&file).expect("read a file"), b"of another");
    }

    #[test]
    fn the_mode_of_a_file_stays_and_a_link_leads_to_it() {
        let scratch = Scratch::new().expect("make a folder");
        let (file, link) = (scratch.path().join("page"), scratch.path().join("link"));
        fs::write(&file, "before").expect("write a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("its mode");
        std::os::unix::fs::symlink("page", &link).expect("make a link");
        assert!(iomatrix(&["list", &option("json", &link)]).status.success());
        assert_eq!(fs::metadata(&file).expect("its mode").permissions().mode() & 0o777, 0o640);
        assert!(fs::read(&file).expect("read a file").starts_with(b"{"));
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        let same = ["list", &option("json", &link), &option("text", &file)];
        refused(&same, 2, "two outputs go to ");
    }

    #[test]
    fn standard_output_in_a_file_is_written_to_and_not_replaced() {
        let scratch = Scratch::new().expect("make a folder");
        let path = scratch.path().join("log");
        let page = iomatrix(&["list", "--output", "json"]).stdout;
        for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", &path.display().to_string()] {
            let mut file = fs::File::create(&path).expect("make a file");
            std::io::Write::write_all(&mut file, b"before\n").expect("write a line");
            let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
            command.args(["list", &option("json", Path::new(name))]);
            let mut other = file.try_clone().expect("another descriptor");
            let output = command.stdout(file).output().expect("start iomatrix");
            assert!(output.status.success(), "{name}: {output:?}");
            // A shell that has the file open writes its next output after the page.
            std::io::Write::write_all(&mut other, b"after\n").expect("write a line");
            let expected = [b"before\n", &page[..], b"after\n"].concat();
            assert!(fs::read(&path).expect("read a file") == expected, "{name}");
            let file = fs::File::create(&path).expect("make a file");
            let output = command.args(["--output", "text"]).stdout(file).output();
            let output = output.expect("start iomatrix");
            assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
            assert!(text(&output.stderr).contains("two outputs go to "), "{output:?}");
        }
        let log = fs::File::create(&path).expect("make a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
        command.args(["list", &option("json", Path::new("/dev/stderr"))]);
        assert!(command.stderr(log).status().expect("start iomatrix").success());
        assert!(fs::read(&path).expect("read a file") == page);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_written_in_place() {
        let scratch = Scratch::new().expect("make a folder");
        let page = iomatrix(&["list", "--output", "json"]).stdout;
        // In a sticky folder only the owner may replace the file, but everybody may write to it.
        let folder = scratch.path().join("sticky");
        fs::create_dir(&folder).expect("make a folder");
        let file = folder.join("page");
        fs::write(&file, "a longer page than none").expect("write a file");
        let mode = fs::Permissions::from_mode;
        fs::set_permissions(&file, mode(0o666)).expect("its mode");
        fs::set_permissions(&folder, mode(0o1777)).expect("its mode");
        fs::set_permissions(scratch.path(), mode(0o755)).expect("its mode");
        let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
        command.args(["list", &option("json", &file)]).uid(ORDINARY_USER).gid(ORDINARY_USER);
        match command.output() {
            Ok(output) => {
                assert!(output.status.success(), "{output:?}");
                assert!(fs::read(&file).expect("read a file") == page);
                assert_eq!(fs::read_dir(&folder).expect("read it").count(), 1, "a file is left");
            }
            Err(_) => eprintln!("not tested: this user cannot become another"),
        }
        // A file that is a mount point, as in containers.
        let mount = scratch.path().join("mount");
        fs::write(&mount, "").expect("write a file");
        let script = r#"mount --bind "$1" "$2" || exit 99; shift 2; exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
        command.args([&file, &mount]).arg(env!("CARGO_BIN_EXE_iomatrix"));
        let output = command.args(["list", &option("json", &mount)]).output();
        match output {
            Ok(output) if output.status.success() => {
                assert!(fs::read(&file).expect("read a file") == page);
            }
            output => {
                let said = output.map(|output| text(&output.stderr)).unwrap_or_default();
                assert!(!said.contains("iomatrix: "), "{said}");
                eprintln!("not tested: nothing can be mounted here");
            }
        }
    }

    #[test]
    fn a_link_that_leads_to_nothing_names_the_file() {
        let scratch = Scratch::new().expect("make a folder");
        let inner = scratch.path().join("inner");
        fs::create_dir(&inner).expect("make a folder");
        let link = |target: &str, name: &str| {
            let path = scratch.path().join(name);
            std::os::unix::fs::symlink(target, &path).expect("make a link");
            path
        };
        let (first, second) = (link("second", "first"), link("inner/page", "second"));
        let both = ["list", &option("json", &first), &option("text", &second)];
        refused(&both, 2, "two outputs go to ");
        assert!(iomatrix(&["list", &option("json", &first)]).status.success());
        assert!(first.is_symlink() && second.is_symlink());
        assert!(fs::read(inner.join("page")).expect("read a file").starts_with(b"{"));
        let lost = link("none/page", "lost");
        refused(&["list", &option("json", &lost)], 2, "there is no folder ");
        let ring = link("ring", "ring");
        refused(&["list", &option("json", &ring)], 3, "symbolic links");
    }

    #[test]
    fn one_file_with_two_names_takes_one_page() {
        let scratch = Scratch::new().expect("make a folder");
        let (one, other) = (scratch.path().join("one"), scratch.path().join("other"));
        fs::write(&one, "").expect("write a file");
        fs::hard_link(&one, &other).expect("make a link");
        refused(&["list", &option("json", &one), &option("text", &other)], 2, "two outputs go to ");
    }

    #[test]
    fn a_fifo_is_written_to_if_somebody_reads_it_and_never_waited_for() {
        let scratch = Scratch::new().expect("make a folder");
        let fifo = scratch.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("start mkfifo").success());
        refused(&["list", &option("json", &fifo)], 3, "No such device or address");
        // Opening for reading and writing does not wait, and gives the FIFO a reader.
        let both = fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("open it");
        let mut reader = both.try_clone().expect("a reader");
        let reading = thread::spawn(move || {
            let mut first = [0];
            reader.read_exact(&mut first).expect("a byte");
            first
        });
        assert!(iomatrix(&["doctor", &option("json", &fifo)]).status.success());
        assert_eq!(reading.join().expect("it reads"), *b"{");
    }

    #[test]
    fn a_full_disk_is_an_error_and_the_other_pages_are_there() {
        let output = iomatrix(&["list", "--output", "text", "--output", "json=/dev/full"]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(text(&output.stderr).contains("write /dev/full: No space left"), "{output:?}");
        assert_eq!(output.stdout, iomatrix(&["list"]).stdout);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("open it");
        let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
        let output = command.arg("list").stdout(full).stderr(Stdio::piped()).output();
        let output = output.expect("start iomatrix");
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(text(&output.stderr).contains("write standard output: No space"), "{output:?}");
    }

    #[test]
    fn who_reads_only_the_beginning_hears_no_complaint() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
        let child = command.args(["explain"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("start iomatrix");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}
