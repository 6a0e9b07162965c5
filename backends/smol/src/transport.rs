//! What TCP and Unix connections have in common, so that one accept loop and one echo serve both.

#[cfg(unix)]
use smol::net::unix::{UnixListener, UnixStream};
use smol::{
    io::{self, AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// A connection, and where it comes from.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + Sized + 'static {
    type Listener: Send + Sync + 'static;

    /// It asks the system when it is first polled, and is pending only if the queue is empty.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self>> + Send;
}

impl Stream for TcpStream {
    type Listener = TcpListener;

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        // It fails on a connection that is already reset (EINVAL on macOS); reading will say so.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    type Listener = UnixListener;

    async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }
}
