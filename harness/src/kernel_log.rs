//! Reads the kernel's log (`/dev/kmsg` on Linux) from a given moment on.

use std::io;

/// The file that the log is read from.
pub const PATH: &str = "/dev/kmsg";

/// The log, and the position up to which it has been read.
#[derive(Debug)]
pub struct KernelLog {
    #[cfg(target_os = "linux")]
    file: std::fs::File,
}

impl KernelLog {
    /// Opens the log. [`KernelLog::new_lines`] returns what the kernel writes from now on.
    ///
    /// # Errors
    /// `PermissionDenied` if the sysctl `kernel.dmesg_restrict` reserves the log for root;
    /// `Unsupported` on systems other than Linux.
    pub fn open_at_end() -> io::Result<Self> {
        cfg_if::cfg_if! {
            if #[cfg(target_os = "linux")] {
                linux::open().map(|file| Self { file })
            } else {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// The lines written since the last call.
    ///
    /// # Errors
    /// The system's error. It is also an error if the kernel overwrote lines before they were read.
    pub fn new_lines(&mut self) -> io::Result<Vec<String>> {
        cfg_if::cfg_if! {
            if #[cfg(target_os = "linux")] {
                linux::read(&mut self.file)
            } else {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }
}

/// Reads records in the format of Documentation/ABI/testing/dev-kmsg in the kernel.
#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

    use rustix::fs::{Mode, OFlags};

    /// No record is longer. A read fails if the buffer is too small for the record.
    const RECORD_BYTES: usize = 16 * 1024;
    /// At most this many lines are read per call.
    const MOST_LINES: usize = 10_000;

    pub(super) fn open() -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(super::PATH, flags, Mode::empty())?);
        file.seek(SeekFrom::End(0))?;
        Ok(file)
    }

    pub(super) fn read(file: &mut File) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut record = vec![0; RECORD_BYTES];
        while lines.len() < MOST_LINES {
            match file.read(&mut record) {
                Ok(bytes) => lines.push(text(&record[..bytes])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(lines)
    }

    /// The message of a record, without its numeric prefix and the lines about its device.
    fn text(record: &[u8]) -> String {
        let record = String::from_utf8_lossy(record);
        let message = record.split_once(';').map_or(&*record, |(_, message)| message);
        message.lines().next().unwrap_or_default().to_owned()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_record_is_a_line_with_numbers_before_it() {
            let record = b"6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n";
            assert_eq!(text(record), "NET: Registered protocol family 10");
        }

        #[test]
        fn nothing_old_is_read() {
            match open() {
                Ok(mut file) => assert!(read(&mut file).unwrap().len() < 100),
                Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
            }
        }
    }
}
