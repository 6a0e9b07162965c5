//! Which processors the server gets, and which the generator.

use clap::ValueEnum;
use harness::affinity;
use report::bench::Pinning;

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PinTo {
    /// Processors of their own, where there are two.
    Auto,
    /// Whatever the system gives them.
    None,
}

/// The processors of a bench.
#[derive(Clone, Debug)]
pub(crate) struct Placement(Pinning);

impl Placement {
    /// The generator gets the last processors, one per thread, but at most half of all. The server
    /// gets the first of the others, one per worker. Each gets at least one, and the host gets the
    /// rest.
    pub(crate) fn choose(wanted: PinTo, workers: u32, threads: u32) -> Self {
        let none = |reason: &str| Self(Pinning::None { reason: reason.into() });
        match wanted {
            PinTo::None => return none("--pin none"),
            PinTo::Auto => {}
        }
        match affinity::allowed_cpus() {
            Ok(cpus) => split(&cpus.numbers(), workers as usize, threads as usize)
                .map_or_else(|| none("there is one processor only"), Self),
            Err(error) => none(&format!("threads cannot be kept to processors here: {error}")),
        }
    }

    pub(crate) fn pinning(&self) -> Pinning {
        self.0.clone()
    }

    /// The server's processors; empty if it may run anywhere.
    pub(crate) fn server(&self) -> Vec<usize> {
        match &self.0 {
            Pinning::Apart { server, .. } => server.clone(),
            Pinning::None { .. } => Vec::new(),
        }
    }

    /// The generator's processors; empty if it may run anywhere.
    pub(crate) fn generator(&self) -> Vec<usize> {
        match &self.0 {
            Pinning::Apart { generator, .. } => generator.clone(),
            Pinning::None { .. } => Vec::new(),
        }
    }
}

fn split(cpus: &[usize], workers: usize, threads: usize) -> Option<Pinning> {
    if cpus.len() < 2 {
        return None;
    }
    let for_generator = threads.clamp(1, (cpus.len() / 2).max(1));
    let (rest, generator) = cpus.split_at(cpus.len() - for_generator);
    let server = &rest[..workers.clamp(1, rest.len())];
    Some(Pinning::Apart { server: server.to_vec(), generator: generator.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_get_what_they_need_and_at_least_one() {
        let apart = |server: &[usize], generator: &[usize]| {
            Some(Pinning::Apart { server: server.to_vec(), generator: generator.to_vec() })
        };
        assert_eq!(split(&[3], 1, 1), None);
        assert_eq!(split(&[0, 1], 1, 1), apart(&[0], &[1]));
        assert_eq!(split(&[0, 1], 4, 4), apart(&[0], &[1]));
        assert_eq!(split(&[0, 1, 2, 3], 1, 1), apart(&[0], &[3]));
        assert_eq!(split(&[0, 1, 2, 3], 4, 4), apart(&[0, 1], &[2, 3]));
        assert_eq!(split(&[0, 1, 2, 5], 4, 1), apart(&[0, 1, 2], &[5]));
    }
}
