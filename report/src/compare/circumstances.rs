//! Whether two benches asked the same, and of the same host. Differences are in words.

use crate::bench::{Bench, Pinning};
use crate::host::Host;
use crate::load::BuildProfile;
use crate::outside;
use crate::outside::{Outside, Said};

/// Whether times of both can be compared: system, architecture, kernel, and processors.
#[must_use]
pub fn same_host(before: &Host, after: &Host) -> bool {
    host_differences(before, after).is_empty()
}

/// What makes two hosts two, each a few words.
#[must_use]
pub fn host_differences(before: &Host, after: &Host) -> Vec<Outside> {
    let mut found = Vec::new();
    let known = |value: &Option<Outside>| value.clone().unwrap_or_else(|| "unknown".into());
    note(&mut found, "system", &before.os, &after.os);
    note(&mut found, "architecture", &before.arch, &after.arch);
    note(&mut found, "kernel", known(&before.kernel), known(&after.kernel));
    note(&mut found, "processor", known(&before.cpu_model), known(&after.cpu_model));
    note(&mut found, "CPUs", before.cpus, after.cpus);
    found
}

/// What differs in what was asked of the servers, each a few words. Seeds and addresses may.
#[must_use]
pub fn workload_differences(before: &Bench, after: &Bench) -> Vec<Outside> {
    let mut found = Vec::new();
    let (one, other) = (&before.workload, &after.workload);
    let transport = |bench: &Bench| bench.workload.target.transport;
    note(&mut found, "transport", transport(before), transport(after));
    note(&mut found, "arrival", one.arrival, other.arrival);
    note(&mut found, "connections", one.connections, other.connections);
    note(&mut found, "idle connections", one.idle_connections, other.idle_connections);
    note(&mut found, "messages of", &one.sizes, &other.sizes);
    note(&mut found, "pipeline", one.pipeline, other.pipeline);
    note(&mut found, "churn", one.churn, other.churn);
    let rate = |rate: Option<f64>| rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string());
    note(&mut found, "connect rate", rate(one.connect_rate), rate(other.connect_rate));
    note(&mut found, "warm-up seconds", one.warmup_seconds, other.warmup_seconds);
    note(&mut found, "length", one.amount, other.amount);
    note(&mut found, "generator threads", one.threads, other.threads);
    note(&mut found, "workers a server", before.workers, after.workers);
    let profile = |profile| match profile {
        Some(BuildProfile::Release) => "release",
        Some(BuildProfile::Dev) => "dev",
        None => "ready-made programs",
    };
    let (built, rebuilt) = (&before.build, &after.build);
    note(&mut found, "servers built as", profile(built.servers), profile(rebuilt.servers));
    let generators = [built.generator, rebuilt.generator].map(|one| profile(Some(one)));
    note(&mut found, "generator built as", generators[0], generators[1]);
    found
}

/// Whether servers and generators had as many processors of their own.
pub(super) fn pinning_differences(before: &Bench, after: &Bench) -> Vec<Outside> {
    let words = |pinning: &Pinning| match pinning {
        Pinning::Apart { server, generator } => {
            format!("{} CPUs for the server and {} apart", server.len(), generator.len())
        }
        Pinning::None { .. } => "none".to_owned(),
    };
    let mut found = Vec::new();
    note(&mut found, "pinning", words(&before.pinning), words(&after.pinning));
    found
}

fn note(found: &mut Vec<Outside>, what: &str, before: impl Said, after: impl Said) {
    let (before, after) = (outside!("{}", before), outside!("{}", after));
    if before != after {
        found.push(outside!("{} {} against {}", what, before, after));
    }
}
