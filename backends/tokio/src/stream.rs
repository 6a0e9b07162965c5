//! What the echo needs of a connection beyond Tokio's traits.

use std::io::{self, Read as _};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Reads what has arrived, without waiting. Tokio's `try_read` is not enough: it makes no
    /// system call until Tokio has seen the socket's event, so it misses bytes that have just
    /// arrived.
    ///
    /// # Errors
    /// Those of read(2); `WouldBlock` if nothing has arrived.
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Stream for TcpStream {
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // `SockRef` lends the descriptor as a `&Socket`, which implements `Read`.
        (&*SockRef::from(self)).read(buffer)
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self)).read(buffer)
    }
}
