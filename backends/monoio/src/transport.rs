//! What TCP and Unix connections have in common, so that one accept loop and one echo serve both.

use std::io;

use monoio::{
    io::{AsyncReadRent, AsyncWriteRent, CancelHandle, CancelableAsyncReadRent, Split},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use socket2::Socket;

/// A connection, and where it comes from.
pub(crate) trait Stream:
    AsyncReadRent + CancelableAsyncReadRent + AsyncWriteRent + Split + Sized + 'static
{
    type Listener: 'static;

    /// # Errors
    ///
    /// The driver would not take the listener.
    fn listen(socket: Socket) -> io::Result<Self::Listener>;

    fn cancelable_accept(
        listener: &Self::Listener,
        handle: CancelHandle,
    ) -> impl Future<Output = io::Result<Self>>;

    /// # Errors
    ///
    /// The driver would not take the connection.
    fn from_socket(socket: Socket) -> io::Result<Self>;

    /// Sets the options of a new connection.
    fn prepare(&self);
}

impl Stream for TcpStream {
    type Listener = TcpListener;

    fn listen(socket: Socket) -> io::Result<TcpListener> {
        TcpListener::from_std(socket.into())
    }

    async fn cancelable_accept(
        listener: &TcpListener,
        handle: CancelHandle,
    ) -> io::Result<TcpStream> {
        listener.cancelable_accept(handle).await.map(|(stream, _)| stream)
    }

    fn from_socket(socket: Socket) -> io::Result<TcpStream> {
        TcpStream::from_std(socket.into())
    }

    fn prepare(&self) {
        // It fails on a connection that is already reset; reading will say so.
        let _ = self.set_nodelay(true);
    }
}

impl Stream for UnixStream {
    type Listener = UnixListener;

    fn listen(socket: Socket) -> io::Result<UnixListener> {
        UnixListener::from_std(socket.into())
    }

    async fn cancelable_accept(
        listener: &UnixListener,
        handle: CancelHandle,
    ) -> io::Result<UnixStream> {
        listener.cancelable_accept(handle).await.map(|(stream, _)| stream)
    }

    fn from_socket(socket: Socket) -> io::Result<UnixStream> {
        UnixStream::from_std(socket.into())
    }

    fn prepare(&self) {}
}
