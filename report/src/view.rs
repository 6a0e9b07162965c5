//! How a page is shown: how wide, and in which colours.

/// How many columns a page has. Only the command knows how wide a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Width(u16);

/// What a page is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The terminal's own colours, which are readable on its own background.
    Colour,
    /// Characters only: for `NO_COLOR`, a pipe, or a file.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub width: Width,
    pub ink: Ink,
}

impl Width {
    /// Fewer columns would break every table.
    pub const MIN: Self = Self(40);
    /// For a pipe, whose reader may show it in a terminal of the usual width.
    pub const PIPE: Self = Self(80);
    /// From here on, a page has room for a column per suite.
    pub(crate) const WIDE: Self = Self(132);
    /// For a page that nobody reads in a terminal: as wide as the log of a CI job.
    pub const LOG: Self = Self(120);
    /// Longer lines of sentences are hard to read.
    pub(crate) const SENTENCES: Self = Self(100);

    /// A width of at least [`Width::MIN`].
    #[must_use]
    pub fn new(columns: u16) -> Self {
        Self(columns).max(Self::MIN)
    }

    /// The width that the variable `COLUMNS` asks for.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        std::env::var("COLUMNS").ok()?.parse().ok().map(Self::new)
    }

    #[must_use]
    pub fn columns(self) -> u16 {
        self.0
    }
}

impl View {
    /// For a file: as wide as `COLUMNS` says, else [`Width::LOG`], and without colours.
    #[must_use]
    pub fn in_file() -> Self {
        Self::plain(Width::from_environment().unwrap_or(Width::LOG))
    }

    #[must_use]
    pub fn plain(width: Width) -> Self {
        Self { width, ink: Ink::Plain }
    }
}
