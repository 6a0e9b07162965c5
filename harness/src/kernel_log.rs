//! The kernel's log (Linux: `/dev/kmsg`) since a given moment.

use std::io;

/// Where the kernel's log is read.
pub const PATH: &str = "/dev/kmsg";

/// The log, at the place up to which it has been read.
#[derive(Debug)]
pub struct KernelLog {
    #[cfg(target_os = "linux")]
    file: std::fs::File,
}

impl KernelLog {
    /// The log from now on.
    ///
    /// # Errors
    /// `PermissionDenied` where sysctl `kernel.dmesg_restrict` keeps it for root, `Unsupported` on
    /// other systems.
    pub fn from_now_on() -> io::Result<Self> {
        cfg_if::cfg_if! {
            if #[cfg(target_os = "linux")] {
                linux::open().map(|file| Self { file })
            } else {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// The lines that have come since the last look.
    ///
    /// # Errors
    /// What the system says; lines that were overwritten before they were read are one.
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

/// Records as in Documentation/ABI/testing/dev-kmsg of the kernel.
#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

    use rustix::fs::{Mode, OFlags};

    /// No record is longer: the kernel refuses a read into less room than it needs.
    const RECORD_BYTES: usize = 16 * 1024;
    /// Lines beyond that many are no longer read.
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

    /// What a record says, without its numbers and without the device that it is about.
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
