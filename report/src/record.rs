//! Records of a table of values: heads with units, and one field under each head.

use std::fmt::Display;

use crate::outside::Outside;

/// A row of values, each under its head. All records of a table have the same heads.
pub type Record = Vec<(String, Field)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    None,
    /// A number, or a word of this repository.
    Value(String),
    /// Text from outside, which a spreadsheet must not take for a formula.
    Text(Outside),
}

/// A number, or a word of this repository. Text from outside has no `Display`, so it cannot be one.
pub(crate) fn value(head: impl Into<String>, value: impl Display) -> (String, Field) {
    (head.into(), Field::Value(value.to_string()))
}

pub(crate) fn text(head: &str, text: &Outside) -> (String, Field) {
    (head.to_owned(), Field::Text(text.clone()))
}

pub(crate) fn optional(head: &str, value: Option<impl Display>) -> (String, Field) {
    let field = value.map_or(Field::None, |value| Field::Value(value.to_string()));
    (head.to_owned(), field)
}

pub(crate) fn optional_text(head: &str, text: Option<&Outside>) -> (String, Field) {
    (head.to_owned(), text.map_or(Field::None, |text| Field::Text(text.clone())))
}
