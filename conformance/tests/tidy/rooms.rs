//! How much of the code each room has. The rooms are the folders at the top.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::repository::{Repository, Violation};

/// The most that a room may have of the lines, in percent: a larger room holds more than one thing.
const MAX_PERCENT: usize = 25;

/// No room has more than a quarter of the lines of Rust, tests included.
pub(crate) fn sizes(repository: &Repository) -> Vec<Violation> {
    let files = repository.files_with_suffix(".rs");
    large_rooms(&lines(files.map(|path| (path, repository.text(path).lines().count()))))
}

fn lines<'a>(files: impl Iterator<Item = (&'a str, usize)>) -> BTreeMap<&'a str, usize> {
    let mut rooms = BTreeMap::new();
    for (path, lines) in files {
        let room = path.split_once('/').map_or("", |(room, _)| room);
        *rooms.entry(room).or_default() += lines;
    }
    rooms
}

/// A violation per room above the limit. Each lists all rooms.
fn large_rooms(rooms: &BTreeMap<&str, usize>) -> Vec<Violation> {
    let all: usize = rooms.values().sum();
    let mut table = String::new();
    for (room, lines) in rooms {
        let permille = lines * 1000 / all.max(1);
        let share = format!("{}.{} %", permille / 10, permille % 10);
        let _ = write!(table, "\n    {:<14}{lines:>8}{share:>9}", format!("{room}/"));
    }
    let large = rooms.iter().filter(|(_, lines)| *lines * 100 > all * MAX_PERCENT);
    let violation = |(room, lines): (&&str, &usize)| {
        let message = format!(
            "{lines} of {all} lines of Rust, more than {MAX_PERCENT} %; the rooms are:{table}"
        );
        Violation::new(&format!("{room}/"), 0, message)
    };
    large.map(violation).collect()
}

#[test]
fn a_quarter_is_not_too_large_and_a_line_more_is() {
    let files = [("a/x.rs", 10), ("a/b/y.rs", 15), ("b/x.rs", 25), ("c/x.rs", 25)];
    let rooms = |more| lines(files.into_iter().chain([("d/x.rs", 25), more]));
    assert!(large_rooms(&rooms(("e/x.rs", 0))).is_empty());
    let found = large_rooms(&rooms(("a/z.rs", 1)));
    assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["a/"]);
    assert!(found[0].message.starts_with("26 of 101 lines"), "{}", found[0]);
    assert!(found[0].message.contains("\n    a/                  26   25.7 %"), "{}", found[0]);
}
