//! Echo of datagrams: one task per socket. A reply that the system refuses is dropped.

use std::io;
use std::os::unix::net;
use std::pin::pin;

use common::{Context, DATAGRAM_BYTES, Recovery, Wait};
use futures_util::future::{Either, select};
use monoio::net::UnixDatagram;
use monoio::net::udp::UdpSocket;
use monoio::net::unix::SocketAddr;
use monoio::spawn;
use monoio::time::sleep;

/// After this many datagrams in a row, other tasks get a turn. The polling driver receives at once
/// if a datagram is there, and monoio has no budget for a task that never has to wait.
const TURN: u32 = 32;

pub(crate) async fn udp(socket: UdpSocket, context: Context) {
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    let mut stop = context.stopped();
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

/// Replies are sent with `sender`, the standard library's handle to the same non-blocking socket. A
/// send of monoio would wait for a client whose queue is full, which would delay all other clients.
pub(crate) async fn unixgram(socket: UnixDatagram, sender: net::UnixDatagram, context: Context) {
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    let mut stop = context.stopped();
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

/// Sends to `to`, unless the client has no name and cannot be answered.
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

/// Logs an error of receiving, and waits if the system has run out of something. Whether to receive
/// again.
async fn goes_on(context: &Context, stop: &mut Wait, error: &io::Error) -> bool {
    match context.after_receive_error(error) {
        Recovery::Retry => true,
        Recovery::BackOff(pause) => {
            select(stop, pin!(sleep(pause))).await;
            true
        }
        Recovery::Fatal => false,
    }
}

/// After [`TURN`] calls, lets other tasks and the driver have a turn. It awaits a spawned task,
/// because a task that wakes itself goes to the front of monoio's queue (monoio#322).
async fn take_turns(in_turn: &mut u32) {
    *in_turn += 1;
    if *in_turn == TURN {
        *in_turn = 0;
        spawn(async {}).await;
    }
}
