//! What can be shown: what hands out parts and values, from which renderers make pages. All
//! documents can, and what commands show without measuring, such as the list of cases.

use serde::Serialize;

use crate::format::Format;
use crate::outside::Outside;
use crate::part::{Medium, Part};
use crate::record::Record;
use crate::suite::TestSuites;

/// What pages are rendered from. A format is offered by [`Pages::FORMATS`] alone.
pub trait Pages {
    /// The formats in which it can be rendered.
    const FORMATS: &'static [Format];
    /// What a reader may ask beyond what it says by itself: what counts as red, or what a plot
    /// shows.
    type Question: Default;

    /// What pages are made of.
    fn parts(&self, question: &Self::Question, medium: Medium) -> Vec<Part>;

    /// All that it says, for a program: [`Format::Json`].
    fn data(&self) -> impl Serialize;

    /// Its values, a record for each cell, measurement or round: [`Format::Csv`].
    fn records(&self) -> Vec<Record> {
        Vec::new()
    }

    /// Its measurements, each complete in itself: [`Format::Jsonl`].
    fn lines(&self) -> Vec<impl Serialize> {
        Vec::<()>::new()
    }

    /// Its tests: [`Format::Junit`].
    fn suites(&self, _: &Self::Question) -> TestSuites {
        TestSuites::default()
    }

    /// How near it came to limits: [`Format::Margins`].
    fn margins(&self) -> Vec<Part> {
        Vec::new()
    }

    /// Its whole distributions, as the log of [`Format::Hdr`].
    ///
    /// # Errors
    /// Why they cannot be written.
    fn distributions(&self) -> Result<String, Outside> {
        Ok(String::new())
    }
}
