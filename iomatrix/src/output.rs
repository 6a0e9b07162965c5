//! What commands print and write. One syntax for all of them, `--output FORMAT[=FILE]`, which can
//! be given several times; everything that can be wrong with it is found before a command starts
//! (`report::output`).

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use report::output::{self, Completeness, OutFile, Output, OutputError, PageError, names};
use report::{Format, Pages};

use crate::error::Error;
use crate::notice::say;
use crate::view;

/// What a command prints and writes, checked and ready.
#[derive(Debug)]
pub(crate) struct Outputs(output::Outputs);

/// Reads a value of `--output`, with one of the formats that a command offers.
pub(crate) fn parser(
    offered: &'static [Format],
) -> impl Fn(&str) -> Result<Output, OutputError> + Clone + Send + Sync + 'static {
    move |text| Output::parse(text, offered)
}

/// What `--help` says of `--output`.
pub(crate) fn help(offered: &[Format]) -> String {
    format!(
        "Print the result as {}; with =FILE, write it there instead. Can be given several times, \
         once without FILE at most",
        names(offered)
    )
}

impl Outputs {
    /// Looks whether everything that is asked for can be printed and written.
    ///
    /// # Errors
    /// As [`output::Outputs::open`].
    pub(crate) fn open(outputs: &[Output]) -> Result<Self, Error> {
        Ok(Self(output::Outputs::open(outputs)?))
    }

    /// Looks whether an output would take the place of an input.
    ///
    /// # Errors
    /// As [`output::Outputs::expect_apart`].
    pub(crate) fn expect_apart(&self, inputs: &[&Path]) -> Result<(), Error> {
        Ok(self.0.expect_apart(inputs)?)
    }

    /// Unless JSON is asked for, has it written to `results/TIME/NAME`: measuring takes long, and a
    /// page cannot be compared.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save_unless_json(&mut self, name: &str) -> Result<Option<PathBuf>, Error> {
        if self.0.has(Format::Json) {
            return Ok(None);
        }
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let folder = Path::new("results").join(time.replace(':', ""));
        fs::create_dir_all(&folder).map_err(|error| Error::write(&folder, error))?;
        let path = folder.join(name);
        self.0.add(Format::Json, OutFile::open(&path)?);
        Ok(Some(path))
    }

    /// Whether a format is printed. If so it no longer is: the command prints it bit by bit.
    pub(crate) fn take_printed(&mut self, format: Format) -> bool {
        self.0.take_printed(format)
    }

    /// Writes all pages, and prints the one for standard output, the files first: who reads
    /// standard output may have stopped.
    ///
    /// # Errors
    /// The first page that could not be rendered or written, after all others have been tried.
    pub(crate) fn write_pages<P: Pages>(
        &mut self,
        shown: &P,
        question: &P::Question,
    ) -> Result<(), Error> {
        let unwritten = self.0.write_files(shown, question, Completeness::Complete);
        let printed = self.0.printed().map_or(Ok(()), |format| {
            print(&report::render(shown, question, format, view::on_screen())?)
        });
        first(unwritten.into_iter().map(Error::from).chain(printed.err()))
    }

    /// Writes the pages of a document that go to files, to be written again when it is complete. A
    /// stream gets the complete ones alone.
    ///
    /// # Errors
    /// As [`Outputs::write_pages`].
    pub(crate) fn write_files_of<P: Pages>(
        &mut self,
        shown: &P,
        question: &P::Question,
    ) -> Result<(), Error> {
        let unwritten: Vec<PageError> = self.0.write_files(shown, question, Completeness::SoFar);
        first(unwritten.into_iter().map(Error::from))
    }
}

/// The first error is the command's; the others are said.
fn first(errors: impl IntoIterator<Item = Error>) -> Result<(), Error> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    errors.for_each(|other| say(format_args!("iomatrix: {other}")));
    Err(first)
}

/// Tells where a result was saved that the user had not asked for by name.
pub(crate) fn say_saved(path: Option<&Path>) {
    if let Some(path) = path {
        say(format_args!("saved {}", path.display()));
    }
}

/// Prints a page. That nobody reads it to its end is no error.
pub(crate) fn print(page: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Write { target: "standard output".into(), error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
