//! What the accept loop and the echo need of TCP and Unix sockets.

use std::io;
use std::net::{self, Shutdown};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net as unix;

use io_uring_06::opcode::PollAdd;
use io_uring_06::types::Fd;
use rustix::event::PollFlags;
use tokio_uring::BufResult;
use tokio_uring::buf::Slice;
use tokio_uring::net::{TcpListener, TcpStream, UnixStream};

use crate::request::submit;

pub(crate) trait Stream: AsRawFd + Sized + 'static {
    /// The listener without the runtime.
    type Queue: AsFd + Send + Sync + 'static;
    type Listener: AsRawFd + 'static;

    /// A duplicate of the listener, for the runtime to accept from.
    ///
    /// # Errors
    /// Those of dup(2).
    fn listener(queue: &Self::Queue) -> io::Result<Self::Listener>;

    /// Must be awaited to its end.
    async fn accept(listener: &Self::Listener) -> io::Result<Self>;

    /// Accepts the next client in the queue, without waiting.
    ///
    /// # Errors
    /// Those of accept(2); `WouldBlock` if the queue is empty.
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

    async fn accept(listener: &TcpListener) -> io::Result<Self> {
        listener.accept().await.map(|(stream, _)| without_delay(stream))
    }

    fn accept_now(queue: &net::TcpListener) -> io::Result<Self> {
        let (stream, _) = queue.accept()?;
        Ok(without_delay(Self::from_std(stream)))
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
    // Fails if the connection is already reset; the read will report it.
    let _ = stream.set_nodelay(true);
    stream
}

impl Stream for UnixStream {
    type Queue = unix::UnixListener;
    /// tokio-uring's listener takes no socket that is already bound, and its own `bind` fails since
    /// Linux 6.12.9 (tokio-uring#323). So a poll request (IORING_OP_POLL_ADD) reports the client.
    type Listener = unix::UnixListener;

    fn listener(queue: &unix::UnixListener) -> io::Result<unix::UnixListener> {
        queue.try_clone()
    }

    async fn accept(listener: &unix::UnixListener) -> io::Result<Self> {
        loop {
            let poll = PollAdd::new(Fd(listener.as_raw_fd()), PollFlags::IN.bits().into()).build();
            let events = submit(poll).await?;
            let is_shut_down = events & u32::from(PollFlags::HUP.bits()) != 0;
            match Self::accept_now(listener) {
                // Another thread took the client: wait again. accept(2) returns the same for a
                // listener that is shut down, so POLLHUP tells the two apart.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_shut_down => {}
                accepted => return accepted,
            }
        }
    }

    fn accept_now(queue: &unix::UnixListener) -> io::Result<Self> {
        queue.accept().map(|(stream, _)| Self::from_std(stream))
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
