//! The versions that a server was built with, of its runtime and of itself.

/// Names and versions in the workspace's `Cargo.lock`, and of the standard library.
const LOCKED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/locked.rs"));

/// For each package that `Cargo.lock` has in several versions: the dependent, the package, and the
/// version that the dependent uses.
const USED: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/used.rs"));

/// Version of the package `name` that this program was built with.
pub(crate) fn locked_version(name: &str) -> &'static str {
    let mut versions = LOCKED.iter().filter(|(package, _)| *package == name);
    match (versions.next(), versions.next()) {
        (Some((_, version)), None) => version,
        (None | Some(_), _) => "(version not known)",
    }
}

/// Version of the package `name` that `user` depends on.
pub(crate) fn used_version(user: &str, name: &str) -> &'static str {
    let stated = USED.iter().find(|(by, package, _)| *by == user && *package == name);
    stated.map_or_else(|| locked_version(name), |(_, _, version)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = include_str!("../../Cargo.lock");
        let version = locked_version("clap");
        assert!(lock.contains(&format!("name = \"clap\"\nversion = \"{version}\"")));
        assert_eq!(used_version("common", "clap"), version);
        assert_eq!(locked_version("no such package"), "(version not known)");
        assert!(locked_version("std").starts_with("1."));
    }
}
