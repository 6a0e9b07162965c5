//! What TCP and Unix connections have in common, so that one accept loop and one echo serve both.

use std::{future::Future, net::Shutdown};

#[cfg(unix)]
use async_std::os::unix::net::{UnixListener, UnixStream};
use async_std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
};

/// A connection, and where it comes from.
pub(crate) trait Stream: Read + Write + Send + Unpin + Sized + 'static {
    type Listener: Send + Sync + 'static;

    /// It asks the system when it is first polled, and is pending only if the queue is empty.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self>> + Send;

    /// Sends FIN, which closing by [`Write`] does not: that only flushes (async-std,
    /// src/net/tcp/stream.rs).
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    fn finish(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    type Listener = TcpListener;

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        // It fails on a connection that is already reset (EINVAL on macOS); reading will say so.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    type Listener = UnixListener;

    async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
