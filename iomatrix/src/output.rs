//! What commands print and write. One syntax for all of them, `--output FORMAT[=FILE]`, which can
//! be given several times; everything that can be wrong with it is found before a command starts.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use report::output::{OutFile, Output, OutputError, names};
use report::{Format, Pages, View};

use crate::error::Error;
use crate::notice::say;
use crate::view;

/// What a command prints and writes, checked and ready.
#[derive(Debug)]
pub(crate) struct Outputs {
    printed: Option<Format>,
    files: Vec<(Format, OutFile)>,
}

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
    /// More than one page for standard output or one file, or a file that cannot be written.
    pub(crate) fn open(outputs: &[Output]) -> Result<Self, Error> {
        let mut found = Self { printed: None, files: Vec::new() };
        for Output { format, file } in outputs {
            let Some(path) = file else {
                if let Some(other) = found.printed.replace(*format) {
                    return Err(Error::PrintedTwice([other, *format]));
                }
                continue;
            };
            let file = OutFile::open(path)?;
            if found.files.iter().any(|(_, other)| other.is_same(&file)) {
                return Err(Error::WrittenTwice(path.into()));
            }
            found.files.push((*format, file));
        }
        let redirected = found.files.iter().find(|(_, file)| file.is_redirected_stdout());
        if let (Some(_), Some((_, file))) = (found.printed, redirected) {
            return Err(Error::WrittenTwice(file.name().into()));
        }
        Ok(found)
    }

    /// Looks whether an output would take the place of an input, a file or one below a folder, or
    /// be read as a result the next time.
    ///
    /// # Errors
    /// [`Error::WrittenOver`].
    pub(crate) fn expect_apart(&self, inputs: &[&Path]) -> Result<(), Error> {
        let is_read =
            |(_, file): &&(Format, OutFile)| inputs.iter().any(|input| file.is_below(input));
        let found = self.files.iter().find(is_read);
        found.map_or(Ok(()), |(_, file)| Err(Error::WrittenOver(file.name().into())))
    }

    /// Unless JSON is asked for, has it written to `results/TIME/NAME`: measuring takes long, and a
    /// page cannot be compared.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save_unless_json(&mut self, name: &str) -> Result<Option<PathBuf>, Error> {
        let json = Format::Json;
        if self.printed == Some(json) || self.files.iter().any(|(format, _)| *format == json) {
            return Ok(None);
        }
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let folder = Path::new("results").join(time.replace(':', ""));
        fs::create_dir_all(&folder).map_err(|error| Error::write(&folder, error))?;
        let path = folder.join(name);
        self.files.push((json, OutFile::open(&path)?));
        Ok(Some(path))
    }

    /// Whether a format is printed. If so it no longer is: the command prints it bit by bit.
    pub(crate) fn take_printed(&mut self, format: Format) -> bool {
        self.printed.take_if(|printed| *printed == format).is_some()
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
        let page = |format, view| Ok(report::render(shown, question, format, view)?);
        let files = self.write_files(page, |_| true);
        let printed =
            self.printed.map_or(Ok(()), |format| print(&page(format, view::on_screen())?));
        match (files, printed) {
            (Err(first), Err(other)) => {
                say(format_args!("iomatrix: {other}"));
                Err(first)
            }
            (files, printed) => files.and(printed),
        }
    }

    /// Looks whether a further file is one of those that pages go to.
    ///
    /// # Errors
    /// [`Error::WrittenTwice`].
    pub(crate) fn expect_other(&self, file: &OutFile) -> Result<(), Error> {
        let is_same = self.files.iter().any(|(_, other)| other.is_same(file));
        if is_same { Err(Error::WrittenTwice(file.name().into())) } else { Ok(()) }
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
        let page = |format, view| Ok(report::render(shown, question, format, view)?);
        self.write_files(page, |file| !file.is_stream())
    }

    /// Writes the pages that go to files.
    ///
    /// # Errors
    /// The first page that could not be rendered or written, after all others have been tried.
    fn write_files(
        &mut self,
        page: impl Fn(Format, View) -> Result<String, Error>,
        is_meant: fn(&OutFile) -> bool,
    ) -> Result<(), Error> {
        let mut result = Ok(());
        for (format, file) in self.files.iter_mut().filter(|(_, file)| is_meant(file)) {
            let written =
                page(*format, view::in_file()).and_then(|page| Ok(file.write(page.as_bytes())?));
            match written {
                Err(other) if result.is_err() => say(format_args!("iomatrix: {other}")),
                Err(first) => result = Err(first),
                Ok(()) => {}
            }
        }
        result
    }
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
