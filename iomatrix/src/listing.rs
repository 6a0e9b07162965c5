//! The cells that `check --list` shows instead of judging them.

use conformance::plan::PlannedCell;
use harness::row::Row;
use report::output::{Output, OutputError};
use report::part::{Medium, Part, Prose, Span};
use report::{Format, Outside, Pages, outside};
use serde::Serialize;

/// The cells of a plan, in the order in which they would begin.
#[derive(Serialize)]
pub(crate) struct Listing {
    cells: Vec<ListedCell>,
}

#[derive(Serialize)]
struct ListedCell {
    row: Outside,
    /// `suite/case`.
    case: String,
    /// Why this host cannot judge it, if it cannot.
    unavailable: Option<Outside>,
    /// What the case needs and the server does not offer, if anything.
    lacks: Option<&'static str>,
}

impl Listing {
    pub(crate) fn new(rows: &[Row], plan: &[PlannedCell]) -> Self {
        let cell = |planned: &PlannedCell| {
            let row = &rows[planned.row];
            ListedCell {
                row: (&row.name).into(),
                case: planned.id(),
                unavailable: planned.unavailable.clone(),
                lacks: planned.missing_optional_part(row),
            }
        };
        Self { cells: plan.iter().map(cell).collect() }
    }

    /// Checks that the cells can be shown in each requested format, because a check has more
    /// formats.
    ///
    /// # Errors
    /// [`OutputError::Syntax`].
    pub(crate) fn expect_formats(outputs: &[Output]) -> Result<(), OutputError> {
        outputs.iter().try_for_each(|output| output.expect_format(Self::FORMATS))
    }
}

impl Pages for Listing {
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json];
    type Question = ();

    fn parts(&self, (): &(), medium: Medium) -> Vec<Part> {
        let line = |cell: &ListedCell| {
            let ListedCell { row, case, unavailable, lacks } = cell;
            let unsupported = || Some(outside!("  unsupported: it lacks {}", (*lacks)?));
            let unavailable =
                unavailable.as_ref().map(|reason| outside!("  unavailable: {}", reason));
            let reason = unavailable.or_else(unsupported).unwrap_or_default();
            Prose::from(Span::Outside(outside!("{}::{}{}", row, case, reason)))
        };
        let lines = self.cells.iter().map(line).collect();
        vec![match medium {
            Medium::Terminal => Part::Lines(lines),
            Medium::Page => Part::list("", lines),
        }]
    }

    fn data(&self) -> impl Serialize {
        self
    }
}
