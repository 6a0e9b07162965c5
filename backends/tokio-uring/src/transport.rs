//! What TCP and Unix connections have in common, so that one accept loop and one echo serve both.

use std::{
    io,
    net::{self, Shutdown},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net as unix,
    },
};

use io_uring_06::{opcode::PollAdd, types::Fd};
use rustix::event::PollFlags;
use tokio_uring::{
    BufResult,
    buf::Slice,
    net::{TcpListener, TcpStream, UnixStream},
};

use crate::request::submit;

/// A connection, and where it comes from.
pub(crate) trait Stream: AsRawFd + Sized + 'static {
    /// The listener as the system knows it: what is asked of it, the system is asked.
    type Queue: AsFd + Send + Sync + 'static;
    type Listener: AsRawFd + 'static;

    /// A duplicate of the listener, to accept from by the runtime.
    ///
    /// # Errors
    ///
    /// Those of dup(2).
    fn listener(queue: &Self::Queue) -> io::Result<Self::Listener>;

    /// Never dropped unfinished.
    async fn accept(listener: &Self::Listener) -> io::Result<Self>;

    /// Accepts the next client in the queue.
    ///
    /// # Errors
    ///
    /// Those of accept(2); `WouldBlock` when nobody waits there.
    fn accept_now(queue: &Self::Queue) -> io::Result<Self>;

    fn read(&self, buffer: Vec<u8>) -> impl Future<Output = BufResult<usize, Vec<u8>>>;

    fn write_all(
        &self,
        message: Slice<Vec<u8>>,
    ) -> impl Future<Output = BufResult<(), Slice<Vec<u8>>>>;

    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

impl Stream for TcpStream {
    type Queue = net::TcpListener;
    type Listener = TcpListener;

    fn listener(queue: &net::TcpListener) -> io::Result<TcpListener> {
        queue.try_clone().map(TcpListener::from_std)
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(stream, _)| without_delay(stream))
    }

    fn accept_now(queue: &net::TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = queue.accept()?;
        Ok(without_delay(TcpStream::from_std(stream)))
    }

    fn read(&self, buffer: Vec<u8>) -> impl Future<Output = BufResult<usize, Vec<u8>>> {
        self.read(buffer)
    }

    fn write_all(
        &self,
        message: Slice<Vec<u8>>,
    ) -> impl Future<Output = BufResult<(), Slice<Vec<u8>>>> {
        self.write_all(message)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

fn without_delay(stream: TcpStream) -> TcpStream {
    // It fails on a connection that is already reset; reading will say so.
    let _ = stream.set_nodelay(true);
    stream
}

impl Stream for UnixStream {
    type Queue = unix::UnixListener;
    /// The listener of tokio-uring takes no socket that is bound already, and binds in a way that
    /// Linux refuses since 6.12.9 (tokio-uring#323). So the ring says when a client has come.
    type Listener = unix::UnixListener;

    fn listener(queue: &unix::UnixListener) -> io::Result<unix::UnixListener> {
        queue.try_clone()
    }

    async fn accept(listener: &unix::UnixListener) -> io::Result<UnixStream> {
        loop {
            let poll = PollAdd::new(Fd(listener.as_raw_fd()), PollFlags::IN.bits().into()).build();
            let events = submit(poll).await?;
            let is_shut_down = events & u32::from(PollFlags::HUP.bits()) != 0;
            match Self::accept_now(listener) {
                // Another thread was faster. Of a listener that is shut down Linux says the same.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_shut_down => {}
                accepted => return accepted,
            }
        }
    }

    fn accept_now(queue: &unix::UnixListener) -> io::Result<UnixStream> {
        queue.accept().map(|(stream, _)| UnixStream::from_std(stream))
    }

    fn read(&self, buffer: Vec<u8>) -> impl Future<Output = BufResult<usize, Vec<u8>>> {
        self.read(buffer)
    }

    fn write_all(
        &self,
        message: Slice<Vec<u8>>,
    ) -> impl Future<Output = BufResult<(), Slice<Vec<u8>>>> {
        self.write_all(message)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}
