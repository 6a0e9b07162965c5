//! What pages are made of. A document lays out its parts. Renderers show them, and escape all text
//! for their format in one place.

use crate::outside::Outside;
use crate::plot::Plot;

/// The reader for whom a document lays out its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A reader at a terminal, whose cursor is at the end: what matters comes last.
    Terminal,
    /// A reader who starts at the top of a page: what matters comes first.
    Page,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Title(Outside),
    Section(Outside),
    Subsection(Outside),
    /// Sentences, one per line.
    Lines(Vec<Prose>),
    /// Names and their values, below a line of text if there is one.
    Fields(Option<Outside>, Vec<(Outside, Outside)>),
    /// Groups of terms with their explanations.
    Definitions(Vec<Definitions>),
    /// A title, which may be empty, and points. Without points, nothing is shown.
    List(&'static str, Vec<Prose>),
    /// Without rows, nothing is shown.
    Table(Table),
    /// A table for a wide page, on which no cell has to be broken, and a part for other pages.
    WideTable(Table, Box<Self>),
    /// Lines that stay as they are, such as a server's standard error, below their summary.
    Details(Summary, Vec<Outside>),
    /// Lines over axes, which only a terminal shows.
    Plot(Plot),
}

/// A text in pieces. Renderers escape each kind of piece differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prose(pub Vec<Span>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Text from outside. None of its characters has a meaning, and it mentions nobody.
    Outside(Outside),
    /// Text of this repository. It may name a public bug, and a reader can search a page for it.
    Own(String),
    /// A name or a command of this repository, shown as code.
    Code(String),
    /// Text of this repository that a reader must not overlook.
    Strong(String),
    /// A word of this repository in the colour of its meaning.
    Coloured(Colour, String),
    /// A link, with its text from this repository; a terminal shows the text alone.
    Link(String, LinkTarget),
}

/// What a terminal shows by a colour, in addition to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// As it should be.
    Good,
    /// Against the requirement.
    Bad,
    /// Not met, but not red: a miss or a waived failure; or not known.
    Doubtful,
    /// Not judged.
    Faint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// A heading of the same page.
    Heading(String),
    /// A file, relative to the page.
    File(&'static str),
}

/// Terms with their explanations. A terminal aligns the terms of all groups in one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// What the terms have in common; may be empty.
    pub title: Prose,
    pub entries: Vec<Definition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub term: Outside,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Paragraph(Prose),
    Points(Vec<Prose>),
    /// Never wrapped, so that a reader can copy a command in it.
    Unbroken(Prose),
}

/// What a reader sees of the details before opening them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub word: &'static str,
    pub colour: Colour,
    pub name: Outside,
}

/// Rows under heads, in groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// May be empty.
    pub title: &'static str,
    pub style: Style,
    pub heads: Vec<Head>,
    pub groups: Vec<Group>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Numbers, or words in their place, aligned to the right. A cell that is too wide is wrapped.
    Numbers,
    /// Numbers that a line break would make misread. A table that is too wide is split.
    WholeNumbers,
    Words,
    /// Words in columns without a border. A table that is too wide is split.
    Columns,
    /// Short numbers in narrow columns without a border. A head is broken at its hyphens, also at
    /// soft ones (U+00AD).
    Counts,
}

/// What a column shows, and its unit or the row it is compared with; a terminal puts the second on
/// a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head(pub Outside, pub Outside);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the rows have in common; empty if the table has only one group.
    pub name: Outside,
    pub rows: Vec<Vec<Entry>>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub lines: Vec<Prose>,
    /// A reader must not overlook it.
    pub is_strong: bool,
}

impl Part {
    pub fn lines(lines: impl IntoIterator<Item: Into<Prose>>) -> Self {
        Self::Lines(lines.into_iter().map(Into::into).collect())
    }

    pub fn list(title: &'static str, points: impl IntoIterator<Item: Into<Prose>>) -> Self {
        Self::List(title, points.into_iter().map(Into::into).collect())
    }
}

impl Prose {
    /// Text of this repository, in which backticks enclose code.
    #[must_use]
    pub fn from_own_text(text: &str) -> Self {
        let span = |(index, piece): (usize, &str)| match index % 2 {
            0 => Span::Own(piece.to_owned()),
            _ => Span::Code(piece.to_owned()),
        };
        let pieces = text.split('`').enumerate().filter(|(_, piece)| !piece.is_empty());
        Self(pieces.map(span).collect())
    }

    /// Texts with `between`, a text of this repository, between them.
    #[must_use]
    pub fn join(texts: impl IntoIterator<Item = Self>, between: &str) -> Self {
        let mut spans = Vec::new();
        for Self(next) in texts {
            if !spans.is_empty() {
                spans.push(Span::Own(between.to_owned()));
            }
            spans.extend(next);
        }
        Self(spans)
    }

    #[must_use]
    pub fn append(mut self, other: impl Into<Self>) -> Self {
        self.0.extend(other.into().0);
        self
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Head {
    /// A head without a second line.
    #[must_use]
    pub fn new(what: impl Into<Outside>) -> Self {
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
        Span::Outside(text.into()).into()
    }
}

impl From<Span> for Prose {
    fn from(span: Span) -> Self {
        Self(vec![span])
    }
}
