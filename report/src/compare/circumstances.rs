//! Whether two benches gave their servers the same work, on hosts that can be compared. Differences
//! are in words.

use crate::bench::{Bench, Pinning};
use crate::host::Host;
use crate::load::BuildProfile;
use crate::outside;
use crate::outside::{Outside, SentencePart};

/// Whether times of both hosts can be compared: same system, architecture, kernel and processors.
#[must_use]
pub fn is_same_host(before: &Host, after: &Host) -> bool {
    host_differences(before, after).is_empty()
}

/// What differs between two hosts, a few words each.
#[must_use]
pub fn host_differences(before: &Host, after: &Host) -> Vec<Outside> {
    let mut found = Vec::new();
    let known = |value: &Option<Outside>| value.clone().unwrap_or_else(|| "unknown".into());
    note_difference(&mut found, "system", &before.os, &after.os);
    note_difference(&mut found, "architecture", &before.arch, &after.arch);
    note_difference(&mut found, "kernel", known(&before.kernel), known(&after.kernel));
    note_difference(&mut found, "processor", known(&before.cpu_model), known(&after.cpu_model));
    note_difference(&mut found, "CPUs", before.cpus, after.cpus);
    found
}

/// What differs in the work of the servers, a few words each. Seeds and addresses may differ.
#[must_use]
pub fn workload_differences(before: &Bench, after: &Bench) -> Vec<Outside> {
    let mut found = Vec::new();
    let (one, other) = (&before.workload, &after.workload);
    let transport = |bench: &Bench| bench.workload.target.transport;
    note_difference(&mut found, "transport", transport(before), transport(after));
    note_difference(&mut found, "arrival", one.arrival, other.arrival);
    note_difference(&mut found, "connections", one.connections, other.connections);
    note_difference(&mut found, "idle connections", one.idle_connections, other.idle_connections);
    note_difference(&mut found, "messages of", &one.sizes, &other.sizes);
    note_difference(&mut found, "pipeline", one.pipeline, other.pipeline);
    note_difference(&mut found, "churn", one.churn, other.churn);
    let rate = |rate: Option<f64>| rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string());
    note_difference(&mut found, "connect rate", rate(one.connect_rate), rate(other.connect_rate));
    note_difference(&mut found, "warm-up seconds", one.warmup_seconds, other.warmup_seconds);
    note_difference(&mut found, "length", one.amount, other.amount);
    note_difference(&mut found, "generator threads", one.threads, other.threads);
    note_difference(&mut found, "workers a server", before.workers, after.workers);
    let profile = |profile| match profile {
        Some(BuildProfile::Release) => "release",
        Some(BuildProfile::Dev) => "dev",
        None => "ready-made programs",
    };
    let (built, rebuilt) = (&before.build, &after.build);
    note_difference(
        &mut found,
        "servers built as",
        profile(built.servers),
        profile(rebuilt.servers),
    );
    let generators = [built.generator, rebuilt.generator].map(|one| profile(Some(one)));
    note_difference(&mut found, "generator built as", generators[0], generators[1]);
    found
}

/// Whether the servers and the generators had as many processors to themselves.
pub(super) fn pinning_differences(before: &Bench, after: &Bench) -> Vec<Outside> {
    let words = |pinning: &Pinning| match pinning {
        Pinning::Apart { server, generator } => {
            format!("{} CPUs for the server and {} apart", server.len(), generator.len())
        }
        Pinning::None { .. } => "none".to_owned(),
    };
    let mut found = Vec::new();
    note_difference(&mut found, "pinning", words(&before.pinning), words(&after.pinning));
    found
}

fn note_difference(
    found: &mut Vec<Outside>,
    what: &str,
    before: impl SentencePart,
    after: impl SentencePart,
) {
    let (before, after) = (outside!("{}", before), outside!("{}", after));
    if before != after {
        found.push(outside!("{} {} against {}", what, before, after));
    }
}
