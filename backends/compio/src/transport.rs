//! What TCP and Unix connections have in common, so that one accept loop and one echo serve both.

use std::{io, net::Shutdown};

#[cfg(unix)]
use compio::net::{UnixListener, UnixStream};
use compio::{
    driver::BufferRef,
    io::{AsyncRead, AsyncReadManaged, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use futures_util::stream::FusedStream;
use socket2::{SockRef, Socket};

/// A connection, and where it comes from. A clone is another handle to the same socket.
pub(crate) trait Stream:
    AsyncRead + AsyncReadManaged<Buffer = BufferRef> + AsyncWrite + Clone + 'static
{
    type Listener: 'static;

    /// # Errors
    ///
    /// The driver would not take the listener.
    fn listen(socket: Socket) -> io::Result<Self::Listener>;

    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self>>;

    /// Accepts by one operation that goes on.
    fn incoming(listener: &Self::Listener) -> impl FusedStream<Item = io::Result<Self>> + Unpin;

    /// # Errors
    ///
    /// The driver would not take the connection.
    fn from_socket(socket: Socket) -> io::Result<Self>;

    /// Sets the options of a new connection.
    fn prepare(&self);

    fn socket(&self) -> SockRef<'_>;

    /// Sends FIN. Not by the operation for it: both drivers have that done on another thread, the
    /// kernel's or compio's, and it never blocks.
    fn send_fin(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }
}

impl Stream for TcpStream {
    type Listener = TcpListener;

    fn listen(socket: Socket) -> io::Result<TcpListener> {
        TcpListener::from_std(socket.into())
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    fn incoming(listener: &TcpListener) -> impl FusedStream<Item = io::Result<TcpStream>> + Unpin {
        listener.incoming()
    }

    fn from_socket(socket: Socket) -> io::Result<TcpStream> {
        TcpStream::from_std(socket.into())
    }

    fn prepare(&self) {
        // It fails on a connection that is already reset; reading will say so.
        let _ = self.set_nodelay(true);
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    type Listener = UnixListener;

    fn listen(socket: Socket) -> io::Result<UnixListener> {
        UnixListener::from_std(socket.into())
    }

    async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    fn incoming(
        listener: &UnixListener,
    ) -> impl FusedStream<Item = io::Result<UnixStream>> + Unpin {
        listener.incoming()
    }

    fn from_socket(socket: Socket) -> io::Result<UnixStream> {
        UnixStream::from_std(socket.into())
    }

    fn prepare(&self) {}

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}
