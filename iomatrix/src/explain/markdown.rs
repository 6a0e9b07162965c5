//! Pages as `docs/CASES.md`: by suite, with a table of contents and an index of bugs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use conformance::clock::PROGRESS_LIMIT;
use conformance::profile::Profile;

use super::Explanation;

/// The pages of these cases. Writing to a `String`, as everything here does, cannot fail.
pub(super) fn render(explanations: &[Explanation]) -> String {
    let mut page = head(explanations);
    let suites: Vec<&[Explanation]> =
        explanations.chunk_by(|a, b| a.suite.name == b.suite.name).collect();
    for suite in &suites {
        let name = suite[0].suite.name;
        let cases: Vec<String> = suite
            .iter()
            .map(|explanation| link(explanation.case.name, &explanation.id()))
            .collect();
        let _ = writeln!(page, "- {}: {}", link(name, name), cases.join(", "));
    }
    for suite in suites {
        let _ = write!(page, "\n## {}\n\n{}\n", suite[0].suite.name, escape(suite[0].suite.about));
        for explanation in suite {
            page.push_str(&section(explanation));
        }
    }
    page.push_str(&index(explanations));
    page
}

fn head(explanations: &[Explanation]) -> String {
    let example = explanations.first().map(Explanation::id).unwrap_or_default();
    format!(
        "# Cases\n\n\
         What each case sends and expects, why, and which public bugs it would have caught. This \
         page is the output of `cargo run -p iomatrix -- explain --output markdown`; \
         `cargo run -p iomatrix -- explain {example}` shows a single case. The texts are written \
         in `conformance/pages/`; requirements and sizes come from the suites' tables, mutants \
         from `proof/mutant/mutants.toml`.\n\n\
         Sizes in the texts are those of profile `default`, or of `full` where only that asks. \
         Unless a case says otherwise, what is expected must come within {} s of the last progress \
         (64 bytes, a whole message, a connection), and all of a case within {} s, in `full` {} s. \
         Limits of time are scaled by the host factor \
         ([METHODOLOGY.md](METHODOLOGY.md)). A MUST that is not met is red, a SHOULD is a miss, \
         INFO only records; wrong bytes and a server that ends are red at any level. `repo#n` is \
         a public issue or pull request.\n\n",
        PROGRESS_LIMIT.as_secs(),
        Profile::Default.cell_limit().as_secs(),
        Profile::Full.cell_limit().as_secs()
    )
}

fn section(explanation: &Explanation) -> String {
    let (case, page) = (explanation.case, explanation.page);
    let mut text =
        format!("\n### {}\n\n**{}** {}\n", explanation.id(), case.level, escape(case.requirement));
    let mut add = |title: &str, prose: &str| {
        let _ = write!(text, "\n**{title}**: {}\n", escape(prose));
    };
    add("Why", &page.why);
    add("Sent", &page.sent);
    add("Expected", &page.expected);
    if let Some(differs) = &page.differs {
        add("Readiness and completion", differs);
    }
    if !page.bugs.is_empty() {
        text.push_str("\n**Bugs it would have caught**:\n\n");
    }
    for bug in &page.bugs {
        let _ = writeln!(text, "- {}: {}", escape(&bug.citation), escape(&bug.fault));
    }
    // Paragraphs again: a list right behind the bugs would belong to theirs.
    let mut add = |title: &str, markdown: &str| {
        let _ = write!(text, "\n**{title}**: {markdown}\n");
    };
    add("Needs", &escape(&explanation.needs()));
    if let Some(sizes) = page.sizes(case) {
        add("Sizes", &escape(&sizes));
    }
    let mutants: Vec<String> =
        explanation.mutants.iter().map(|m| format!("`{}` ({})", m.fault, m.failure)).collect();
    if !mutants.is_empty() {
        add("Mutants that must fail here", &mutants.join(", "));
    }
    add("Run", &format!("`{}`", explanation.command()));
    text
}

/// Which cases a bug is cited in.
fn index(explanations: &[Explanation]) -> String {
    let mut cited: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for explanation in explanations {
        for bug in &explanation.page.bugs {
            cited
                .entry(&bug.citation)
                .or_default()
                .push(link(&explanation.id(), &explanation.id()));
        }
    }
    if cited.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n## Index of bugs\n\n| bug | cases |\n| --- | --- |\n");
    for (citation, cases) in cited {
        let _ = writeln!(text, "| {} | {} |", escape(citation), cases.join(", "));
    }
    text
}

/// A link to a heading of this page.
fn link(text: &str, heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
    format!("[{}](#{})", escape(text), anchor.to_lowercase())
}

/// Plain text: what means something in Markdown is escaped, and nothing else, so that the page can
/// be searched for `io_uring` and `repo#n`. No text stands at the start of a line.
fn escape(text: &str) -> String {
    let is_letter = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
    let letters: Vec<char> = text.chars().collect();
    let mut escaped = String::with_capacity(text.len());
    for (at, &c) in letters.iter().enumerate() {
        let within_word =
            at > 0 && is_letter(letters.get(at - 1)) && is_letter(letters.get(at + 1));
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '_' if within_word => escaped.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_meaning_is_escaped() {
        assert_eq!(escape("io_uring, libuv#4089, 2^7"), "io_uring, libuv#4089, 2^7");
        assert_eq!(escape("_a_ *b* `c` [d](e)|f"), "\\_a\\_ \\*b\\* \\`c\\` \\[d\\](e)\\|f");
        assert_eq!(escape("<b> & \n~"), "&lt;b&gt; &amp;  \\~");
    }

    #[test]
    fn a_link_leads_to_the_heading() {
        assert_eq!(link("one", "tcp-echo/One byte"), "[one](#tcp-echoone-byte)");
    }
}
