//! A pseudo-terminal of a given size in which a command runs, and what a reader then sees.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::num::NonZeroU16;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// More rows than any screen of a test has, so that nothing scrolls away.
const ROWS: u16 = 4000;

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u16, pub(crate) u16);

/// What a command wrote to its terminal.
pub(crate) struct Screen {
    pub(crate) status: ExitStatus,
    /// What was written, with its escape sequences.
    pub(crate) bytes: Vec<u8>,
    size: Size,
}

/// A command that runs in a terminal.
pub(crate) struct Session {
    pub(crate) child: Child,
    controller: File,
    written: Vec<u8>,
    size: Size,
}

impl Session {
    /// Starts the command with a terminal of this size as its standard streams.
    pub(crate) fn start(command: &mut Command, size: Size) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("open a terminal");
        grantpt(&controller).expect("grant the terminal");
        unlockpt(&controller).expect("unlock the terminal");
        let Size(columns, rows) = size;
        let name = ptsname(&controller, Vec::new()).expect("name the terminal");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = open(&name, flags, Mode::empty()).expect("open the command's end");
        let winsize = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(terminal.as_fd(), winsize).expect("set the size");
        let stream = || Stdio::from(terminal.try_clone().expect("copy the terminal"));
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .expect("start the command");
        // The command's copies are the last ones, so that its end is the end of the terminal.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        drop::<OwnedFd>(terminal);
        Self { child, controller: controller.into(), written: Vec::new(), size }
    }

    /// Reads until the command has written `text`, or until it ends.
    pub(crate) fn wait_for(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.written).contains(text) && self.read() {}
    }

    /// Waits for the end of the command.
    pub(crate) fn finish(mut self) -> Screen {
        while self.read() {}
        let status = self.child.wait().expect("wait for the command");
        Screen { status, bytes: self.written, size: self.size }
    }

    /// Returns false once the command has closed its end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.controller.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.written.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            // Linux says EIO when the other end is closed (pty(7)), other systems report the end.
            Err(_) => false,
        }
    }
}

impl Screen {
    /// The lines that the reader sees. A line that is too wide continues on the next one.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.rows().into_iter().map(|(line, _)| line).collect();
        let end = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        lines.truncate(end);
        lines
    }

    /// The lines that the terminal had to continue on the next, because they are too wide.
    pub(crate) fn wrapped_lines(&self) -> Vec<String> {
        self.rows()
            .into_iter()
            .filter(|(_, is_wrapped)| *is_wrapped)
            .map(|(line, _)| line)
            .collect()
    }

    /// Every row, and whether its line continues on the next one.
    fn rows(&self) -> Vec<(String, bool)> {
        let [rows, columns] =
            [ROWS, self.size.0].map(|length| NonZeroU16::new(length).expect("it has a size"));
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(&self.bytes);
        let screen = parser.screen();
        let row =
            |(line, row): (String, u16)| (line.trim_end().to_owned(), screen.row_wrapped(row));
        screen.rows(0, self.size.0).zip(0..).map(row).collect()
    }

    /// How many escape sequences set a colour.
    pub(crate) fn colours(&self) -> usize {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let sequences = text.split("\u{1b}[").skip(1);
        let is_colour = |sequence: &&str| {
            let digits = sequence.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            digits.starts_with('m') && !sequence.starts_with("0m") && !sequence.starts_with('m')
        };
        sequences.filter(is_colour).count()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }
}
