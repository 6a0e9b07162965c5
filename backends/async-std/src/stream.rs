//! What the echo needs of a connection beyond async-std's traits.

use std::net::Shutdown;

use async_std::io::{self, Read, Write};
use async_std::net::TcpStream;
#[cfg(unix)]
use async_std::os::unix::net::UnixStream;

pub(crate) trait Stream: Read + Write + Send + Unpin + 'static {
    /// Sends FIN. [`Write`]'s `close` does not: it only flushes (async-std, src/net/tcp/stream.rs).
    ///
    /// # Errors
    /// Those of shutdown(2).
    fn send_fin(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn send_fin(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn send_fin(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
