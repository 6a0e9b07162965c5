//! What the accept loop and the echo need of TCP and Unix sockets.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelHandle, CancelableAsyncReadRent, Split};
use monoio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use socket2::Socket;

pub(crate) trait Stream:
    AsyncReadRent + CancelableAsyncReadRent + AsyncWriteRent + Split + Sized + 'static
{
    type Listener: 'static;

    /// # Errors
    /// Those of registering the listener with the driver.
    fn listen(socket: Socket) -> io::Result<Self::Listener>;

    fn cancelable_accept(
        listener: &Self::Listener,
        handle: CancelHandle,
    ) -> impl Future<Output = io::Result<Self>>;

    /// # Errors
    /// Those of registering the connection with the driver.
    fn from_socket(socket: Socket) -> io::Result<Self>;

    /// Sets the options of a new connection.
    fn prepare(&self);
}

impl Stream for TcpStream {
    type Listener = TcpListener;

    fn listen(socket: Socket) -> io::Result<TcpListener> {
        TcpListener::from_std(socket.into())
    }

    async fn cancelable_accept(listener: &TcpListener, handle: CancelHandle) -> io::Result<Self> {
        listener.cancelable_accept(handle).await.map(|(stream, _)| stream)
    }

    fn from_socket(socket: Socket) -> io::Result<Self> {
        Self::from_std(socket.into())
    }

    fn prepare(&self) {
        // Fails if the connection is already reset; the read will report it.
        let _ = self.set_nodelay(true);
    }
}

impl Stream for UnixStream {
    type Listener = UnixListener;

    fn listen(socket: Socket) -> io::Result<UnixListener> {
        UnixListener::from_std(socket.into())
    }

    async fn cancelable_accept(listener: &UnixListener, handle: CancelHandle) -> io::Result<Self> {
        listener.cancelable_accept(handle).await.map(|(stream, _)| stream)
    }

    fn from_socket(socket: Socket) -> io::Result<Self> {
        Self::from_std(socket.into())
    }

    fn prepare(&self) {}
}
