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
    /// The title of a part of a section.
    Subsection(Outside),
    /// Sentences, one a line.
    Lines(Vec<Prose>),
    /// Names with what belongs to each, under a line of their own where they have one.
    Fields(Option<Outside>, Vec<(Outside, Outside)>),
    /// Groups of terms with what there is to say of each.
    Definitions(Vec<Definitions>),
    /// A title, which may be empty, and points; nothing at all where there are no points.
    List(&'static str, Vec<Prose>),
    /// Rows under heads; nothing at all where there are no rows.
    Table(Table),
    /// Lines that stay as they are, such as a server's standard error, below a summary of them.
    Details(Summary, Vec<Outside>),
    /// Lines over an axis; a page without a terminal leaves them out.
    Plot(Plot),
}

/// A text in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prose(pub Vec<Span>);

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// What somebody else said: nothing of it means anything, and it mentions nobody.
    Said(Outside),
    /// What stands in this repository. It may name a public bug, and must be found by a search.
    Ours(String),
    /// A name or a command of this repository.
    Code(String),
    /// What a reader must not overlook, of this repository.
    Strong(String),
    /// A text of this repository that leads somewhere; on a terminal it is the text alone.
    Link(String, LinkTarget),
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// To a heading of the same page.
    Heading(String),
    /// To a file, relative to the page.
    File(&'static str),
}

/// Terms with what there is to say of each, on a terminal in one column with those of the other
/// groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// What they have in common; empty where no line says so.
    pub title: Prose,
    /// From top to bottom.
    pub entries: Vec<Definition>,
}

/// A term, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The term.
    pub term: Outside,
    /// From top to bottom.
    pub blocks: Vec<Block>,
}

/// A piece of what there is to say of a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Sentences.
    Paragraph(Prose),
    /// Points of a list.
    Points(Vec<Prose>),
    /// On one line however long, so that a command in it can be copied.
    Unbroken(Prose),
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
    pub lines: Vec<Prose>,
    /// Whether a reader must not overlook it.
    pub is_strong: bool,
}

impl Part {
    /// Sentences, one a line.
    pub fn lines(lines: impl IntoIterator<Item: Into<Prose>>) -> Self {
        Self::Lines(lines.into_iter().map(Into::into).collect())
    }

    /// A title and points.
    pub fn list(title: &'static str, points: impl IntoIterator<Item: Into<Prose>>) -> Self {
        Self::List(title, points.into_iter().map(Into::into).collect())
    }
}

impl Prose {
    /// A text of this repository, in which backticks enclose code.
    #[must_use]
    pub fn ours(text: &str) -> Self {
        let span = |(index, piece): (usize, &str)| match index % 2 {
            0 => Span::Ours(piece.to_owned()),
            _ => Span::Code(piece.to_owned()),
        };
        let pieces = text.split('`').enumerate().filter(|(_, piece)| !piece.is_empty());
        Self(pieces.map(span).collect())
    }

    /// Texts with something of ours between them.
    #[must_use]
    pub fn join(texts: impl IntoIterator<Item = Self>, between: &str) -> Self {
        let mut spans = Vec::new();
        for Self(next) in texts {
            if !spans.is_empty() {
                spans.push(Span::Ours(between.to_owned()));
            }
            spans.extend(next);
        }
        Self(spans)
    }

    /// With something behind it.
    #[must_use]
    pub fn then(mut self, other: impl Into<Self>) -> Self {
        self.0.extend(other.into().0);
        self
    }

    /// Whether it has no character.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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

impl<T: Into<Prose>> From<T> for Entry {
    fn from(text: T) -> Self {
        Self { lines: vec![text.into()], is_strong: false }
    }
}

impl<T: Into<Outside>> From<T> for Prose {
    fn from(text: T) -> Self {
        Span::Said(text.into()).into()
    }
}

impl From<Span> for Prose {
    fn from(span: Span) -> Self {
        Self(vec![span])
    }
}
