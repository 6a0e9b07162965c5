//! Tables of values as CSV (RFC 4180): one record per line, and an empty field for an absent value.

use crate::escape;
use crate::record::{Field, Record};

/// The heads, and below them the records.
pub(super) fn csv(records: &[Record]) -> String {
    let Some(first) = records.first() else { return String::new() };
    let heads = line(first.iter().map(|(head, _)| head.clone()));
    let record = |record: &Record| line(record.iter().map(|(_, field)| field_text(field)));
    heads + &records.iter().map(record).collect::<String>()
}

fn field_text(field: &Field) -> String {
    match field {
        Field::None => String::new(),
        Field::Value(value) => value.clone(),
        Field::Text(text) => escape::cell(text.open()),
    }
}

/// A line that ends in CRLF, with quotes where RFC 4180, section 2, requires them.
fn line(fields: impl Iterator<Item = String>) -> String {
    let quoted = |field: String| match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    };
    fields.map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        let fields = |fields: &[&str]| line(fields.iter().map(|field| (*field).to_owned()));
        assert_eq!(fields(&["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(
            fields(&["a,b", "say \"x\"", "two\nlines"]),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\r\n"
        );
    }
}
