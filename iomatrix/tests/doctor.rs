//! Runs `iomatrix doctor` where io_uring is refused, in every way that does not touch the machine.
//! The doctor must name the cause and the remedy.
#![cfg(target_os = "linux")]

use std::os::unix::process::CommandExt;
use std::process::Command;

use report::host::{Availability, Host, LimitValue};

const IOMATRIX: &str = env!("CARGO_BIN_EXE_iomatrix");
/// By convention `nobody`. Root is exempt from the limit on locked memory.
const ORDINARY_USER: u32 = 65_534;

#[derive(Clone, Copy)]
enum User {
    Same,
    Ordinary,
}

#[track_caller]
fn run(args: &[&str], user: User) -> String {
    let mut command = Command::new(IOMATRIX);
    command.args(args);
    match user {
        User::Same => {}
        User::Ordinary => {
            command.uid(ORDINARY_USER).gid(ORDINARY_USER);
        }
    }
    let output = command.output().unwrap_or_else(|error| panic!("start {IOMATRIX}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("a page is UTF-8")
}

/// The doctor's page as one line, under `restrictions` such as `--open-files 8`.
#[track_caller]
fn text(restrictions: &str, user: User) -> String {
    unwrapped(&run(&arguments(restrictions, "text"), user))
}

#[track_caller]
fn host(restrictions: &str, user: User) -> Host {
    let page = run(&arguments(restrictions, "json"), user);
    serde_json::from_str(&page).unwrap_or_else(|error| panic!("{error} in {page}"))
}

fn arguments<'a>(restrictions: &'a str, output: &'a str) -> Vec<&'a str> {
    let doctor = ["doctor", "--output", output];
    if restrictions.is_empty() {
        return doctor.into();
    }
    ["restrict"]
        .into_iter()
        .chain(restrictions.split(' '))
        .chain(["--", IOMATRIX])
        .chain(doctor)
        .collect()
}

/// Joins the lines that the page broke at the terminal's width.
fn unwrapped(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn ring_refusal(host: &Host) -> (String, String) {
    match host.driver("io_uring") {
        Some(Availability::Unavailable { reason, fix: Some(fix) }) => {
            (reason.on_terminal(), fix.on_terminal())
        }
        other => panic!("expected an unavailable io_uring with a fix, got {other:?}"),
    }
}

#[track_caller]
fn assert_denied(errno: &str) {
    let restrictions = format!("--deny-io-uring {errno}");
    let host = host(&restrictions, User::Same);
    let (reason, fix) = ring_refusal(&host);
    assert!(reason.starts_with(&format!("io_uring_setup answers {errno}: ")), "{reason}");
    // If a sysctl is off as well, the reason names it, and the filter is part of the remedy.
    let whole = format!("{reason}; {fix}");
    assert!(whole.contains("seccomp filter over this process"), "{whole}");
    assert!(fix.contains("io_uring_setup, io_uring_enter and io_uring_register"), "{fix}");
    assert_eq!(host.seccomp, Some(report::host::Seccomp::Filter));
    assert_eq!(host.io_uring, None);
    assert!(host.driver("epoll").is_some_and(Availability::is_available));

    let page = text(&restrictions, User::Same);
    assert!(page.contains("seccomp: filter mode"), "{page}");
    assert!(page.contains(&unwrapped(&format!("NOT available: {reason}"))), "{page}");
    assert!(page.contains(&unwrapped(&format!("fix: {fix}"))), "{page}");
}

#[test]
fn enosys_from_a_filter_is_not_blamed_on_the_kernel() {
    assert_denied("ENOSYS");
    let kernel = host("", User::Same).kernel.unwrap().on_terminal();
    let denied = host("--deny-io-uring ENOSYS", User::Same);
    let (reason, _) = ring_refusal(&denied);
    assert!(reason.contains(&format!("Linux {kernel} is new enough")), "{reason}");
}

#[test]
fn eperm_from_a_filter_clears_the_sysctl() {
    assert_denied("EPERM");
}

#[test]
fn enomem_from_a_filter_is_not_blamed_on_locked_memory_alone() {
    let free = host("", User::Same);
    if free.limits.rings() == Some(0) {
        eprintln!("skipped: locked memory really is too little here");
        return;
    }
    assert_denied("ENOMEM");
}

#[test]
fn too_little_locked_memory_is_named_with_the_limit() {
    let free = host("", User::Same);
    if !free.limits.memlock_exempt {
        eprintln!("skipped: only root can become a user with whom nobody shares the limit");
        return;
    }
    if !host("", User::Ordinary).driver("io_uring").is_some_and(Availability::is_available) {
        eprintln!("skipped: io_uring is not available to an ordinary user here");
        return;
    }
    let tiny = host("--memlock 65536", User::Ordinary);
    assert_eq!(
        tiny.limits.memlock.map(|limit| (limit.soft, limit.hard)),
        Some((LimitValue::At(65_536), LimitValue::At(65_536)))
    );
    let page = text("--memlock 65536", User::Ordinary);
    if tiny.io_uring.is_some() {
        assert!(page.contains("this kernel does not charge it"), "{page}");
        return;
    }
    assert!(page.contains("memlock 64 KiB: too little for a ring of 1,024 entries"), "{page}");
    assert!(page.contains("LimitMEMLOCK=infinity in a systemd unit"), "{page}");
    let (reason, fix) = ring_refusal(&tiny);
    assert!(
        reason.starts_with(
            "io_uring_setup answers ENOMEM: the memory-lock limit (RLIMIT_MEMLOCK) is 64 KiB"
        ),
        "{reason}"
    );
    assert!(fix.contains("memlock"), "{fix}");
}

#[test]
fn few_descriptors_are_named_with_the_limit() {
    let page = text("--open-files 8", User::Same);
    assert!(page.contains("open files 8: too few for the cases of 1,000 connections"), "{page}");
    assert!(page.contains("fix: raise the hard limit as well:"), "{page}");
    assert!(page.contains("LimitNOFILE="), "{page}");
}

#[test]
fn every_form_of_the_page_agrees_on_the_drivers() {
    let host = host("", User::Same);
    let page = run(&["doctor", "--output", "markdown"], User::Same);
    for driver in &host.drivers {
        let available = if driver.state.is_available() { "yes" } else { "no" };
        let name = driver.name.on_terminal().replace('_', "\\_");
        let cells = format!("| {name} | {available} |");
        assert!(page.contains(&cells), "expected '{cells}' in {page}");
    }
}
