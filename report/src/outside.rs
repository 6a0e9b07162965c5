//! Text from a server, a file, a command line or an environment. It cannot be printed: only
//! renderers open it, and they escape it for their format.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::escape;
use crate::unseen::is_unseen;

/// A text whose characters nobody vouches for. It has no `Display` and is no `str`, so code that
/// prints it unescaped does not compile. [`crate::outside!`] makes a sentence of several texts.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outside(String);

impl Outside {
    /// Whether it equals a text.
    #[must_use]
    pub fn equals(&self, text: &str) -> bool {
        self.0 == text
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    #[must_use]
    pub fn starts_with(&self, text: &str) -> bool {
        self.0.starts_with(text)
    }

    #[must_use]
    pub fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        self.0.strip_prefix(prefix).map(Self::from)
    }

    /// Whether a reader sees nothing of it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.chars().all(|c| c.is_whitespace() || is_unseen(c))
    }

    /// Escaped for one line of a terminal: for progress, and for errors.
    #[must_use]
    pub fn on_terminal(&self) -> String {
        escape::terminal(&self.0)
    }

    /// Each line escaped for a terminal.
    #[must_use]
    pub fn lines_on_terminal(&self) -> String {
        self.0.lines().map(escape::terminal).collect::<Vec<_>>().join("\n")
    }

    /// Parses the text. The result must be [`ParseTarget`].
    ///
    /// # Errors
    /// The errors of the parser.
    pub fn parse<T: ParseTarget>(&self) -> Result<T, T::Err> {
        self.0.parse()
    }

    #[must_use]
    pub fn join<'a>(texts: impl IntoIterator<Item = &'a Self>, between: &str) -> Self {
        Self(texts.into_iter().map(Self::open).collect::<Vec<_>>().join(between))
    }

    /// Padded with blanks to `width` characters.
    #[must_use]
    pub fn pad(&self, width: usize) -> Self {
        Self(format!("{:<width$}", self.0))
    }

    /// Only for [`crate::outside!`].
    #[doc(hidden)]
    #[must_use]
    pub fn compose(sentence: fmt::Arguments<'_>) -> Self {
        Self(sentence.to_string())
    }

    /// The characters as they came, unescaped, for renderers.
    pub(crate) fn open(&self) -> &str {
        &self.0
    }
}

/// A type that a text from outside can be parsed into: an address, or a path, which is opened and
/// not shown. It must not be a text.
///
/// ```compile_fail,E0277
/// let opened: Result<String, _> = report::Outside::from("text").parse();
/// ```
pub trait ParseTarget: sealed::Sealed + FromStr {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! impl_parse_target {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl ParseTarget for $type {}
    )*};
}

impl_parse_target!(SocketAddr, PathBuf);

/// Makes a sentence with parts from outside; the whole sentence is then text from outside. The
/// arguments follow the format, as in `outside!("{}: {}", row.name, reason)`.
#[macro_export]
macro_rules! outside {
    ($format:literal $(, $argument:expr)* $(,)?) => {
        $crate::Outside::compose(::std::format_args!(
            $format $(, $crate::outside::Fragment(&$argument))*
        ))
    };
}

/// A part of a sentence of [`crate::outside!`].
pub trait SentencePart {
    /// Writes the part as it came, unescaped.
    ///
    /// # Errors
    /// The errors of the formatter.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

#[doc(hidden)]
pub struct Fragment<'a, T: ?Sized>(pub &'a T);

impl<T: fmt::Display + ?Sized> SentencePart for T {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt(f)
    }
}

impl SentencePart for Outside {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl SentencePart for &Outside {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl SentencePart for &&Outside {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<T: SentencePart + ?Sized> fmt::Display for Fragment<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}

/// For developers: a Rust literal that escapes each invisible character.
impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if is_unseen(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{}", c.escape_debug())?;
            }
        }
        f.write_char('"')
    }
}

impl From<String> for Outside {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Outside {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&String> for Outside {
    fn from(text: &String) -> Self {
        Self(text.clone())
    }
}

impl From<Cow<'_, str>> for Outside {
    fn from(text: Cow<'_, str>) -> Self {
        Self(text.into_owned())
    }
}

/// Replaces bytes that are no text.
impl From<&Path> for Outside {
    fn from(path: &Path) -> Self {
        path.to_string_lossy().into()
    }
}

impl From<&PathBuf> for Outside {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

impl From<&Self> for Outside {
    fn from(text: &Self) -> Self {
        text.clone()
    }
}

impl FromStr for Outside {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl PartialEq<str> for Outside {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Outside {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<String> for Outside {
    fn eq(&self, other: &String) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_made_of_texts_from_outside_and_of_ours() {
        let name = Outside::from("a\u{1b}b");
        let names = [&name];
        let sentence = outside!("{:<4}|{} of {}: {}", name, 1, names[0], "x");
        assert!(sentence.equals("a\u{1b}b |1 of a\u{1b}b: x"), "{sentence:?}");
        assert_eq!(Outside::join([&name, &name], "; ").on_terminal(), "a\u{fffd}b; a\u{fffd}b");
    }

    #[test]
    fn what_nobody_sees_is_blank() {
        assert!(Outside::from(" \u{200b}\u{3164}\0\n").is_blank());
        assert!(!Outside::from("\u{200b}.").is_blank());
    }

    #[test]
    fn a_debugger_and_a_file_get_it_escaped() {
        let name = Outside::from("\u{1b}[2J\u{202e}\u{3164}");
        assert_eq!(format!("{name:?}"), r#""\u{1b}[2J\u{202e}\u{3164}""#);
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(serde_json::from_str::<Outside>(&json).unwrap(), name);
    }
}
