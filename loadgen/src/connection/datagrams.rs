//! Datagrams, which may overtake each other, and may not come at all.

use report::load::ErrorKind;

use super::{CAME, Connection, Fault, Stamps};
use crate::payload::Payload;

/// Lost datagrams of a connection that are remembered, to tell a late one from a second one.
const LOST_REMEMBERED: usize = 1024;

impl Connection {
    /// Compares a datagram that came. Datagrams may come in any order, and not at all.
    pub(crate) fn take_datagram(
        &mut self,
        payload: &Payload,
        got: &[u8],
        mut done: impl FnMut(Stamps, usize),
    ) -> Result<(), Fault> {
        let own = payload.decode(got).filter(|message| message.connection == self.number);
        let window = self.receiving.counter..self.sending.counter;
        let Some(message) = own else {
            let next = self.message(self.receiving.counter);
            return Err(self.wrong(payload, next, 0, got, 0));
        };
        if message.counter >= window.end {
            let text = format!("{message}, which was not sent");
            return Err(Fault { kind: ErrorKind::Extra, text });
        }
        let length = payload.length(message);
        let checked = payload.check(message, 0, &got[..got.len().min(length)]);
        if got.len() != length || checked.is_err() {
            let text = format!(
                "{message}: {} bytes came back as {}, the first {} of them right",
                length,
                got.len(),
                checked.err().unwrap_or(length.min(got.len()))
            );
            return Err(Fault { kind: ErrorKind::Altered, text });
        }
        if !window.contains(&message.counter) {
            let late = self.lost.iter().position(|counter| *counter == message.counter);
            return match late {
                // It is counted as lost already.
                Some(index) => {
                    self.lost.swap_remove(index);
                    Ok(())
                }
                None => Err(self.second(message)),
            };
        }
        let index = usize::try_from(message.counter - window.start).unwrap_or(usize::MAX);
        match self.in_flight.get_mut(index) {
            Some(stamps) if stamps.sent != CAME => {
                done(*stamps, length);
                stamps.sent = CAME;
                self.outstanding -= 1;
            }
            Some(_) | None => return Err(self.second(message)),
        }
        while self.in_flight.front().is_some_and(|stamps| stamps.sent == CAME) {
            self.in_flight.pop_front();
            self.receiving.counter += 1;
        }
        Ok(())
    }

    /// Gives up datagrams sent before a time, tells `lost` of each, and says how many.
    pub(crate) fn give_up(&mut self, before: u64, mut lost: impl FnMut(Stamps)) -> usize {
        let mut given_up = 0;
        while let Some(stamps) = self.in_flight.front() {
            let is_old = stamps.sent < before;
            if !is_old && stamps.sent != CAME {
                break;
            }
            if is_old {
                given_up += 1;
                lost(*stamps);
                if self.lost.len() == LOST_REMEMBERED {
                    self.lost.remove(0);
                }
                self.lost.push(self.receiving.counter);
            }
            self.in_flight.pop_front();
            self.receiving.counter += 1;
        }
        self.outstanding -= given_up;
        given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Message;

    const BYTES: usize = 64;

    /// The datagrams of one connection, of which three were sent at time 5.
    fn sent() -> (Payload, Connection) {
        let payload = Payload::new(1, &[64]);
        let mut connection = Connection::new(3, 4);
        for _ in 0..3 {
            connection.admit(4);
        }
        connection.advance(&payload, 3 * BYTES, 5);
        (payload, connection)
    }

    fn datagram(payload: &Payload, counter: u64) -> Vec<u8> {
        let mut bytes = vec![0; BYTES];
        payload.fill(Message { connection: 3, counter }, 0, &mut bytes);
        bytes
    }

    fn kind(result: Result<(), Fault>) -> Option<ErrorKind> {
        result.err().map(|fault| fault.kind)
    }

    #[test]
    fn datagrams_overtake_each_other_and_come_late_but_not_twice() {
        let (payload, mut connection) = sent();
        let mut came = 0;
        let mut take = |connection: &mut Connection, got: &[u8]| {
            kind(connection.take_datagram(&payload, got, |_, _| came += 1))
        };
        assert_eq!(take(&mut connection, &datagram(&payload, 1)), None);
        assert_eq!(connection.in_flight(), 2);
        assert_eq!(take(&mut connection, &datagram(&payload, 1)), Some(ErrorKind::Duplicated));
        assert_eq!(take(&mut connection, &datagram(&payload, 3)), Some(ErrorKind::Extra));
        assert_eq!(connection.give_up(5, |_| {}), 0);
        let mut lost = Vec::new();
        assert_eq!(connection.give_up(6, |stamps| lost.push(stamps.planned)), 2);
        assert_eq!((lost, connection.in_flight()), (vec![4, 4], 0));
        // What comes late is compared all the same.
        assert_eq!(take(&mut connection, &datagram(&payload, 0)[..20]), Some(ErrorKind::Altered));
        assert_eq!(take(&mut connection, &datagram(&payload, 0)), None);
        assert_eq!(take(&mut connection, &datagram(&payload, 0)), Some(ErrorKind::Duplicated));
        assert_eq!(came, 1);
    }

    #[test]
    fn a_stream_is_compared_in_any_pieces() {
        let (payload, mut connection) = sent();
        let stream: Vec<u8> = (0..3).flat_map(|counter| datagram(&payload, counter)).collect();
        let mut came = 0;
        for piece in stream.chunks(50) {
            assert_eq!(kind(connection.take(&payload, piece, |_, _| came += 1)), None);
        }
        assert_eq!((came, connection.in_flight()), (3, 0));
        let more = connection.take(&payload, &datagram(&payload, 3), |_, _| {});
        assert_eq!(kind(more), Some(ErrorKind::Extra));
    }
}
