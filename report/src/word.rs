//! Words that users type from a closed set: a transport, a level, a profile, a metric.

use std::fmt;

use crate::outside::Outside;

/// A word that is not in its closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    word: Outside,
    noun: &'static str,
    known: Vec<&'static str>,
}

impl UnknownWord {
    /// `noun` says what each of the `known` words is, such as "level".
    #[must_use]
    pub fn new(
        word: &str,
        noun: &'static str,
        known: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        Self { word: word.into(), noun, known: known.into_iter().collect() }
    }
}

impl std::error::Error for UnknownWord {}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no {}: write {}", self.word, self.noun, self.known.join(", "))
    }
}
