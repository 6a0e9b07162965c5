//! What TCP and Unix connections have in common, so that one accept loop and one echo serve both.

#[cfg(unix)]
use std::os::unix::net as unix;
use std::{
    io::{self, Read as _},
    net,
};

use socket2::SockRef;
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// A connection, and where it comes from.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + Sized + 'static {
    type Listener: Send + Sync + 'static;
    /// The listener without the runtime: what is asked of it, the system is asked.
    type Queue;

    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self>> + Send;

    /// # Errors
    ///
    /// The runtime would not let go of the listener.
    fn queue(listener: Self::Listener) -> io::Result<Self::Queue>;

    /// Accepts the next client in the queue.
    ///
    /// # Errors
    ///
    /// Those of accept(2); `WouldBlock` when nobody waits there.
    fn accept_now(queue: &Self::Queue) -> io::Result<Self>;

    /// Reads what has arrived. Tokio would wait for an event even if the bytes are there, so this
    /// asks the system itself.
    ///
    /// # Errors
    ///
    /// Those of read(2); `WouldBlock` when nothing has arrived.
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Stream for TcpStream {
    type Listener = TcpListener;
    type Queue = net::TcpListener;

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(stream, _)| without_delay(stream))
    }

    fn queue(listener: TcpListener) -> io::Result<net::TcpListener> {
        listener.into_std()
    }

    fn accept_now(queue: &net::TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = queue.accept()?;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream).map(without_delay)
    }

    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self)).read(buffer)
    }
}

fn without_delay(stream: TcpStream) -> TcpStream {
    // It fails on a connection that is already reset (EINVAL on macOS); reading will say so.
    let _ = stream.set_nodelay(true);
    stream
}

#[cfg(unix)]
impl Stream for UnixStream {
    type Listener = UnixListener;
    type Queue = unix::UnixListener;

    async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    fn queue(listener: UnixListener) -> io::Result<unix::UnixListener> {
        listener.into_std()
    }

    fn accept_now(queue: &unix::UnixListener) -> io::Result<UnixStream> {
        let (stream, _) = queue.accept()?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self)).read(buffer)
    }
}
