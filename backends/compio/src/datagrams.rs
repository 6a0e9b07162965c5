//! Echo of datagrams, in either flavor with a buffer of the socket's own: one of the driver may be
//! too short, and a read into one (`recv_from_managed`) does not say where an empty datagram came
//! from.

use std::pin::pin;

use common::{AcceptError, Context, DATAGRAM_BYTES};
use compio::{BufResult, net::UdpSocket, time::sleep};
use futures_util::future::{Either, select};

use crate::turns::take_turns;

pub(crate) async fn udp(socket: UdpSocket, context: Context) {
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    let mut stop = context.stop();
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
                match context.receive_error(&error) {
                    AcceptError::Retry => {}
                    AcceptError::BackOff(pause) => {
                        select(&mut stop, pin!(sleep(pause))).await;
                    }
                    AcceptError::Fatal => return context.fail(),
                }
                unused
            }
        };
        take_turns(&mut in_turn).await;
    }
}
