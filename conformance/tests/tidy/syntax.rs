//! Rust source as words. Comments are left out, and a string is one word.

/// A name, a number, a string, a lifetime, `::`, or one other character.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    /// Counts from 1.
    pub(crate) line: usize,
}

impl Word<'_> {
    /// Whether the word is a name or a keyword.
    pub(crate) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The words of a file, in order.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (length, kept) = if first.is_whitespace() {
            (first.len_utf8(), false)
        } else if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (block_comment_length(rest), false)
        } else {
            (word_length(rest), true)
        };
        if kept {
            let text = &rest[..length];
            let raw_name = text.strip_prefix("r#").filter(|name| !name.starts_with(['"', '#']));
            found.push(Word { text: raw_name.unwrap_or(text), line });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// The length of the word at the start of the text.
fn word_length(text: &str) -> usize {
    if let Some(length) = string_length(text) {
        return length;
    }
    if text.starts_with("::") {
        return 2;
    }
    let Some(quoted) = text.strip_prefix('\'') else {
        let name = name_length(text.strip_prefix("r#").unwrap_or(text));
        let prefix = if text.starts_with("r#") { 2 } else { 0 };
        let sign = text.chars().next().map_or(0, char::len_utf8);
        return if name == 0 { sign } else { prefix + name };
    };
    let mut signs = quoted.char_indices();
    let (first, second) = (signs.next(), signs.next());
    match (first, second) {
        (Some((_, '\\')), Some((_, escaped))) => {
            let after = 2 + escaped.len_utf8();
            after + text[after..].find('\'').map_or(0, |end| end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 2,
        _ => 1 + name_length(quoted),
    }
}

/// The length of the name or number at the start of the text.
fn name_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// The length of the string literal of any kind at the start of the text, if there is one.
fn string_length(text: &str) -> Option<usize> {
    let letters = text.bytes().take_while(u8::is_ascii_lowercase).count();
    let prefix = &text[..letters];
    if !["", "b", "c", "r", "br", "cr"].contains(&prefix) {
        return None;
    }
    let marks = text[letters..].bytes().take_while(|byte| *byte == b'#').count();
    let raw = prefix.ends_with('r');
    let body = text[letters + marks..].strip_prefix('"').filter(|_| raw || marks == 0)?;
    let start = text.len() - body.len();
    let end = if raw {
        let close = format!("\"{}", "#".repeat(marks));
        body.find(&close).map(|end| end + close.len())
    } else {
        let mut escaped = false;
        let close = body.bytes().position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        close.map(|end| end + 1)
    };
    Some(start + end.unwrap_or(body.len()))
}

/// The length of the block comment at the start of the text. Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The position after the bracket that closes the one at `open`.
pub(crate) fn after_bracket(words: &[Word<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    words.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        words(source).iter().map(|word| word.text).collect()
    }

    #[test]
    fn comments_are_left_out_and_strings_are_one_word() {
        let source =
            "a // use b;\n/* use c; /* d */ e */ f \"use g; // \\\" h\" r#\"i \" j\"# b\"k\"";
        let expected = ["a", "f", "\"use g; // \\\" h\"", "r#\"i \" j\"#", "b\"k\""];
        assert_eq!(texts(source), expected);
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        let expected = ["<", "'a", ">", "'\"'", "'\\''", "'{'", "'\\u{7b}'", "&", "'_", "str"];
        assert_eq!(texts("<'a> '\"' '\\'' '{' '\\u{7b}' &'_ str"), expected);
    }

    #[test]
    fn names_and_paths_are_cut_at_signs() {
        let expected = ["use", "a", "::", "type", "::", "{", "b", ",", "*", "}", ";"];
        assert_eq!(texts("use a::r#type::{b,*};"), expected);
    }

    #[test]
    fn lines_count_through_strings_and_comments() {
        let source = "\"a\nb\"\n/*\n*/ c";
        assert_eq!(words(source).last(), Some(&Word { text: "c", line: 4 }));
    }

    #[test]
    fn brackets_are_matched() {
        let source = words("f ( [ a ] , { b } ) c");
        assert_eq!(source[after_bracket(&source, 1)].text, "c");
    }
}
