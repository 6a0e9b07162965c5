//! Sockets on Unix paths. If a server is killed, its socket file stays and makes the next bind(2)
//! fail. So the next server removes a socket file that no server serves. It removes neither the
//! socket of a live server nor a file that is not a socket.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::BACKLOG;

/// The names that this process has bound, to be removed when it ends.
static BOUND: Mutex<Vec<Name>> = Mutex::new(Vec::new());

/// A name, and the file that it was given to.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    file: FileId,
}

/// Identifies a file. The time is part of it, because file systems such as ext4 reuse the inode
/// number of a deleted file for the next new file.
#[derive(Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    made: Option<SystemTime>,
}

impl FileId {
    fn read(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        // Nobody writes to a socket's file, so this stays what it was when it was made.
        let made = found.modified().ok();
        Ok(Self { device: found.dev(), inode: found.ino(), made })
    }
}

impl Name {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: FileId::read(path)? })
    }

    /// Removes the path, unless it now belongs to another file: a draining server no longer serves
    /// its path, and a newer server may have taken the path over.
    ///
    /// # Errors
    /// Those of [`lock_folder`], of stat(2) and of unlink(2).
    fn remove(&self) -> io::Result<()> {
        let _folder = lock_folder(&self.path)?;
        if FileId::read(&self.path)? == self.file { fs::remove_file(&self.path) } else { Ok(()) }
    }
}

/// A non-blocking listener at `path`.
///
/// # Errors
/// Those of [`bind`], or of listen(2).
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = bind(path, Type::STREAM)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A non-blocking datagram socket at `path`.
///
/// # Errors
/// Those of [`bind`].
pub(crate) fn bind_datagram(path: &Path) -> io::Result<UnixDatagram> {
    bind(path, Type::DGRAM).map(UnixDatagram::from)
}

/// Removes the names that this process has bound and that are still its own.
pub(crate) fn remove_all() {
    let names = std::mem::take(&mut *BOUND.lock().unwrap_or_else(PoisonError::into_inner));
    for name in names {
        // If a path cannot be removed, the next server finds and replaces it.
        let _ = name.remove();
    }
}

/// Binds a socket to `path`. First removes a socket file that no server serves.
///
/// # Errors
/// `AddrInUse` for a live socket, and for a file of another kind; `InvalidInput` for a path that is
/// longer than an address can be (107 bytes on Linux, 103 on macOS; unix(7)); or those of bind(2).
fn bind(path: &Path, kind: Type) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    if let Some(name) = abstract_name(path) {
        // An abstract name has no file, and disappears when its socket is closed.
        socket.bind(&SockAddr::unix(name)?)?;
        return Ok(socket);
    }
    // Two servers that start at once would find the same dead socket, and the slower one would
    // remove the other's new one.
    let _folder = lock_folder(path)?;
    if is_dead_socket(path, &address, kind)? {
        fs::remove_file(path)?;
    }
    socket.bind(&address)?;
    BOUND.lock().unwrap_or_else(PoisonError::into_inner).push(Name::new(path)?);
    Ok(socket)
}

/// Keeps other servers from binding and removing names in a path's folder, until it is dropped.
///
/// # Errors
/// Those of open(2) and flock(2).
fn lock_folder(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new(".")))?;
    folder.lock()?;
    Ok(folder)
}

/// The address of a path that begins with `@`, which on Linux is a name outside of the file system
/// (unix(7), abstract sockets) and has a zero byte in that place.
fn abstract_name(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_prefix('@')?;
    cfg!(target_os = "linux").then(|| PathBuf::from(format!("\0{name}")))
}

/// Whether there is a socket at `path` that nobody serves.
fn is_dead_socket(path: &Path, address: &SockAddr, kind: Type) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        // Binding says that the address is in use.
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let is_refused = || -> io::Result<bool> {
        let client = Socket::new(Domain::UNIX, kind, None)?;
        // Non-blocking, so that a live server with a full accept queue does not block this call.
        client.set_nonblocking(true)?;
        let connected = client.connect(address);
        Ok(connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
    };
    // macOS and the BSDs also refuse while the accept queue of a live server is full.
    let attempts = if cfg!(target_os = "linux") { 1 } else { 10 };
    for attempt in 0..attempts {
        if attempt > 0 {
            thread::sleep(Duration::from_millis(10));
        }
        if !is_refused()? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A path in a folder of its own, which goes with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("common-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn path(&self) -> PathBuf {
            self.0.join("echo.sock")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_dead_socket_makes_room_and_a_live_one_does_not() {
        let scratch = Scratch::new("dead");
        let path = scratch.path();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = listen(&path).unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind_datagram(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        bind_datagram(&scratch.0.join("datagrams")).unwrap();
    }

    #[test]
    fn a_file_is_left_alone() {
        let scratch = Scratch::new("file");
        fs::write(scratch.path(), "mine").unwrap();
        assert_eq!(listen(&scratch.path()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(scratch.path()).unwrap(), b"mine");
    }

    #[test]
    fn a_name_is_removed_unless_the_next_server_has_it() {
        let scratch = Scratch::new("next");
        let path = scratch.path();
        let first = UnixListener::bind(&path).unwrap();
        let name = Name::new(&path).unwrap();
        drop(first);
        // Clocks of file systems have steps of some milliseconds.
        thread::sleep(Duration::from_millis(20));
        let _next = listen(&path).unwrap();
        name.remove().unwrap();
        UnixStream::connect(&path).unwrap();
        Name::new(&path).unwrap().remove().unwrap();
        assert!(!path.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_at_sign_begins_a_name_that_is_no_file() {
        let name = PathBuf::from(format!("@common-{}", std::process::id()));
        let listener = listen(&name).unwrap();
        assert!(!name.exists());
        assert_eq!(listen(&name).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        listen(&name).unwrap();
    }

    #[test]
    fn a_path_that_is_too_long_is_an_error_of_its_own() {
        let long = PathBuf::from("/tmp").join("x".repeat(200));
        assert_eq!(listen(&long).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
