//! Echo of datagrams: one task for each socket. A reply that the system does not take is dropped,
//! as any datagram may be.

use std::{io, os::unix::net, pin::pin};

use common::{AcceptError, Context, DATAGRAM_BYTES, Wait};
use futures_util::future::{Either, select};
use monoio::{
    net::{UnixDatagram, udp::UdpSocket, unix::SocketAddr},
    spawn,
    time::sleep,
};

/// Datagrams in a row after which others get a turn: with epoll and kqueue one that has come is
/// received at once, and monoio has no budget for a task that never waits.
const TURN: u32 = 32;

pub(crate) async fn udp(socket: UdpSocket, context: Context) {
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    let mut stop = context.stop();
    let mut in_turn = 0;
    while !context.stopping() {
        let received = match select(pin!(socket.recv_from(buffer)), &mut stop).await {
            Either::Left((received, _)) => received,
            Either::Right(_) => return,
        };
        buffer = match received {
            (Ok((_, from)), filled) => {
                let (result, sent) = socket.send_to(filled, from).await;
                if let Err(error) = result {
                    context.dropped_reply(&error);
                }
                sent
            }
            (Err(error), unused) if goes_on(&context, &mut stop, &error).await => unused,
            (Err(_), _) => return,
        };
        take_turns(&mut in_turn).await;
    }
}

/// Replies go out by `sender`, which is the same socket: waiting for a receiver whose queue is full
/// would hold up all others.
pub(crate) async fn unixgram(socket: UnixDatagram, sender: net::UnixDatagram, context: Context) {
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    let mut stop = context.stop();
    let mut in_turn = 0;
    while !context.stopping() {
        let received = match select(pin!(socket.recv_from(buffer)), &mut stop).await {
            Either::Left((received, _)) => received,
            Either::Right(_) => return,
        };
        buffer = match received {
            (Ok((_, from)), filled) => {
                if let Err(error) = reply(&sender, &filled, &from) {
                    context.dropped_reply(&error);
                }
                filled
            }
            (Err(error), unused) if goes_on(&context, &mut stop, &error).await => unused,
            (Err(_), _) => return,
        };
        take_turns(&mut in_turn).await;
    }
}

/// Sends to `to`, unless that is a client without a name, which cannot be answered.
fn reply(sender: &net::UnixDatagram, datagram: &[u8], to: &SocketAddr) -> io::Result<()> {
    if let Some(path) = to.as_pathname() {
        sender.send_to(datagram, path)?;
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = to.as_abstract_namespace() {
        use std::os::linux::net::SocketAddrExt as _;

        sender.send_to_addr(datagram, &net::SocketAddr::from_abstract_name(name)?)?;
    }
    Ok(())
}

/// Deals with an error of receiving: whether there can be a next datagram.
async fn goes_on(context: &Context, stop: &mut Wait, error: &io::Error) -> bool {
    match context.receive_error(error) {
        AcceptError::Retry => true,
        AcceptError::BackOff(pause) => {
            select(stop, pin!(sleep(pause))).await;
            true
        }
        AcceptError::Fatal => {
            context.fail();
            false
        }
    }
}

/// Lets the tasks that can run have a turn after [`TURN`] calls, and the driver too: by waiting for
/// a task, which wakes this one. A task that wakes itself goes to the front of monoio's queue.
async fn take_turns(in_turn: &mut u32) {
    *in_turn += 1;
    if *in_turn == TURN {
        *in_turn = 0;
        spawn(async {}).await;
    }
}
