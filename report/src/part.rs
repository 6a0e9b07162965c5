//! What pages are made of. A document lays out its parts; renderers show them, and escape all text
//! in one place for their format.

use crate::outside::Outside;
use crate::plot::Plot;

/// For whom a document lays out its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Somebody at a terminal, whose cursor is at the end: what matters comes last.
    Terminal,
    /// Somebody who reads a page from its top: what matters comes first.
    Page,
}

/// What a page is made of, from top to bottom.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// The title of the page.
    Title(Outside),
    /// The title of what follows, up to the next of its kind.
    Section(Outside),
    /// Sentences, one a line.
    Lines(Vec<Outside>),
    /// Names with what belongs to each, under a line of their own where they have one.
    Fields(Option<Outside>, Vec<(Outside, Outside)>),
    /// A title and points; nothing at all where there are no points.
    List(&'static str, Vec<Outside>),
    /// Rows under heads; nothing at all where there are no rows.
    Table(Table),
    /// Lines that stay as they are, such as a server's standard error, below a summary of them.
    Details(Summary, Vec<Outside>),
    /// Lines over an axis; a page without a terminal leaves them out.
    Plot(Plot),
}

/// What a reader sees of details before he opens them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// In a word.
    pub word: Outside,
    /// What it is about: a name.
    pub name: Outside,
}

/// Rows under heads, in groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it shows; empty where no line says so.
    pub title: &'static str,
    /// How it looks.
    pub style: Style,
    /// One for each column.
    pub heads: Vec<Head>,
    /// The rows.
    pub groups: Vec<Group>,
}

/// How a table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Numbers, or words in their place, set to the right. A cell too wide for it has more lines.
    Numbers,
    /// Numbers that a line break would make misread: what is too wide becomes several tables.
    WholeNumbers,
    /// Words.
    Words,
    /// Words in columns without a border; what is too wide becomes several tables.
    Columns,
}

/// What a column is, and in which unit or against which row; a second line on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head(pub Outside, pub Outside);

/// Rows that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they have in common; empty for a table of one group.
    pub name: Outside,
    /// From top to bottom.
    pub rows: Vec<Vec<Entry>>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// From top to bottom.
    pub lines: Vec<Outside>,
    /// Whether a reader must not overlook it.
    pub is_strong: bool,
}

impl Head {
    /// A head of one line.
    #[must_use]
    pub fn of(what: impl Into<Outside>) -> Self {
        Self(what.into(), Outside::default())
    }
}

impl Table {
    /// A table whose rows are not grouped.
    #[must_use]
    pub fn plain(
        title: &'static str,
        style: Style,
        heads: Vec<Head>,
        rows: Vec<Vec<Entry>>,
    ) -> Self {
        let groups = vec![Group { name: Outside::default(), rows }];
        Self { title, style, heads, groups }
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.rows.is_empty())
    }
}

impl<T: Into<Outside>> From<T> for Entry {
    fn from(text: T) -> Self {
        Self { lines: vec![text.into()], is_strong: false }
    }
}
