//! How a page is shown: how wide, in which colours, and for whom.

/// How many columns a page has. How wide a terminal is only the command knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Width(u16);

/// What a terminal is given to draw with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Its own colours, which are readable on its own background.
    Colour,
    /// Characters alone: for `NO_COLOR`, a pipe, a file.
    Plain,
}

/// How a page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// How wide it is.
    pub width: Width,
    /// Whether it has colours.
    pub ink: Ink,
}

impl Width {
    /// Less would break every table.
    pub const LEAST: Self = Self(60);
    /// For a page that nobody looks at in a terminal: as many as the log of a job shows.
    pub const OF_A_LOG: Self = Self(120);
    /// Lines of sentences with more columns are hard to read.
    pub(crate) const OF_SENTENCES: Self = Self(100);

    /// So many columns, [`Width::LEAST`] at least.
    #[must_use]
    pub fn of(columns: u16) -> Self {
        Self(columns).max(Self::LEAST)
    }

    /// Their number.
    #[must_use]
    pub fn columns(self) -> u16 {
        self.0
    }
}

impl View {
    /// In a file, whoever writes it: as wide as `COLUMNS` says, else [`Width::OF_A_LOG`], and
    /// without colours.
    #[must_use]
    pub fn in_file() -> Self {
        let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self::plain(asked.map_or(Width::OF_A_LOG, Width::of))
    }

    /// Without colours.
    #[must_use]
    pub fn plain(width: Width) -> Self {
        Self { width, ink: Ink::Plain }
    }
}
