//! Sentences for a terminal, beside a margin with their name.

use report::View;

/// More columns than these are hard to read.
const EASY: u16 = 100;

/// Columns of lines of sentences: those of the page, but no more than are easy to read.
pub(crate) fn columns(view: View) -> usize {
    usize::from(view.width.columns().min(EASY))
}

/// `name` in a margin of so many columns and `text` beside it, broken at blanks into lines of at
/// most `width` columns; a word that is longer has a line of its own.
pub(crate) fn paragraph(name: &str, text: &str, margin: usize, width: usize) -> Vec<String> {
    let name_width = margin.saturating_sub(3);
    let begin = |name: &str| format!("  {name:name_width$}");
    let mut lines = vec![begin(name)];
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if !is_empty && used + 1 + word.chars().count() > width {
            lines.push(begin(""));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
        is_empty = false;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::paragraph;

    #[test]
    fn a_paragraph_keeps_to_its_width_and_margin() {
        let lines = paragraph("why", "one two three unbreakable-word four", 13, 22);
        let margin = " ".repeat(13);
        let expected = [
            "  why        one two".to_owned(),
            format!("{margin}three"),
            format!("{margin}unbreakable-word"),
            format!("{margin}four"),
        ];
        assert_eq!(lines, expected);
    }
}
