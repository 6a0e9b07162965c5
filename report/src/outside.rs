//! Text that a server, a file, a command line or an environment said. It cannot be printed: only
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

/// A text for whose characters nobody vouches. It has no `Display` and is no `str`, so that
/// printing it unescaped does not compile. [`crate::outside!`] makes a sentence of several texts.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outside(String);

impl Outside {
    /// Whether it is this text.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.0 == text
    }

    /// Whether it has no character.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it contains this text.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    /// Whether it begins with this text.
    #[must_use]
    pub fn starts_with(&self, text: &str) -> bool {
        self.0.starts_with(text)
    }

    /// What stands behind this text, if it begins with it.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        self.0.strip_prefix(prefix).map(Self::from)
    }

    /// Whether nobody sees anything of it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.chars().all(|c| c.is_whitespace() || is_unseen(c))
    }

    /// On one line of a terminal, escaped: for progress, and for errors.
    #[must_use]
    pub fn on_terminal(&self) -> String {
        escape::terminal(&self.0)
    }

    /// Line by line on a terminal, each escaped.
    #[must_use]
    pub fn lines_on_terminal(&self) -> String {
        self.0.lines().map(escape::terminal).collect::<Vec<_>>().join("\n")
    }

    /// What it is worth to a parser. Nothing but what is [`Parsed`] may be made of it.
    ///
    /// # Errors
    /// Those of the parser.
    pub fn parse<T: Parsed>(&self) -> Result<T, T::Err> {
        self.0.parse()
    }

    /// Texts with something between them.
    #[must_use]
    pub fn join<'a>(texts: impl IntoIterator<Item = &'a Self>, between: &str) -> Self {
        Self(texts.into_iter().map(Self::open).collect::<Vec<_>>().join(between))
    }

    /// With blanks behind it, to so many characters.
    #[must_use]
    pub fn padded(&self, width: usize) -> Self {
        Self(format!("{:<width$}", self.0))
    }

    /// For [`crate::outside!`] alone.
    #[doc(hidden)]
    #[must_use]
    pub fn compose(sentence: fmt::Arguments<'_>) -> Self {
        Self(sentence.to_string())
    }

    /// The characters as they came, for renderers.
    pub(crate) fn open(&self) -> &str {
        &self.0
    }
}

/// What may be made of a text from outside: an address, and a path, which is to be opened and not
/// to be shown. It can be no text.
///
/// ```compile_fail,E0277
/// let opened: Result<String, _> = report::Outside::from("text").parse();
/// ```
pub trait Parsed: sealed::Sealed + FromStr {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! parsed {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl Parsed for $type {}
    )*};
}

parsed!(SocketAddr, PathBuf);

/// A sentence of which some parts come from outside, which makes it one as a whole. Arguments stand
/// behind the format, as in `outside!("{}: {}", row.name, reason)`.
#[macro_export]
macro_rules! outside {
    ($format:literal $(, $argument:expr)* $(,)?) => {
        $crate::Outside::compose(::std::format_args!(
            $format $(, $crate::outside::Piece(&$argument))*
        ))
    };
}

/// What may be a part of a sentence of [`crate::outside!`].
pub trait Said {
    /// Writes it as it came.
    ///
    /// # Errors
    /// Those of the formatter.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A part of a sentence that [`crate::outside!`] makes.
#[doc(hidden)]
pub struct Piece<'a, T: ?Sized>(pub &'a T);

impl<T: fmt::Display + ?Sized> Said for T {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt(f)
    }
}

impl Said for Outside {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Said for &Outside {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Said for &&Outside {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<T: Said + ?Sized> fmt::Display for Piece<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}

/// For developers: a literal of Rust, with an escape for each character that is not seen.
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

/// With a sign in the place of what is no text.
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
        assert!(sentence.is("a\u{1b}b |1 of a\u{1b}b: x"), "{sentence:?}");
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
