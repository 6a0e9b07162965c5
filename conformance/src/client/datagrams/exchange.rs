//! Datagrams of a client and their echoes.

use std::time::Duration;

use report::Failure;

use super::{Client, Datagrams, Sent};

impl Client {
    /// Sends a datagram and receives its echo.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::receive`].
    pub fn exchange(&mut self, length: usize) -> Result<(), Failure> {
        let sent = self.send(length)?;
        self.receive(vec![sent])
    }

    /// Sends a datagram of these bytes, without a stamp, and receives its echo.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::receive`].
    pub fn exchange_literal(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.payload.use_content(bytes.into());
        self.next_position = 0;
        self.sent_datagrams.clear();
        self.exchange(bytes.len())
    }

    /// Receives the echo of each datagram in `sent` exactly once, in any order.
    ///
    /// # Errors
    /// `timeout`, or what is wrong with a reply.
    pub fn receive(&mut self, mut sent: Vec<Sent>) -> Result<(), Failure> {
        while !sent.is_empty() {
            let deadline = self.clock.progress_deadline();
            let Some(reply) = self.receive_reply(deadline)? else {
                return Err(deadline.failure(&format!("{} more datagrams", sent.len())));
            };
            self.match_reply(&mut sent, &reply)?;
        }
        Ok(())
    }

    /// Sends a datagram and receives its echo. Echoes of the datagrams in `due` may arrive before
    /// it.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::receive`].
    pub fn exchange_with_pending(
        &mut self,
        due: &mut Vec<Sent>,
        length: usize,
    ) -> Result<(), Failure> {
        let sent = self.send(length)?;
        due.push(sent);
        while due.contains(&sent) {
            let deadline = self.clock.progress_deadline();
            let Some(reply) = self.receive_reply(deadline)? else {
                return Err(deadline.failure("one more datagram"));
            };
            self.match_reply(due, &reply)?;
        }
        Ok(())
    }

    /// Like [`Client::exchange`], behind long datagrams of other clients. If the host's queues are
    /// so short that these may leave no room, sends another datagram of `length` bytes after each
    /// `interval` until one of them has its echo. Echoes of the datagrams in `due` may arrive too.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::receive`].
    pub fn exchange_behind_long(
        &mut self,
        server: &Datagrams,
        due: &mut Vec<Sent>,
        length: usize,
        interval: Duration,
    ) -> Result<(), Failure> {
        if !server.has_short_queue() {
            return self.exchange(length);
        }
        let deadline = self.clock.progress_deadline();
        let mut own = Vec::new();
        while !deadline.is_over() {
            let sent = self.send(length)?;
            due.push(sent);
            own.push(sent);
            let again = self.clock.deadline_after(interval.min(deadline.left()));
            while let Some(reply) = self.receive_reply(again)? {
                self.match_reply(due, &reply)?;
                if own.iter().any(|sent| !due.contains(sent)) {
                    return Ok(());
                }
            }
        }
        Err(deadline.failure("an echo of one of the datagrams"))
    }

    /// Receives for `time`. Each reply must be the echo of a datagram in `sent`, which is then
    /// removed.
    ///
    /// # Errors
    /// What is wrong with a reply.
    pub fn receive_any(&mut self, sent: &mut Vec<Sent>, time: Duration) -> Result<(), Failure> {
        let deadline = self.clock.deadline_after(time);
        while let Some(reply) = self.receive_reply(deadline)? {
            self.match_reply(sent, &reply)?;
        }
        Ok(())
    }

    /// Expects no reply for `time`.
    ///
    /// # Errors
    /// What arrived: `extra` or another payload failure.
    pub fn expect_silence(&mut self, time: Duration) -> Result<(), Failure> {
        self.receive_any(&mut Vec::new(), time)
    }
}
