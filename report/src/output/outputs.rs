//! Everything that a command or the test target is asked to print and to write. It is checked
//! before anything is judged or measured.

use std::fmt;
use std::path::Path;

use super::{Output, OutputError, OutputFile};
use crate::exit::Exit;
use crate::format::Format;
use crate::pages::Pages;
use crate::render::{RenderError, render};
use crate::view::View;

/// Outputs that have been checked and can be written.
#[derive(Debug, Default)]
pub struct Outputs {
    stdout_format: Option<Format>,
    files: Vec<(Format, OutputFile)>,
}

/// Which files to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// All files, because the document is complete.
    Complete,
    /// Only the files that can be replaced once the document is complete (a stream cannot), in the
    /// formats that say that it is not.
    Partial,
}

/// Why a page could not be written.
#[derive(Debug)]
pub enum PageError {
    Render(RenderError),
    Output(OutputError),
}

impl Outputs {
    /// Checks whether everything that the user asks for can be printed and written.
    ///
    /// # Errors
    /// Two pages would go to standard output or to one file, or a file cannot be written.
    pub fn open(outputs: &[Output]) -> Result<Self, OutputError> {
        let mut found = Self::default();
        for Output { format, file } in outputs {
            let Some(path) = file else {
                if let Some(other) = found.stdout_format.replace(*format) {
                    return Err(OutputError::TwoOnStdout([other, *format]));
                }
                continue;
            };
            let file = OutputFile::open(path)?;
            if found.files.iter().any(|(_, other)| other.is_same(&file)) {
                return Err(OutputError::TwoInOneFile(path.into()));
            }
            found.files.push((*format, file));
        }
        let redirected = found.files.iter().find(|(_, file)| file.is_redirected_stdout());
        if let (Some(_), Some((_, file))) = (found.stdout_format, redirected) {
            return Err(OutputError::TwoInOneFile(file.name().into()));
        }
        Ok(found)
    }

    /// Checks that no output would replace an input (a file, or a result below a folder) or be read
    /// as an input the next time.
    ///
    /// # Errors
    /// [`OutputError::OverwritesInput`].
    pub fn reject_overwriting_inputs(&self, inputs: &[&Path]) -> Result<(), OutputError> {
        let is_read =
            |(_, file): &&(Format, OutputFile)| inputs.iter().any(|input| file.is_below(input));
        let found = self.files.iter().find(is_read);
        found.map_or(Ok(()), |(_, file)| Err(OutputError::OverwritesInput(file.name().into())))
    }

    /// Whether a format is printed or written.
    #[must_use]
    pub fn has_format(&self, format: Format) -> bool {
        self.stdout_format == Some(format)
            || self.files.iter().any(|(written, _)| *written == format)
    }

    /// Adds one more page, for a file that the user did not name.
    pub fn add(&mut self, format: Format, file: OutputFile) {
        self.files.push((format, file));
    }

    /// The format of the page for standard output, which the caller prints.
    #[must_use]
    pub fn stdout_format(&self) -> Option<Format> {
        self.stdout_format
    }

    /// Whether a format is printed. Removes it, because the command then prints it bit by bit.
    pub fn take_stdout_format(&mut self, format: Format) -> bool {
        self.stdout_format.take_if(|printed| *printed == format).is_some()
    }

    /// Writes the pages for files, as wide as [`View::in_file`] says. If one page cannot be
    /// written, the others still are.
    pub fn write_files<P: Pages>(
        &mut self,
        shown: &P,
        question: &P::Question,
        completeness: Completeness,
    ) -> Vec<PageError> {
        let is_meant = |format: Format, file: &OutputFile| match completeness {
            Completeness::Complete => true,
            Completeness::Partial => {
                !file.is_stream() && !matches!(format, Format::Csv | Format::Margins)
            }
        };
        let files = self.files.iter_mut().filter(|(format, file)| is_meant(*format, file));
        let written = files.map(|(format, file)| -> Result<(), PageError> {
            let page = render(shown, question, *format, View::in_file())?;
            Ok(file.write(page.as_bytes())?)
        });
        written.filter_map(Result::err).collect()
    }
}

impl PageError {
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

/// The sentence includes the cause, so there is no source.
impl std::error::Error for PageError {}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Render(error) => write!(f, "{error}"),
            Self::Output(error) => write!(f, "{error}"),
        }
    }
}
