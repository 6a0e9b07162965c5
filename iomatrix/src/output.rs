//! What commands print and write. All commands take `--output FORMAT[=FILE]`, which can be given
//! several times. Every mistake in it is found before a command starts (`report::output`).

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use report::output::{
    self, Completeness, Output, OutputError, OutputFile, PageError, format_names,
};
use report::{Format, Pages};

use crate::error::Error;
use crate::notice::{print_error, print_notice};
use crate::view;

/// What a command prints and writes, checked and ready.
#[derive(Debug)]
pub(crate) struct Outputs(output::Outputs);

/// Returns the parser of `--output` for a command that offers these formats.
pub(crate) fn parser(
    offered: &'static [Format],
) -> impl Fn(&str) -> Result<Output, OutputError> + Clone + Send + Sync + 'static {
    move |text| Output::parse(text, offered)
}

/// The help text of `--output`.
pub(crate) fn help(offered: &[Format]) -> String {
    format!(
        "Print the result as {}; with =FILE, write it there instead. Can be given several times, \
         once without FILE at most",
        format_names(offered)
    )
}

impl Outputs {
    /// Checks that everything that was asked for can be printed and written.
    ///
    /// # Errors
    /// Those of [`output::Outputs::open`].
    pub(crate) fn open(outputs: &[Output]) -> Result<Self, Error> {
        Ok(Self(output::Outputs::open(outputs)?))
    }

    /// Checks that no output would replace an input.
    ///
    /// # Errors
    /// Those of [`output::Outputs::reject_overwriting_inputs`].
    pub(crate) fn reject_overwriting_inputs(&self, inputs: &[&Path]) -> Result<(), Error> {
        Ok(self.0.reject_overwriting_inputs(inputs)?)
    }

    /// Adds `results/TIME/NAME` as a JSON output, unless JSON was asked for. A measurement takes
    /// long, and a page cannot be compared. Returns the path of the file.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn save_unless_json(&mut self, name: &str) -> Result<Option<PathBuf>, Error> {
        if self.0.has_format(Format::Json) {
            return Ok(None);
        }
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let folder = Path::new("results").join(time.replace(':', ""));
        fs::create_dir_all(&folder).map_err(|error| Error::write(&folder, error))?;
        let path = folder.join(name);
        self.0.add(Format::Json, OutputFile::open(&path)?);
        Ok(Some(path))
    }

    /// Returns whether `format` is printed. If so, removes it, because the command prints it bit by
    /// bit.
    pub(crate) fn take_stdout_format(&mut self, format: Format) -> bool {
        self.0.take_stdout_format(format)
    }

    /// Writes all pages to their files, then prints the page for standard output. Files come first,
    /// because the reader of standard output may have stopped.
    ///
    /// # Errors
    /// The first page that could not be rendered or written, after all others were tried.
    pub(crate) fn write_pages<P: Pages>(
        &mut self,
        shown: &P,
        question: &P::Question,
    ) -> Result<(), Error> {
        self.write_and_print(shown, question, Completeness::Complete)
    }

    /// Writes the pages of an unfinished document to files, which will be written again when it is
    /// complete. A stream gets only the complete pages.
    ///
    /// # Errors
    /// Those of [`Outputs::write_pages`].
    pub(crate) fn write_unfinished<P: Pages>(
        &mut self,
        shown: &P,
        question: &P::Question,
    ) -> Result<(), Error> {
        let unwritten: Vec<PageError> = self.0.write_files(shown, question, Completeness::Partial);
        first(unwritten.into_iter().map(Error::from))
    }
}

impl Outputs {
    /// Writes the pages of a document that stays unfinished, and prints it. A format that cannot
    /// say that it is unfinished is left out.
    ///
    /// # Errors
    /// Those of [`Outputs::write_pages`].
    pub(crate) fn write_interrupted<P: Pages>(
        &mut self,
        shown: &P,
        question: &P::Question,
    ) -> Result<(), Error> {
        self.write_and_print(shown, question, Completeness::Partial)
    }

    fn write_and_print<P: Pages>(
        &mut self,
        shown: &P,
        question: &P::Question,
        completeness: Completeness,
    ) -> Result<(), Error> {
        let unwritten = self.0.write_files(shown, question, completeness);
        let is_meant = |format: &Format| match completeness {
            Completeness::Complete => true,
            Completeness::Partial => !matches!(format, Format::Csv | Format::Margins),
        };
        let printed = self.0.stdout_format().filter(is_meant).map_or(Ok(()), |format| {
            print(&report::render(shown, question, format, view::screen_view())?)
        });
        first(unwritten.into_iter().map(Error::from).chain(printed.err()))
    }
}

/// Returns the first error, and prints the others.
fn first(errors: impl IntoIterator<Item = Error>) -> Result<(), Error> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    errors.for_each(|other| print_error(&other));
    Err(first)
}

/// Prints where a result was saved, if the user had not named the file.
pub(crate) fn print_saved(path: Option<&Path>) {
    if let Some(path) = path {
        print_notice(format_args!("saved {}", path.display()));
    }
}

/// Prints a page. It is not an error if the reader closes the pipe early.
pub(crate) fn print(page: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Write { target: "standard output".into(), error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
