//! Controlled pairs: rows that are one program in one flavor and differ in nothing but the I/O API.

use crate::verdict::Model;

/// What makes a row one half of a pair. Names are text of the registry, or from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits<'a, N: ?Sized> {
    /// Cargo package of its server.
    pub package: &'a N,
    /// Its flavor.
    pub flavor: &'a N,
    /// How its driver learns that I/O can go on.
    pub model: Model,
    /// The systems that it runs on.
    pub systems: Vec<&'a N>,
}

/// The same program on two drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a, R> {
    /// The row on a completion driver.
    pub completion: &'a R,
    /// The row on a readiness driver.
    pub readiness: &'a R,
}

/// The pairs among `rows`, in their order: for each row of completion the first row of readiness
/// that has its package and flavor and runs on a system that it runs on.
#[must_use]
pub fn controlled<'a, R, N: PartialEq + ?Sized + 'a>(
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

/// A backend's name, of its package.
#[must_use]
pub fn backend(package: &str) -> &str {
    package.strip_prefix("backend-").unwrap_or(package)
}
