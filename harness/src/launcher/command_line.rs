//! Command lines of servers that do not know the contract, with a placeholder for the address.

use std::ffi::OsString;

use report::{Outside, Transport};

use super::program::expect_executable;
use crate::error::Error;
use crate::place::Place;

/// A command line in which `{port}` and `{addr}`, or `{path}`, are placeholders for the place where
/// the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    transport: Transport,
    text: String,
    words: Vec<String>,
}

impl CommandLine {
    /// Splits a command as a POSIX shell would, but no shell runs it. Clients of the server use
    /// `transport`.
    ///
    /// # Errors
    /// [`Error::Command`], which says what to write instead.
    pub fn parse(text: &str, transport: Transport) -> Result<Self, Error> {
        let words = split_words(text)?;
        let (marks, hint): (&[&str], _) = match transport {
            Transport::Tcp | Transport::Udp => (
                &["{port}", "{addr}"],
                "{addr} (such as 127.0.0.1:41235) or {port} where the server expects it",
            ),
            Transport::Unix | Transport::Unixgram => {
                (&["{path}"], "{path} where the server expects the path of its socket")
            }
        };
        if words.is_empty() {
            let sentence = format!("an empty command; write a program and {}", marks.join(" or "));
            return Err(Error::Command(sentence.into()));
        }
        if !words.iter().any(|word| marks.iter().any(|mark| word.contains(mark))) {
            let is_path = text.contains("{path}");
            let hint = if is_path { "--transport unix or --transport unixgram" } else { hint };
            let sentence = format!("'{text}' does not say where to listen; write {hint}");
            return Err(Error::Command(sentence.into()));
        }
        if is_assignment(&words[0]) {
            let sentence = format!(
                "the command begins with a variable, but no shell runs it; for variables write \
                 env {text}"
            );
            return Err(Error::Command(sentence.into()));
        }
        Ok(Self { transport, text: text.to_owned(), words })
    }

    /// The name of the program, without its folder.
    #[must_use]
    pub fn program_name(&self) -> &str {
        self.words[0].rsplit(['/', '\\']).next().unwrap_or_default()
    }

    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the server is told the whole address, not only the port.
    #[must_use]
    pub fn gives_address(&self) -> bool {
        self.words.iter().any(|word| word.contains("{addr}"))
    }

    /// Checks that the program exists and may be executed.
    ///
    /// # Errors
    /// [`Error::Command`], which names the program.
    pub fn expect_executable(&self) -> Result<(), Error> {
        expect_executable(self.words[0].as_ref())
    }

    /// The command as it was given, quoted as one word of a shell.
    #[must_use]
    pub fn quoted(&self) -> Outside {
        shell_words::quote(&self.text).into()
    }

    /// Program and arguments for a server at `place`.
    #[must_use]
    pub fn fill_placeholders(&self, place: &Place) -> Vec<OsString> {
        let whole = place.to_string();
        let fill = |word: &String| match place {
            Place::Ip(address) => {
                word.replace("{port}", &address.port().to_string()).replace("{addr}", &whole)
            }
            Place::Path(_) => word.replace("{path}", &whole),
        };
        self.words.iter().map(|word| fill(word).into()).collect()
    }
}

/// Splits a command as a POSIX shell would.
pub(super) fn split_words(text: &str) -> Result<Vec<String>, Error> {
    shell_words::split(text).map_err(|error| Error::Command(format!("'{text}': {error}").into()))
}

/// Whether a shell would take the word for a variable: `PORT={port}`.
fn is_assignment(word: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_before_the_program_is_told_what_to_write() {
        let text = "PORT={port} node x.mjs";
        let error = CommandLine::parse(text, Transport::Tcp).unwrap_err().to_string();
        assert!(error.contains("for variables write env PORT={port} node x.mjs"), "{error}");
        let line = CommandLine::parse("env PORT={port} node x.mjs", Transport::Tcp).unwrap();
        assert_eq!(line.program_name(), "env");
        let line = CommandLine::parse("./a=b/server {addr}", Transport::Tcp).unwrap();
        assert_eq!(line.program_name(), "server");
    }

    #[test]
    fn a_command_must_say_where_to_listen() {
        let refused = |text: &str, transport| {
            CommandLine::parse(text, transport).map_err(|error| error.to_string()).unwrap_err()
        };
        assert!(refused("", Transport::Tcp).contains("{port} or {addr}"));
        assert!(refused("node 'echo.mjs", Transport::Tcp).contains("node"));
        assert!(refused("node echo.mjs 8080", Transport::Udp).contains("{port}"));
        assert!(refused("node echo.mjs {port}", Transport::Unix).contains("{path}"));
    }

    #[test]
    fn words_are_split_and_filled_in_without_a_shell() {
        let text = "node 'my echo.mjs' --at={addr} $HOME {port}";
        let line = CommandLine::parse(text, Transport::Tcp).unwrap();
        let words = line.fill_placeholders(&Place::Ip("127.0.0.1:41235".parse().unwrap()));
        assert_eq!(words, ["node", "my echo.mjs", "--at=127.0.0.1:41235", "$HOME", "41235"]);
    }
}
