//! What a server, a user or a file said, made harmless: for a terminal, in Markdown, in CSV.

/// A server chooses some of these texts: no control character of theirs reaches a terminal.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// A server chooses some of these texts: none of its characters means anything in Markdown.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A record of CSV: quoted where RFC 4180, section 2, asks for it, and ended by CRLF.
#[cfg(feature = "statistics")]
pub(crate) fn csv<S: AsRef<str>>(fields: &[S]) -> String {
    let quoted = |field: &S| {
        let field = field.as_ref();
        if field.contains([',', '"', '\r', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cell_of_markdown_means_anything() {
        assert_eq!(markdown("a|b<script>`x`\n"), "a\\|b&lt;script&gt;\\`x\\` ");
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        assert_eq!(printable("a\t\u{1b}[31m\r\n"), "a \u{fffd}[31m\u{fffd}\u{fffd}");
    }

    #[cfg(feature = "statistics")]
    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        assert_eq!(csv(&["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(
            csv(&["a,b", "say \"x\"", "two\nlines"]),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\r\n"
        );
    }
}
