//! What the accept loops and the echoes need of TCP and Unix sockets.

use std::io;
use std::net::Shutdown;

use compio::driver::BufferRef;
use compio::io::{AsyncRead, AsyncReadManaged, AsyncWrite};
use compio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use compio::net::{UnixListener, UnixStream};
use futures_util::stream::FusedStream;
use socket2::{SockRef, Socket};

/// A connection. A clone is another handle to the same socket.
pub(crate) trait Stream:
    AsyncRead + AsyncReadManaged<Buffer = BufferRef> + AsyncWrite + Clone + 'static
{
    type Listener: 'static;

    /// # Errors
    /// Those of registering the listener with the driver.
    fn listen(socket: Socket) -> io::Result<Self::Listener>;

    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self>>;

    /// Accepts with one multishot operation.
    fn incoming(listener: &Self::Listener) -> impl FusedStream<Item = io::Result<Self>> + Unpin;

    /// # Errors
    /// Those of registering the connection with the driver.
    fn from_socket(socket: Socket) -> io::Result<Self>;

    /// Sets the options of a new connection.
    fn prepare(&self);

    fn socket(&self) -> SockRef<'_>;

    /// Sends FIN with shutdown(2), which never blocks. IORING_OP_SHUTDOWN would run on an io-wq
    /// worker, and compio's polling driver would use its thread pool.
    fn send_fin(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }
}

impl Stream for TcpStream {
    type Listener = TcpListener;

    fn listen(socket: Socket) -> io::Result<TcpListener> {
        TcpListener::from_std(socket.into())
    }

    async fn accept(listener: &TcpListener) -> io::Result<Self> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    fn incoming(listener: &TcpListener) -> impl FusedStream<Item = io::Result<Self>> + Unpin {
        listener.incoming()
    }

    fn from_socket(socket: Socket) -> io::Result<Self> {
        Self::from_std(socket.into())
    }

    fn prepare(&self) {
        // Fails if the connection is already reset; the read will report it.
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

    async fn accept(listener: &UnixListener) -> io::Result<Self> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    fn incoming(listener: &UnixListener) -> impl FusedStream<Item = io::Result<Self>> + Unpin {
        listener.incoming()
    }

    fn from_socket(socket: Socket) -> io::Result<Self> {
        Self::from_std(socket.into())
    }

    fn prepare(&self) {}

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}
