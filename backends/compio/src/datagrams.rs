//! Echo of datagrams, in both flavors with a buffer per socket. A provided buffer may be too short,
//! and `recv_from_managed` does not return the sender of an empty datagram.

use std::pin::pin;

use common::{Context, DATAGRAM_BYTES, Recovery};
use compio::BufResult;
use compio::net::UdpSocket;
use compio::time::sleep;
use futures_util::future::{Either, select};

use crate::turns::take_turns;

pub(crate) async fn udp(socket: UdpSocket, context: Context) {
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    let mut stop = context.stopped();
    let mut in_turn = 0;
    while !context.stopping() {
        buffer.clear();
        let received = match select(pin!(socket.recv_from(buffer)), &mut stop).await {
            Either::Left((received, _)) => received,
            Either::Right(_) => return,
        };
        buffer = match received {
            BufResult(Ok((_, from)), filled) => {
                let BufResult(result, sent) = socket.send_to(filled, from).await;
                if let Err(error) = result {
                    context.dropped_reply(&error);
                }
                sent
            }
            BufResult(Err(error), unused) => {
                match context.after_receive_error(&error) {
                    Recovery::Retry => {}
                    Recovery::BackOff(pause) => {
                        select(&mut stop, pin!(sleep(pause))).await;
                    }
                    Recovery::Fatal => return,
                }
                unused
            }
        };
        take_turns(&mut in_turn).await;
    }
}
