//! Pages for a terminal.

use crate::paragraph::paragraph;

use super::Explanation;

/// Columns of the margin, in which a paragraph's name stands.
const MARGIN: usize = 13;

/// The pages of these cases, in lines of at most `width` columns.
pub(super) fn render(explanations: &[Explanation], width: usize) -> String {
    let pages: Vec<String> =
        explanations.iter().map(|explanation| page(explanation, width)).collect();
    pages.join("\n")
}

fn page(explanation: &Explanation, width: usize) -> String {
    let (case, page) = (explanation.case, explanation.page);
    let mut lines = vec![format!("{} ({})", explanation.id(), case.level)];
    let mut add = |name: &str, text: &str| lines.extend(paragraph(name, text, MARGIN, width));
    add("requires", case.requirement);
    add("why", &page.why);
    add("sent", &page.sent);
    add("expected", &page.expected);
    if let Some(differs) = &page.differs {
        add("models", differs);
    }
    for (index, bug) in page.bugs.iter().enumerate() {
        add(if index == 0 { "bugs" } else { "" }, &format!("- {}: {}", bug.citation, bug.fault));
    }
    add("needs", &explanation.needs());
    if let Some(sizes) = page.sizes(case) {
        add("sizes", &sizes);
    }
    for (index, mutant) in explanation.mutants.iter().enumerate() {
        let name = if index == 0 { "mutants" } else { "" };
        add(name, &format!("- {} must fail as {}", mutant.fault, mutant.failure));
    }
    // On one line however long, so that it can be copied.
    lines.push(format!("{:MARGIN$}{}", "  run", explanation.command()));
    lines.join("\n") + "\n"
}
