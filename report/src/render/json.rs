//! Documents as JSON, which a program can read back unchanged. Characters that a terminal or the
//! runner of a CI system would obey are written as escapes.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use crate::unseen::is_unseen;

/// Indented, as a result file stores it.
pub(super) fn pretty(document: &impl Serialize) -> serde_json::Result<String> {
    Ok(serialise(document, EscapingFormatter(PrettyFormatter::new()))? + "\n")
}

/// On one line.
pub(super) fn compact(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(serialise(value, EscapingFormatter(CompactFormatter))? + "\n")
}

fn serialise(value: &impl Serialize, formatter: impl Formatter) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// Writes strings with more escapes than JSON requires, and everything else as `F` does.
struct EscapingFormatter<F>(F);

impl<F: Formatter> Formatter for EscapingFormatter<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        to: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut before = ['\0'; 2];
        for c in text.chars() {
            if is_unseen(c) || (c == '[' && before == ['#', '#']) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(to, "\\u{unit:04x}")?;
                }
            } else {
                write!(to, "{c}")?;
            }
            before = [before[1], c];
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_array(to)
    }

    fn end_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_array(to)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(to, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_array_value(to)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object(to)
    }

    fn end_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object(to)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(to, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object_value(to)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object_value(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_back() {
        let text = "\u{1b}[2J \u{9b} \u{202e} \u{e0041} ##[error] \"\\ é";
        let json = compact(&text).unwrap();
        let escaped = r#""\u001b[2J \u009b \u202e \udb40\udc41 ##\u005berror] \"\\ é""#;
        assert_eq!(json, format!("{escaped}\n"));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn every_character_that_nobody_sees_is_escaped_and_reads_back() {
        let text: String = ('\0'..=char::MAX).filter(|c| is_unseen(*c)).collect();
        let json = compact(&text).unwrap();
        assert!(!json.trim_end().chars().any(is_unseen));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
