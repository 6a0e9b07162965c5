//! The pages of invented ladders.

use super::*;
use crate::render::render;
use crate::view::{View, Width};

fn text(trace: &Trace, width: u16) -> String {
    render(trace, &(), Format::Text, View::plain(Width::new(width))).unwrap()
}

fn markdown(trace: &Trace) -> String {
    render(trace, &(), Format::Markdown, View::plain(Width::MIN)).unwrap()
}

fn call(name: &str, gist: &str) -> Call {
    Call { thread: 0, name: name.into(), gist: gist.into() }
}

fn ladder(name: &str, model: Model, driver: &str, requests: Vec<Request>) -> Ladder {
    Ladder {
        name: name.into(),
        model,
        driver: driver.into(),
        workers: 1,
        outcome: Outcome::Traced { requests },
    }
}

fn tokio() -> Ladder {
    let request = Request {
        calls: vec![
            call("epoll_wait", "-> 1 event"),
            call("recvfrom", "-> 64 bytes"),
            call("sendto", "-> 64 bytes"),
        ],
        waiting: vec![call("epoll_wait", "")],
        operations: Operations::NoRing,
    };
    ladder("tokio", Model::Readiness, "epoll", vec![request.clone(), request])
}

fn compio() -> Ladder {
    let enter = || call("io_uring_enter", "submit 1, wait 1");
    let request = Request {
        calls: vec![enter(), enter()],
        waiting: vec![enter()],
        operations: Operations::Counted { submissions: 2, completions: 2 },
    };
    ladder("compio-io_uring", Model::Completion, "io_uring", vec![request.clone(), request])
}

fn trace(rows: Vec<Ladder>) -> Trace {
    Trace { version: FORMAT_VERSION, connections: 1, message_bytes: 64, rows }
}

const SIDE_BY_SIDE: &str = "\
strace slows and reorders: shapes, not times
each request: 64 bytes

              tokio (readiness, epoll)  compio-io_uring (completion, io_uring)
req 1         epoll_wait  -> 1 event    io_uring_enter  submit 1, wait 1
              recvfrom    -> 64 bytes   io_uring_enter  submit 1, wait 1
              sendto      -> 64 bytes   io_uring_enter  submit 1, wait 1 ...
              epoll_wait ...
req 2         as req 1                  as req 1
per request:  3 system calls            2 system calls, 2 operations

...          is left waiting, and counts for the request that wakes it
operations   what the kernel took from the rings, by their counters
";

#[test]
fn two_rows_fit_a_terminal_of_80_columns() {
    let page = text(&trace(vec![tokio(), compio()]), 80);
    assert_eq!(page, SIDE_BY_SIDE);
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
}

#[test]
fn in_a_narrow_terminal_they_stand_one_below_the_other() {
    let page = text(&trace(vec![tokio(), compio()]), 70);
    let heads: Vec<usize> =
        ["tokio (", "compio-io_uring ("].map(|head| page.find(head).unwrap()).into();
    assert!(page[heads[0]..heads[1]].contains("per request:  3 system calls\n"), "{page}");
    assert_eq!(page.matches("req 1").count(), 4, "two ladders, and one reference to each: {page}");
}

/// Two requests of many messages: one thread answers all of them, then two threads do.
fn many() -> Ladder {
    let pair = |thread| {
        [call("recvfrom", "-> 8 bytes"), call("sendto", "-> 8 bytes")]
            .map(|call| Call { thread, ..call })
    };
    let mut calls = vec![call("epoll_wait", "-> 4 events")];
    calls.extend([0, 0, 0, 0].map(pair).concat());
    let first = Request { calls, waiting: vec![], operations: Operations::NoRing };
    let second = Request { calls: [0, 1, 0].map(pair).concat(), ..first.clone() };
    ladder("many", Model::Readiness, "epoll", vec![first, second])
}

#[test]
fn what_comes_again_and_again_is_told_once() {
    let page = text(&Trace { connections: 4, ..trace(vec![many()]) }, 80);
    let expected = "
req 1               A epoll_wait  -> 4 events
                4x  A recvfrom    -> 8 bytes
                |   A sendto      -> 8 bytes
req 2           3x  * recvfrom    -> 8 bytes
                |   * sendto      -> 8 bytes
per request:  6 to 9 system calls
per message:  1.88 system calls
";
    assert!(page.contains(expected), "{page}");
    assert!(page.contains("64 bytes on each of 4 connections, all there at once\n"), "{page}");
    assert!(page.contains("threads of the server") && page.contains("in sequence"), "{page}");
}

#[test]
fn completions_are_told_where_they_are_not_the_operations() {
    let operations = Operations::Counted { submissions: 1, completions: 2 };
    let request =
        Request { calls: vec![call("io_uring_enter", "wait 1")], waiting: vec![], operations };
    let row = ladder("multishot", Model::Completion, "io_uring", vec![request.clone()]);
    assert_eq!(row.cost_per_request(), "1 system call, 1 operation, 2 completions");
    assert_eq!(row.cost_per_message(4), "0.25 system calls, 0.25 operations");
    let reason = "no CqTail".into();
    let untold = Request { operations: Operations::NotTold { reason }, ..request };
    let row = ladder("old", Model::Completion, "io_uring", vec![untold]);
    assert_eq!(row.cost_per_request(), "1 system call, operations not told: no CqTail");
}

#[test]
fn what_a_server_says_is_escaped() {
    let reason = "\u{1b}[2J<b>|".into();
    let row = Ladder { outcome: Outcome::Unavailable { reason }, ..tokio() };
    let (page, table) = (trace(vec![row.clone()]), trace(vec![row, compio()]));
    assert_eq!(text(&page, 80).lines().last(), Some("tokio is unavailable: \u{fffd}[2J<b>|"));
    let table = markdown(&table);
    assert!(table.contains("\ntokio is unavailable: \u{fffd}\\[2J&lt;b&gt;\\|\n"), "{table}");
    assert!(table.contains("|  | compio-io\\_uring (completion, io\\_uring) |\n| --- | --- |\n"));
    assert!(
        table.contains("| req 2 | as req 1 |\n| per request: | 2 system calls, 2 operations |")
    );
}
