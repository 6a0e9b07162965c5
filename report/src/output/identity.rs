//! What distinguishes a file from all others, whatever name leads to it.

use std::path::Path;

/// On Unix the device and the inode; elsewhere the canonical path.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Identity(#[cfg(unix)] [u64; 2], #[cfg(not(unix))] std::path::PathBuf);

impl Identity {
    /// The identity of what the path leads to, if it exists.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        return path.metadata().ok().map(|metadata| Self::from_metadata(&metadata));
        #[cfg(not(unix))]
        path.canonicalize().ok().map(Self)
    }

    pub(super) fn from_stdout() -> Option<Self> {
        #[cfg(unix)]
        return Self::from_stream(std::io::stdout());
        #[cfg(not(unix))]
        None
    }

    #[cfg(unix)]
    pub(super) fn from_stderr() -> Option<Self> {
        Self::from_stream(std::io::stderr())
    }

    #[cfg(unix)]
    fn from_stream(stream: impl std::os::fd::AsFd) -> Option<Self> {
        let duplicate = stream.as_fd().try_clone_to_owned().ok()?;
        std::fs::File::from(duplicate)
            .metadata()
            .ok()
            .map(|metadata| Self::from_metadata(&metadata))
    }

    #[cfg(unix)]
    fn from_metadata(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self([metadata.dev(), metadata.ino()])
    }
}
