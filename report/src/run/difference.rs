//! Where readiness and completion differ: the cases whose verdict or recorded observation differs
//! between the two groups of rows.

use std::collections::BTreeSet;

use super::{Cell, Run};
use crate::outside;
use crate::outside::Outside;
use crate::verdict::{Model, Verdict};

/// A case whose outcomes differ between the groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `suite/case`.
    pub id: Outside,
    /// The outcomes of the rows with a readiness driver, each distinct outcome once.
    pub readiness: Vec<Outside>,
    /// The outcomes of the rows with a completion driver, each distinct outcome once.
    pub completion: Vec<Outside>,
}

/// The differences of a run, in catalogue order. Rows that were not judged do not count.
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

/// Whether both groups have a judged cell. If not, an empty list of differences means nothing.
#[must_use]
pub fn is_comparable(run: &Run) -> bool {
    [Model::Readiness, Model::Completion].into_iter().all(|model| {
        run.cells.iter().any(|cell| is_judged(cell) && row_model(run, cell) == Some(model))
    })
}

fn outcomes(run: &Run, suite: &Outside, case: &Outside, model: Model) -> BTreeSet<Outside> {
    judged_cells(run, model).filter(|c| c.suite == *suite && c.case == *case).map(outcome).collect()
}

/// The outcomes of a case, `suite/case`, on the rows of one model, each with these rows.
pub(super) fn rows_by_outcome(
    run: &Run,
    id: &Outside,
    model: Model,
) -> Vec<(Outside, Vec<Outside>)> {
    let mut found: Vec<(Outside, Vec<Outside>)> = Vec::new();
    for cell in judged_cells(run, model).filter(|cell| cell.id() == *id) {
        let outcome = outcome(cell);
        match found.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, rows)) => rows.push(cell.row.clone()),
            None => found.push((outcome, vec![cell.row.clone()])),
        }
    }
    found
}

fn judged_cells(run: &Run, model: Model) -> impl Iterator<Item = &Cell> {
    let is_meant = move |cell: &&Cell| is_judged(cell) && row_model(run, cell) == Some(model);
    run.cells.iter().filter(is_meant)
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

fn row_model(run: &Run, cell: &Cell) -> Option<Model> {
    run.rows.iter().find(|row| row.name == cell.row).map(|row| row.model)
}
