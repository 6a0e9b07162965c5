//! Checks that the judge understands the examples of announcements in docs/CONTRACT.md. A test in
//! `common` checks that the servers write them.

use harness::announcement::Announcement;

const CONTRACT: &str = include_str!("../../docs/CONTRACT.md");

/// The lines of the fenced blocks marked `json`.
fn examples() -> Vec<&'static str> {
    let blocks = CONTRACT.split("```json\n").skip(1);
    blocks.filter_map(|block| block.split("\n```").next()).flat_map(str::lines).collect()
}

#[test]
fn every_example_is_understood() {
    let parsed: Vec<Announcement> =
        examples().into_iter().map(|line| Announcement::parse(line.as_bytes()).unwrap()).collect();
    let [Announcement::Ready(ready), Announcement::Unavailable(_), Announcement::Unsupported(_)] =
        parsed.as_slice()
    else {
        panic!("expected a ready, an unavailable and an unsupported server, found {parsed:?}");
    };
    assert_eq!(ready.tcp_addresses().unwrap().len(), ready.listeners.len());
}

#[test]
fn what_is_no_example_is_refused() {
    for line in examples() {
        assert!(Announcement::parse(&line.as_bytes()[1..]).is_err());
        assert!(Announcement::parse(line.replace("\":", "x\":").as_bytes()).is_err());
    }
}
