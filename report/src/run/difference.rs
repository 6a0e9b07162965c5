//! Where readiness and completion differ: the cases whose verdict or recorded observation is not
//! the same in both groups of rows.

use std::collections::BTreeSet;

use super::{Cell, Run};
use crate::outside;
use crate::outside::Outside;
use crate::verdict::{Model, Verdict};

/// A case that does not look the same in both groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `suite/case`.
    pub id: Outside,
    /// What the rows with a readiness driver show, each distinct outcome once.
    pub readiness: Vec<Outside>,
    /// What the rows with a completion driver show.
    pub completion: Vec<Outside>,
}

/// The differences of a run, in catalogue order. Rows that were not judged say nothing.
#[must_use]
pub fn differences(run: &Run) -> Vec<Difference> {
    run.cases()
        .into_iter()
        .filter_map(|(suite, case)| {
            let readiness = outcomes(run, suite, case, Model::Readiness);
            let completion = outcomes(run, suite, case, Model::Completion);
            let comparable = !readiness.is_empty() && !completion.is_empty();
            (comparable && readiness != completion).then(|| Difference {
                id: outside!("{}/{}", suite, case),
                readiness: readiness.into_iter().collect(),
                completion: completion.into_iter().collect(),
            })
        })
        .collect()
}

/// Whether both groups have a judged cell, so that an empty list of differences means something.
#[must_use]
pub fn is_comparable(run: &Run) -> bool {
    [Model::Readiness, Model::Completion].into_iter().all(|model| {
        run.cells.iter().any(|cell| is_judged(cell) && model_of(run, cell) == Some(model))
    })
}

fn outcomes(run: &Run, suite: &Outside, case: &Outside, model: Model) -> BTreeSet<Outside> {
    run.cells
        .iter()
        .filter(|c| c.suite == *suite && c.case == *case && is_judged(c))
        .filter(|c| model_of(run, c) == Some(model))
        .map(outcome)
        .collect()
}

fn outcome(cell: &Cell) -> Outside {
    let kind = cell.failure.as_ref().map(|failure| format!(" ({})", failure.kind));
    let found = format!("{}{}", cell.word(), kind.unwrap_or_default());
    match &cell.observation {
        Some(observation) => outside!("{}: {}", found, observation),
        None => found.into(),
    }
}

fn is_judged(cell: &Cell) -> bool {
    !matches!(cell.verdict, Verdict::Unavailable | Verdict::Unsupported | Verdict::Error)
}

fn model_of(run: &Run, cell: &Cell) -> Option<Model> {
    run.rows.iter().find(|row| row.name == cell.row).map(|row| row.model)
}
