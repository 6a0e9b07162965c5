//! Nothing refers outside the repository: to no folder of a machine, and only to a few hosts.

use crate::repository::{Repository, Violation};

/// Hosts that may be named: the source of cited bugs, and this machine.
const HOSTS: &[&str] = &["github.com", "127.0.0.1", "localhost", "[::1]"];
/// Folders at the root of a machine. Written without slashes, so that this file passes.
const MACHINE: &[&str] = &["root", "work", "home", "Users"];
/// A word in prose with one of these endings is the name of a host.
const HOST_ENDINGS: &[&str] = &[".io", ".org", ".com", ".net"];

/// No file names an absolute path of a machine, or a path that leads out of the repository.
pub(crate) fn paths(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    let beside = ["..", "shared"].join("/");
    let hidden = [".", "library"].concat();
    for path in texts(repository) {
        for (index, line) in repository.text(path).lines().enumerate() {
            let mut wrong = |what: &str| {
                found.push(Violation::new(
                    path,
                    index + 1,
                    format!("names {what}, outside of here"),
                ));
            };
            for folder in MACHINE.iter().map(|name| format!("/{name}/")) {
                if starts_a_word(line, &folder) {
                    wrong(&folder);
                }
            }
            for name in [&beside, &hidden] {
                if line.contains(name.as_str()) {
                    wrong(name);
                }
            }
        }
    }
    found
}

/// Addresses name only known hosts, and so do bare host names in files other than Rust.
pub(crate) fn hosts(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for path in texts(repository) {
        // In Rust, `self.io` is no host.
        let bare = !path.ends_with(".rs");
        for (index, line) in repository.text(path).lines().enumerate() {
            let addresses = line.split("://").skip(1).map(host);
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
            let names = words.map(|word| word.trim_matches('.')).filter(|word| {
                bare && HOST_ENDINGS.iter().any(|end| word.len() > end.len() && word.ends_with(end))
            });
            for name in
                addresses.chain(names).filter(|name| !name.is_empty() && !HOSTS.contains(name))
            {
                found.push(Violation::new(path, index + 1, format!("names the host {name:?}")));
            }
        }
    }
    found
}

/// Files that people write. Licences and lock files are left out, because their text is not ours.
fn texts(repository: &Repository) -> impl Iterator<Item = &str> {
    let files = repository.files.iter().map(String::as_str);
    files.filter(|path| !path.starts_with("LICENSE-") && !path.ends_with("Cargo.lock"))
}

/// The host at the start of what follows `://`, without the port.
fn host(rest: &str) -> &str {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".-[]:".contains(c)));
    let authority = &rest[..end.unwrap_or(rest.len())];
    match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

/// Whether the folder is at the root, and not inside another folder.
fn starts_a_word(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-*})/$~".contains(c)))
    })
}

#[test]
fn roots_and_hosts_are_told_apart() {
    assert!(starts_a_word("see /a/b", "/a/") && !starts_a_word("target/a/b", "/a/"));
    assert_eq!(host("localhost:80/x"), "localhost");
    assert_eq!(host("[::1]:80"), "[::1]");
}
