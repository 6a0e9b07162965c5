//! What can be shown: it has parts and values, from which renderers make pages. All documents can
//! be shown, and also what commands show without measuring, such as the list of cases.

use serde::Serialize;

use crate::format::Format;
use crate::outside::Outside;
use crate::part::{Medium, Part};
use crate::record::Record;
use crate::suite::TestSuites;

/// What renderers make pages of, in the formats of [`Pages::FORMATS`] only.
pub trait Pages {
    const FORMATS: &'static [Format];
    /// What a reader can ask beyond the data: what counts as red, or what a plot shows.
    type Question: Default;

    fn parts(&self, question: &Self::Question, medium: Medium) -> Vec<Part>;

    /// Everything it says, for a program: [`Format::Json`].
    fn data(&self) -> impl Serialize;

    /// Its values, one record per cell, measurement or round: [`Format::Csv`].
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

    /// How near it came to its limits: [`Format::Margins`].
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
