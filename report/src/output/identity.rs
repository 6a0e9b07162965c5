//! What tells a file from all others, whatever name leads to it.

use std::path::Path;

/// On Unix, the device and the inode; elsewhere, the canonical path.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Identity(#[cfg(unix)] [u64; 2], #[cfg(not(unix))] std::path::PathBuf);

impl Identity {
    /// That of what a path leads to, if there is something.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        return path.metadata().ok().map(|metadata| Self::in_metadata(&metadata));
        #[cfg(not(unix))]
        path.canonicalize().ok().map(Self)
    }

    /// That of what standard output is.
    pub(super) fn of_stdout() -> Option<Self> {
        #[cfg(unix)]
        return Self::of_stream(std::io::stdout());
        #[cfg(not(unix))]
        None
    }

    /// That of what standard error is.
    #[cfg(unix)]
    pub(super) fn of_stderr() -> Option<Self> {
        Self::of_stream(std::io::stderr())
    }

    #[cfg(unix)]
    fn of_stream(stream: impl std::os::fd::AsFd) -> Option<Self> {
        let duplicate = stream.as_fd().try_clone_to_owned().ok()?;
        std::fs::File::from(duplicate).metadata().ok().map(|metadata| Self::in_metadata(&metadata))
    }

    #[cfg(unix)]
    fn in_metadata(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self([metadata.dev(), metadata.ino()])
    }
}
