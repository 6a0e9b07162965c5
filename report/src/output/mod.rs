//! What is written where: `FORMAT[=FILE]`, which the command and the test target parse alike, and
//! the file, which is checked before anything is judged.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::exit::Exit;
use crate::format::Format;
use crate::outside::Outside;

mod file;
mod identity;
mod outputs;

pub use file::OutputFile;
pub use identity::Identity;
pub use outputs::{Completeness, Outputs, PageError};

/// A page that the user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub format: Format,
    /// `None` is standard output.
    pub file: Option<PathBuf>,
}

/// Why a page cannot be written.
#[derive(Debug)]
pub enum OutputError {
    /// The option is wrong; the text says what to write instead.
    Syntax(Outside),
    Folder(Outside),
    /// Two pages would go to standard output.
    TwoOnStdout([Format; 2]),
    /// Two pages would go to one file.
    TwoInOneFile(Outside),
    /// The output file is also an input.
    OverwritesInput(Outside),
    NoFolder {
        /// The path that the user gave.
        file: Outside,
        /// The folder that does not exist.
        folder: Outside,
    },
    /// The system does not allow writing the file.
    Unwritable {
        /// The path that the user gave.
        file: Outside,
        /// Why.
        error: io::Error,
    },
}

impl Output {
    /// Parses `FORMAT` or `FORMAT=FILE`, where the format must be one of `offered`.
    ///
    /// # Errors
    /// [`OutputError::Syntax`].
    pub fn parse(text: &str, offered: &[Format]) -> Result<Self, OutputError> {
        let (name, file) = match text.split_once('=') {
            Some((name, file)) => (name, Some(file)),
            None => (text, None),
        };
        let format = offered.iter().copied().find(|format| format.name() == name);
        let format = format.ok_or_else(|| unknown_format(name, offered))?;
        match file {
            Some("") => Err(missing_file_error(format)),
            Some(file) => Ok(Self { format, file: Some(file.into()) }),
            None => Ok(Self { format, file: None }),
        }
    }

    /// Checks that its format is one of `offered`.
    ///
    /// # Errors
    /// [`OutputError::Syntax`].
    pub fn expect_format(&self, offered: &[Format]) -> Result<(), OutputError> {
        let is_offered = offered.contains(&self.format);
        if is_offered { Ok(()) } else { Err(unknown_format(self.format.name(), offered)) }
    }

    /// Checks that it names a file, for a caller that needs standard output for something else.
    ///
    /// # Errors
    /// [`OutputError::Syntax`].
    pub fn expect_file(self) -> Result<Self, OutputError> {
        if self.file.is_some() { Ok(self) } else { Err(missing_file_error(self.format)) }
    }
}

fn missing_file_error(format: Format) -> OutputError {
    OutputError::Syntax(format!("write a file after it, such as {format}=FILE").into())
}

/// The error for a format that is not offered.
fn unknown_format(name: &str, offered: &[Format]) -> OutputError {
    let offered = format_names(offered);
    let is_format = Format::ALL.iter().any(|format| format.name() == name);
    let sentence = if is_format {
        format!("there is no {name} output here; write {offered}")
    } else if name.contains(['.', '/', '\\']) {
        format!("a format comes before the file, as in json={name}; the formats are {offered}")
    } else {
        format!("there is no such format; write {offered}")
    };
    OutputError::Syntax(sentence.into())
}

/// Such as `text, json or csv`.
#[must_use]
pub fn format_names(formats: &[Format]) -> String {
    let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some(_) | None => names.concat(),
    }
}

impl OutputError {
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Syntax(_)
            | Self::Folder(_)
            | Self::TwoOnStdout(_)
            | Self::TwoInOneFile(_)
            | Self::OverwritesInput(_)
            | Self::NoFolder { .. } => Exit::Usage,
            Self::Unwritable { .. } => Exit::Error,
        }
    }
}

/// The sentence includes the cause, so there is no source.
impl std::error::Error for OutputError {}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(sentence) => f.write_str(&sentence.on_terminal()),
            Self::Folder(folder) => {
                write!(f, "write {}: it is a folder; name a file in it", folder.on_terminal())
            }
            Self::TwoOnStdout([one, other]) => write!(
                f,
                "--output {one} and --output {other} cannot both be printed; write one of them to \
                 a file, as in --output {other}=FILE"
            ),
            Self::TwoInOneFile(file) => {
                write!(f, "two outputs go to {}; give each a file of its own", file.on_terminal())
            }
            Self::OverwritesInput(file) => write!(
                f,
                "{} is among the results that are read; write to a file elsewhere",
                file.on_terminal()
            ),
            Self::NoFolder { file, folder } => {
                let (file, folder) = (file.on_terminal(), folder.on_terminal());
                write!(f, "write {file}: there is no folder {folder}; make it first")
            }
            Self::Unwritable { file, error } => {
                write!(f, "write {}: {error}", file.on_terminal())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_has_a_format_and_may_have_a_file() {
        let offered = [Format::Text, Format::Json];
        let parse = |text| Output::parse(text, &offered);
        let output = parse("json=r.json").unwrap();
        assert_eq!(output, Output { format: Format::Json, file: Some("r.json".into()) });
        assert_eq!(parse("text=a=b").unwrap().file, Some("a=b".into()));
        assert_eq!(parse("text").unwrap().file, None);
        for (text, sentence) in [
            ("json=", "write a file after it, such as json=FILE"),
            ("csv=r.csv", "there is no csv output here; write text or json"),
            ("r.json", "a format comes before the file, as in json=r.json"),
            ("yaml", "there is no such format; write text or json"),
        ] {
            assert!(parse(text).unwrap_err().to_string().contains(sentence), "{text}");
        }
    }

    #[test]
    fn where_nothing_is_printed_each_output_has_a_file() {
        let parse = |text| Output::parse(text, &[Format::Json]).and_then(Output::expect_file);
        assert!(parse("json").unwrap_err().to_string().contains("such as json=FILE"));
        let open = |text| Outputs::open(&[parse(text).unwrap()]);
        let sentence = open("json=/no/such/folder/r.json").unwrap_err().to_string();
        assert!(sentence.contains("make it first"), "{sentence}");
    }

    #[test]
    fn two_pages_need_two_places() {
        let open = |texts: [&str; 2]| {
            let outputs = texts.map(|text| Output::parse(text, &Format::ALL).unwrap());
            Outputs::open(&outputs).unwrap_err().to_string()
        };
        assert!(open(["text", "json"]).contains("cannot both be printed"));
        let folder = std::env::temp_dir();
        let name = format!("iomatrix-two-places-{}", std::process::id());
        let [one, other] =
            [name.clone(), format!("./{name}")].map(|name| folder.join(name).display().to_string());
        let sentence = open([&format!("text={one}"), &format!("json={other}")]);
        assert!(sentence.contains("two outputs go to"), "{sentence}");
    }
}
