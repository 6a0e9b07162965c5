//! Unix sockets: the accept loop for connections, and the echo of datagrams.

use std::io;
use std::os::unix::net;

use common::{Context, DATAGRAM_BYTES, Recovery};
use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tokio::{select, time};

use crate::datagrams::pause_after_error;
use crate::{capability, spawn_echo};

/// The accept loop of TCP, on a Unix listener.
pub(crate) async fn accept_loop(listener: UnixListener, context: Context) {
    let mut stopped = context.stopped();
    loop {
        let accepted = select! {
            accepted = capability::accept(&context, || listener.accept()) => accepted,
            () = &mut stopped => break,
        };
        match accepted {
            Ok((stream, _)) => spawn_echo(stream, None, &context),
            Err(error) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => select! {
                    () = time::sleep(pause) => {}
                    () = &mut stopped => break,
                },
                Recovery::Fatal => return,
            },
        }
    }
    let Ok(listener) = listener.into_std() else { return };
    let accept = || {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    context.accept_queued(accept).for_each(|stream| spawn_echo(stream, None, &context));
}

/// One datagram socket with two descriptors. Tokio receives on one. The standard library sends on
/// the other, because Tokio 1.54.1 sends only to paths. On Linux, a client may have an abstract
/// name instead of a path (unix(7)).
pub(crate) struct Datagrams {
    receiver: UnixDatagram,
    sender: net::UnixDatagram,
}

impl Datagrams {
    /// # Errors
    /// Those of dup(2), and of registering the socket with Tokio.
    pub(crate) fn new(sender: net::UnixDatagram) -> io::Result<Self> {
        let receiver = UnixDatagram::from_std(sender.try_clone()?)?;
        Ok(Self { receiver, sender })
    }

    pub(crate) async fn echo(self, context: Context) {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut stopped = context.stopped();
        loop {
            let received = select! {
                biased;
                () = &mut stopped => return,
                received = self.receiver.recv_from(&mut buffer) => received,
            };
            match received {
                Ok((bytes, client)) => {
                    let client: net::SocketAddr = client.into();
                    // A client without a name cannot be answered.
                    if !client.is_unnamed()
                        && let Err(error) = self.sender.send_to_addr(&buffer[..bytes], &client)
                    {
                        context.dropped_reply(&error);
                    }
                }
                Err(error) => match pause_after_error(&context, &error).await {
                    Recovery::Retry | Recovery::BackOff(_) => {}
                    Recovery::Fatal => return,
                },
            }
        }
    }
}
