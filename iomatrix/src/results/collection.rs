//! What `iomatrix report --output json` writes: the documents of all files that it read, by kind.

use report::bench::Bench;
use report::compare::Comparison;
use report::load::LoadResult;
use report::sweep::Sweep;
use report::trace::Trace;
use report::{Conclusions, Run};
use serde::{Deserialize, Serialize};

use super::AnyDocument;

pub(super) const VERSION: u32 = 1;

/// Documents by kind. A collection is read as if each document were in a file of its own.
#[derive(Serialize, Deserialize)]
pub(crate) struct Collection {
    version: u32,
    #[serde(default)]
    pub(crate) runs: Vec<Run>,
    #[serde(default)]
    pub(crate) benches: Vec<Bench>,
    #[serde(default)]
    pub(crate) sweeps: Vec<Sweep>,
    #[serde(default)]
    pub(crate) loads: Vec<LoadResult>,
    #[serde(default)]
    pub(crate) traces: Vec<Trace>,
    #[serde(default)]
    pub(crate) comparisons: Vec<Comparison>,
}

impl Collection {
    pub(crate) fn new(documents: impl IntoIterator<Item = AnyDocument>) -> Self {
        let mut all = Self {
            version: VERSION,
            runs: Vec::new(),
            benches: Vec::new(),
            sweeps: Vec::new(),
            loads: Vec::new(),
            traces: Vec::new(),
            comparisons: Vec::new(),
        };
        for document in documents {
            match document {
                AnyDocument::Run(run) => all.runs.push(*run),
                AnyDocument::Bench(bench) => all.benches.push(*bench),
                AnyDocument::Sweep(sweep) => all.sweeps.push(*sweep),
                AnyDocument::Load(load) => all.loads.push(*load),
                AnyDocument::Trace(trace) => all.traces.push(*trace),
                AnyDocument::Comparison(comparison) => all.comparisons.push(*comparison),
            }
        }
        all.runs.sort_by(|a, b| a.label.cmp(&b.label));
        all.benches.sort_by(|a, b| a.label.cmp(&b.label));
        all
    }

    pub(super) fn into_documents(self) -> Vec<AnyDocument> {
        let Self { version: _, runs, benches, sweeps, loads, traces, comparisons } = self;
        let mut documents = Vec::new();
        documents.extend(runs.into_iter().map(|run| AnyDocument::Run(run.into())));
        documents.extend(benches.into_iter().map(|bench| AnyDocument::Bench(bench.into())));
        documents.extend(sweeps.into_iter().map(|sweep| AnyDocument::Sweep(sweep.into())));
        documents.extend(loads.into_iter().map(|load| AnyDocument::Load(load.into())));
        documents.extend(traces.into_iter().map(|trace| AnyDocument::Trace(trace.into())));
        let compared = comparisons.into_iter();
        documents.extend(compared.map(|comparison| AnyDocument::Comparison(comparison.into())));
        documents
    }

    /// The conclusions of all documents, for the exit status. They are those of the commands that
    /// wrote the documents, except for options that a document does not hold, such as `--fail-if`.
    pub(crate) fn conclusions(&self) -> Conclusions {
        let Self { version: _, runs, benches, sweeps, loads, traces, comparisons } = self;
        let all = [
            conclusions(runs),
            conclusions(benches),
            conclusions(sweeps),
            conclusions(loads),
            conclusions(traces),
            conclusions(comparisons),
        ];
        Conclusions::from_documents(all.into_iter().flatten())
    }
}

fn conclusions<D: report::Document>(documents: &[D]) -> Vec<Conclusions> {
    documents.iter().map(|document| document.conclusions(&D::Question::default())).collect()
}
