//! Controlled pairs: rows that are one program in one flavor and differ only in the I/O API.

use crate::verdict::Model;

/// What makes a row one half of a pair. Names are text of the registry, or from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits<'a, N: ?Sized> {
    /// Cargo package of its server.
    pub package: &'a N,
    pub flavor: &'a N,
    pub model: Model,
    /// The systems that it runs on.
    pub systems: Vec<&'a N>,
}

/// One program on two drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a, R> {
    pub completion: &'a R,
    pub readiness: &'a R,
}

/// The pairs among `rows`, in their order. A completion row is paired with the first readiness row
/// that has its package and flavor and runs on one of its systems.
#[must_use]
pub fn find_pairs<'a, R, N: PartialEq + ?Sized + 'a>(
    rows: &'a [R],
    traits: impl Fn(&'a R) -> Traits<'a, N>,
) -> Vec<Pair<'a, R>> {
    let all: Vec<(&R, Traits<'_, N>)> = rows.iter().map(|row| (row, traits(row))).collect();
    let of_model = |model| all.iter().filter(move |(_, row)| row.model == model);
    let mut pairs = Vec::new();
    for (completion, row) in of_model(Model::Completion) {
        let is_partner = |other: &Traits<'_, N>| {
            (other.package, other.flavor) == (row.package, row.flavor)
                && other.systems.iter().any(|system| row.systems.contains(system))
        };
        let partner = of_model(Model::Readiness).find(|(_, other)| is_partner(other));
        pairs.extend(partner.map(|(readiness, _)| Pair { completion: *completion, readiness }));
    }
    pairs
}

/// The name of a package's backend.
#[must_use]
pub fn backend_name(package: &str) -> &str {
    package.strip_prefix("backend-").unwrap_or(package)
}
