//! Tables of values as CSV (RFC 4180): one record a line, and an empty field for what is absent.

use crate::escape;
use crate::record::{Field, Record};

/// The records, below their heads.
pub(super) fn csv(records: &[Record]) -> String {
    let Some(first) = records.first() else { return String::new() };
    let heads = line(first.iter().map(|(head, _)| head.clone()));
    let record = |record: &Record| line(record.iter().map(|(_, field)| shown(field)));
    heads + &records.iter().map(record).collect::<String>()
}

fn shown(field: &Field) -> String {
    match field {
        Field::None => String::new(),
        Field::Value(value) => value.clone(),
        Field::Text(text) => escape::cell(text.open()),
    }
}

/// Quoted where RFC 4180, section 2, asks for it, and ended by CRLF.
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
