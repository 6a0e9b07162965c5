//! All that a command, or the test target, is asked to print and to write. What can be wrong with
//! it is found before anything is judged or measured.

use std::fmt;
use std::path::Path;

use super::{OutFile, Output, OutputError};
use crate::exit::Exit;
use crate::format::Format;
use crate::pages::Pages;
use crate::render::{RenderError, render};
use crate::view::View;

/// What is printed and written, checked and ready.
#[derive(Debug, Default)]
pub struct Outputs {
    printed: Option<Format>,
    files: Vec<(Format, OutFile)>,
}

/// Which files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// All: the document is complete.
    Complete,
    /// Those that can be written again when it is complete: a stream cannot.
    SoFar,
}

/// Why a page is not where it was asked for.
#[derive(Debug)]
pub enum PageError {
    /// It cannot be rendered.
    Render(RenderError),
    /// It cannot be written.
    Output(OutputError),
}

impl Outputs {
    /// Looks whether everything that is asked for can be printed and written.
    ///
    /// # Errors
    /// More than one page for standard output or one file, or a file that cannot be written.
    pub fn open(outputs: &[Output]) -> Result<Self, OutputError> {
        let mut found = Self::default();
        for Output { format, file } in outputs {
            let Some(path) = file else {
                if let Some(other) = found.printed.replace(*format) {
                    return Err(OutputError::PrintedTwice([other, *format]));
                }
                continue;
            };
            let file = OutFile::open(path)?;
            if found.files.iter().any(|(_, other)| other.is_same(&file)) {
                return Err(OutputError::WrittenTwice(path.into()));
            }
            found.files.push((*format, file));
        }
        let redirected = found.files.iter().find(|(_, file)| file.is_redirected_stdout());
        if let (Some(_), Some((_, file))) = (found.printed, redirected) {
            return Err(OutputError::WrittenTwice(file.name().into()));
        }
        Ok(found)
    }

    /// Looks whether an output would take the place of an input, a file or one below a folder, or
    /// be read as a result the next time.
    ///
    /// # Errors
    /// [`OutputError::WrittenOver`].
    pub fn expect_apart(&self, inputs: &[&Path]) -> Result<(), OutputError> {
        let is_read =
            |(_, file): &&(Format, OutFile)| inputs.iter().any(|input| file.is_below(input));
        let found = self.files.iter().find(is_read);
        found.map_or(Ok(()), |(_, file)| Err(OutputError::WrittenOver(file.name().into())))
    }

    /// Whether a format is printed or written.
    #[must_use]
    pub fn has(&self, format: Format) -> bool {
        self.printed == Some(format) || self.files.iter().any(|(written, _)| *written == format)
    }

    /// Writes one more page, to a file that was not asked for by name.
    pub fn add(&mut self, format: Format, file: OutFile) {
        self.files.push((format, file));
    }

    /// The format of the page for standard output, which is its owner's to print.
    #[must_use]
    pub fn printed(&self) -> Option<Format> {
        self.printed
    }

    /// Whether a format is printed. If so it no longer is: the command prints it bit by bit.
    pub fn take_printed(&mut self, format: Format) -> bool {
        self.printed.take_if(|printed| *printed == format).is_some()
    }

    /// Writes the pages that go to files, each as wide as [`View::in_file`] says. One that cannot
    /// be written stops no other.
    pub fn write_files<P: Pages>(
        &mut self,
        shown: &P,
        question: &P::Question,
        completeness: Completeness,
    ) -> Vec<PageError> {
        let is_meant = |file: &OutFile| match completeness {
            Completeness::Complete => true,
            Completeness::SoFar => !file.is_stream(),
        };
        let files = self.files.iter_mut().filter(|(_, file)| is_meant(file));
        let written = files.map(|(format, file)| -> Result<(), PageError> {
            let page = render(shown, question, *format, View::in_file())?;
            Ok(file.write(page.as_bytes())?)
        });
        written.filter_map(Result::err).collect()
    }
}

impl PageError {
    /// The documented exit status.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Render(_) => Exit::Error,
            Self::Output(error) => error.exit(),
        }
    }
}

impl From<RenderError> for PageError {
    fn from(error: RenderError) -> Self {
        Self::Render(error)
    }
}

impl From<OutputError> for PageError {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

/// Its sentence has the cause already, so that there is no source.
impl std::error::Error for PageError {}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Render(error) => write!(f, "{error}"),
            Self::Output(error) => write!(f, "{error}"),
        }
    }
}
