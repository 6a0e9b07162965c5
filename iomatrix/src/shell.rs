//! `iomatrix completions` and `iomatrix man`: what a shell and man(1) know about this command.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;
use report::{Exit, outside};

use crate::error::Error;
use crate::{Arguments, output};

const NAME: &str = "iomatrix";

#[derive(clap::Args)]
pub(crate) struct CompletionsArguments {
    /// The shell whose script is printed.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(clap::Args)]
pub(crate) struct ManArguments {
    /// Write one page per command into this folder instead.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(crate) fn print_completions(arguments: &CompletionsArguments) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), NAME, &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Green)
}

pub(crate) fn print_manual(arguments: &ManArguments) -> Result<Exit, Error> {
    let command = Arguments::command();
    if let Some(folder) = &arguments.folder {
        clap_mangen::generate_to(command, folder).map_err(|error| Error::write(folder, error))?;
        return Ok(Exit::Green);
    }
    let mut page = Vec::new();
    let unwritten = |error| Error::Write { target: outside!("the manual page"), error };
    clap_mangen::Man::new(command).render(&mut page).map_err(unwritten)?;
    output::print(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Green)
}
