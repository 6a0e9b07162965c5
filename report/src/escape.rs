//! Makes text from a server, a user or a file harmless for a terminal, for Markdown, for HTML in
//! Markdown, and for CSV.
//!
//! A terminal obeys control characters. The runner of GitHub Actions obeys lines that begin with
//! `::` and a word, and whatever follows `##[` (actions/runner, ActionCommand.cs). Characters that
//! are invisible, or that reverse the direction of text, mislead a reader.

use crate::unseen::is_unseen;

/// A page shows at most this many characters of a text; files have all of them.
const MAX_CHARS: usize = 2_000;

/// A zero-width space, which keeps GitHub from notifying a user, referring to an issue, or linking
/// an address.
const ZERO_WIDTH_SPACE: &str = "&#8203;";

/// Escapes a text for one line of a terminal.
#[must_use]
pub fn terminal(text: &str) -> String {
    defuse_ci_commands(&replace_unseen(&shorten(text)))
}

/// Escapes a text for one line of a text file, which a program may print line by line. Keeps its
/// whole length.
pub(crate) fn line(text: &str) -> String {
    defuse_ci_commands(&replace_unseen(text))
}

/// Escapes a text for a cell or a heading of Markdown, so that none of its characters has a
/// meaning.
pub(crate) fn markdown(text: &str) -> String {
    let text = replace_unseen(&shorten(text));
    let text = text.trim();
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '<' | '>' | '&' | '$' => escaped.push_str(entity(c)),
            '@' => {
                escaped.push(c);
                escaped.push_str(ZERO_WIDTH_SPACE);
            }
            '#' => {
                escaped.push_str("\\#");
                if next.is_some_and(char::is_alphanumeric) {
                    escaped.push_str(ZERO_WIDTH_SPACE);
                }
            }
            ':' if next == Some('/') => {
                escaped.push(c);
                escaped.push_str(ZERO_WIDTH_SPACE);
            }
            '.' if escaped.ends_with("www") => escaped.push_str("&#46;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '!' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    defuse_ci_commands(&escaped)
}

/// Escapes a text of this repository for Markdown. It escapes only what has a meaning there, so
/// that readers can search a page for `io_uring` and for the name of a public bug.
pub(crate) fn own_markdown(text: &str) -> String {
    let is_letter = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
    let letters: Vec<char> = text.chars().collect();
    let mut escaped = String::with_capacity(text.len());
    for (at, &c) in letters.iter().enumerate() {
        let within_word =
            at > 0 && is_letter(letters.get(at - 1)) && is_letter(letters.get(at + 1));
        match c {
            '<' | '>' | '&' => escaped.push_str(entity(c)),
            '_' if within_word => escaped.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if is_unseen(c) => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes a text inside an HTML tag in Markdown, where backslashes escape nothing.
pub(crate) fn html(text: &str) -> String {
    let text = replace_unseen(&shorten(text));
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        escaped.push(c);
        match c {
            '<' | '>' | '&' | '"' => {
                escaped.pop();
                escaped.push_str(entity(c));
            }
            '@' => escaped.push_str(ZERO_WIDTH_SPACE),
            '#' if next.is_some_and(char::is_alphanumeric) => escaped.push_str(ZERO_WIDTH_SPACE),
            ':' if next == Some('/') => escaped.push_str(ZERO_WIDTH_SPACE),
            _ => {}
        }
    }
    defuse_ci_commands(&escaped)
}

/// Escapes a text for a CSV cell: spreadsheets take a text that begins with `=`, `+`, `-` or `@`
/// for a formula.
pub(crate) fn cell(text: &str) -> String {
    let text = line(text);
    // A sign alone is text to every spreadsheet.
    let is_formula = text.len() > 1 && text.trim_start().starts_with(['=', '+', '-', '@']);
    if is_formula { format!("'{text}") } else { text }
}

fn entity(c: char) -> &'static str {
    match c {
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '$' => "&#36;",
        _ => "&amp;",
    }
}

/// Puts a text on one line, and replaces what a terminal would obey or a reader would not see.
fn replace_unseen(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if is_unseen(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

fn shorten(text: &str) -> String {
    let left_out = text.chars().count().saturating_sub(MAX_CHARS);
    if left_out == 0 {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MAX_CHARS).collect();
    format!("{kept}... ({left_out} more characters)")
}

/// Breaks up what the runner of GitHub Actions would obey. A page may break a line before any word,
/// and the runner ignores blanks before `::`.
pub(crate) fn defuse_ci_commands(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut begins_word = true;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        // An address such as `::1` is no command.
        let is_command = || rest[2..].starts_with(|first: char| first.is_ascii_alphabetic());
        if begins_word && rest.starts_with("::") && is_command() {
            safe.push_str(": :");
            rest = &rest[2..];
            begins_word = false;
            continue;
        }
        if rest.starts_with("##[") {
            safe.push_str("## [");
            rest = &rest[3..];
            begins_word = false;
            continue;
        }
        begins_word = c.is_whitespace();
        safe.push(c);
        rest = &rest[c.len_utf8()..];
    }
    safe
}

/// Escapes the start of a line that Markdown would take for a list, a heading or a rule.
pub(crate) fn escape_line_start(text: &str) -> String {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let mut rest = text.chars().skip(digits);
    match (rest.next(), rest.next()) {
        (Some('-' | '+' | '='), _) if digits == 0 => format!("\\{text}"),
        (Some('.' | ')'), None | Some(' ')) if digits > 0 => {
            format!("{}\\{}", &text[..digits], &text[digits..])
        }
        (Some(_) | None, _) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cell_of_markdown_means_anything() {
        let markdown_line = |text| escape_line_start(&markdown(text));
        assert_eq!(markdown("a|b<script>`x`\n"), "a\\|b&lt;script&gt;\\`x\\`\u{fffd}");
        assert_eq!(markdown_line("- @user #12 # x"), "\\- @&#8203;user \\#&#8203;12 \\# x");
        assert_eq!(
            markdown_line("12. see http://localhost www.b"),
            "12\\. see http:&#8203;//localhost www&#46;b"
        );
        assert_eq!(markdown_line("1.5 s"), "1.5 s");
        assert_eq!(markdown("![x](y)"), "\\!\\[x\\](y)");
    }

    #[test]
    fn of_our_own_text_only_what_has_a_meaning_is_escaped() {
        assert_eq!(own_markdown("io_uring, libuv#4089, 2^7"), "io_uring, libuv#4089, 2^7");
        assert_eq!(own_markdown("_a_ *b* `c` [d](e)|f"), "\\_a\\_ \\*b\\* \\`c\\` \\[d\\](e)\\|f");
        assert_eq!(own_markdown("<b> & \n~"), "&lt;b&gt; &amp;  \\~");
    }

    #[test]
    fn nothing_that_commands_or_hides_reaches_a_terminal() {
        assert_eq!(terminal("a\t\u{1b}[31m\r\n"), "a \u{fffd}[31m\u{fffd}\u{fffd}");
        assert_eq!(
            terminal("\u{9b}2J\u{7f}\u{202e}\u{200b}\u{feff}\u{e0041}"),
            format!("{0}2J{0}{0}{0}{0}{0}", '\u{fffd}')
        );
    }

    #[test]
    fn no_format_shows_a_text_with_a_character_that_nobody_sees() {
        for c in ('\0'..=char::MAX).filter(|c| is_unseen(*c)) {
            let text = format!("a{c}b");
            for escaped in [
                terminal(&text),
                line(&text),
                markdown(&text),
                escape_line_start(&markdown(&text)),
                html(&text),
                cell(&text),
            ] {
                let sign = if c == '\t' { ' ' } else { '\u{fffd}' };
                assert_eq!(escaped, format!("a{sign}b"), "{c:?}");
            }
        }
    }

    #[test]
    fn no_runner_of_ci_obeys_a_line() {
        assert_eq!(terminal("::error::x"), ": :error::x");
        assert_eq!(terminal("a  ::error::x ##[group]"), "a  : :error::x ## [group]");
        assert_eq!(terminal("row::suite::case on ::1"), "row::suite::case on ::1");
    }

    #[test]
    fn a_text_without_end_ends() {
        let text = terminal(&"x".repeat(10_000));
        assert!(text.ends_with("x... (8000 more characters)") && text.len() < 2_100, "{text}");
    }

    #[test]
    fn a_spreadsheet_computes_nothing() {
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("-"), "-");
    }
}
