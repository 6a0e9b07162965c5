//! The faults of a server: usually one, and sometimes several at once, as in real servers.

use std::time::Duration;
use std::{io, mem};

use mio::Interest;
use mio::net::TcpStream;

use super::Fault;
use crate::capability::Worker;
use crate::connection::{Connection, End, Memory};
use crate::datagrams::{self, DatagramHooks};
use crate::hooks::{self, Admission, AfterAcceptError, Gate, Hooks};
use crate::process::{self, ProcessHooks};

/// The faults that one server commits.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    faults: Vec<&'static Fault>,
    /// The value of `--fault-at`, which replaces the default of each fault that has one.
    at: Option<u64>,
}

impl Faults {
    pub(crate) fn new(faults: Vec<&'static Fault>, at: Option<u64>) -> Self {
        Self { faults, at }
    }

    /// Two faults that cannot be committed at once. Several faults can strike connections, but only
    /// one can strike datagrams, and only one what is outside the loop.
    pub(crate) fn conflict(&self) -> Option<[&'static str; 2]> {
        let two = |strikes_there: fn(&Fault) -> bool| {
            let mut all = self.faults.iter().filter(|fault| strikes_there(fault));
            Some([all.next()?.name, all.next()?.name])
        };
        two(|fault| fault.process.is_some()).or_else(|| two(Fault::is_of_datagrams))
    }

    /// The value of `--fault-at`.
    pub(crate) fn at(&self) -> Option<u64> {
        self.at
    }

    pub(crate) fn hooks(&self) -> Box<dyn Hooks> {
        let mut all: Vec<_> = self.faults.iter().filter_map(|fault| fault.hooks(self.at)).collect();
        match all.len() {
            0 => Box::new(hooks::Correct),
            1 => all.remove(0),
            _ => Box::new(Several(all)),
        }
    }

    pub(crate) fn datagram_hooks(&self) -> Box<dyn DatagramHooks> {
        let hooks = self.faults.iter().find_map(|fault| fault.datagram_hooks(self.at));
        hooks.unwrap_or_else(|| Box::new(datagrams::Correct))
    }

    pub(crate) fn process(&self) -> &'static dyn ProcessHooks {
        self.faults.iter().find_map(|fault| fault.process).unwrap_or(&process::Correct)
    }
}

/// Several faults of connections, each with its own memory of every connection. If a fault answers
/// a question differently than the correct server, its answer counts, and later faults are not
/// asked.
struct Several(Vec<Box<dyn Hooks>>);

impl Several {
    fn each(
        &mut self,
        connection: &mut Connection,
        tell: impl Fn(&mut dyn Hooks, &mut Connection),
    ) {
        for (index, hooks) in self.0.iter_mut().enumerate() {
            remembering(index, connection, |connection| tell(&mut **hooks, connection));
        }
    }

    fn gate(
        &mut self,
        connection: &mut Connection,
        usual: Gate,
        ask: fn(&mut dyn Hooks, &mut Connection) -> Gate,
    ) -> Gate {
        let mut answers = self.0.iter_mut().enumerate().map(|(index, hooks)| {
            remembering(index, connection, |connection| ask(&mut **hooks, connection))
        });
        answers.find(|answer| *answer != usual).unwrap_or(usual)
    }
}

/// Calls `act` with `mark` and `kept` set to what the fault at this index remembers.
fn remembering<T>(
    index: usize,
    connection: &mut Connection,
    act: impl FnOnce(&mut Connection) -> T,
) -> T {
    if connection.others.len() <= index {
        connection.others.resize_with(index + 1, Memory::default);
    }
    let own = mem::take(&mut connection.others[index]);
    (connection.mark, connection.kept) = (own.mark, own.kept);
    let done = act(connection);
    let kept = mem::take(&mut connection.kept);
    connection.others[index] = Memory { mark: connection.mark, kept };
    done
}

impl Hooks for Several {
    fn buffer_bytes(&self, asked: usize) -> usize {
        self.0.iter().fold(asked, |bytes, hooks| hooks.buffer_bytes(bytes))
    }

    fn survives_interrupts(&self) -> bool {
        self.0.iter().all(|hooks| hooks.survives_interrupts())
    }

    fn sleep(
        &mut self,
        planned: Option<Duration>,
        connections: &[Option<Connection>],
    ) -> Option<Duration> {
        self.0.iter_mut().fold(planned, |planned, hooks| hooks.sleep(planned, connections))
    }

    fn woke(&mut self, quiet: Duration) {
        self.0.iter_mut().for_each(|hooks| hooks.woke(quiet));
    }

    fn may_accept(&mut self, open: usize) -> bool {
        self.0.iter_mut().all(|hooks| hooks.may_accept(open))
    }

    fn accepted(&mut self, stream: &mut TcpStream, open: usize) -> Admission {
        let mut all = self.0.iter_mut().map(|hooks| hooks.accepted(stream, open));
        all.find(|admission| *admission != Admission::Serve).unwrap_or(Admission::Serve)
    }

    fn accepted_late(&mut self) -> Admission {
        let mut all = self.0.iter_mut().map(|hooks| hooks.accepted_late());
        all.find(|admission| *admission != Admission::Serve).unwrap_or(Admission::Serve)
    }

    fn accept_failed(&mut self, error: &io::Error) -> AfterAcceptError {
        let usual = AfterAcceptError::BackOff;
        let mut all = self.0.iter_mut().map(|hooks| hooks.accept_failed(error));
        all.find(|after| *after != usual).unwrap_or(usual)
    }

    fn interest(&self) -> Interest {
        let usual = hooks::Correct.interest();
        self.0.iter().fold(usual, |interest, hooks| interest | hooks.interest())
    }

    fn step(&mut self, connection: &mut Connection) -> Gate {
        self.gate(connection, Gate::Go, |hooks, connection| hooks.step(connection))
    }

    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        let usual = hooks::Correct.may_read(connection);
        self.gate(connection, usual, |hooks, connection| hooks.may_read(connection))
    }

    fn read_limit(&mut self, connection: &Connection, buffer: usize) -> usize {
        self.0.iter_mut().fold(buffer, |bytes, hooks| hooks.read_limit(connection, bytes))
    }

    fn read(
        &mut self,
        connection: &mut Connection,
        buffer: &mut [u8],
    ) -> Option<io::Result<usize>> {
        let mut all = self.0.iter_mut().enumerate();
        all.find_map(|(index, hooks)| {
            remembering(index, connection, |connection| hooks.read(connection, buffer))
        })
    }

    fn received(&mut self, connection: &mut Connection) {
        self.each(connection, |hooks, connection| hooks.received(connection));
    }

    fn received_late(&mut self, connection: &mut Connection) {
        self.each(connection, |hooks, connection| hooks.received_late(connection));
    }

    fn worker(&mut self, asked: Worker) -> Worker {
        self.0.iter_mut().fold(asked, |worker, hooks| hooks.worker(worker))
    }

    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        self.gate(connection, Gate::Go, |hooks, connection| hooks.may_write(connection))
    }

    fn write_limit(&mut self, connection: &Connection) -> usize {
        let limits = self.0.iter_mut().map(|hooks| hooks.write_limit(connection));
        limits.min().unwrap_or(usize::MAX)
    }

    fn wrote(&mut self, connection: &mut Connection) {
        self.each(connection, |hooks, connection| hooks.wrote(connection));
    }

    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        self.gate(connection, Gate::Wait, |hooks, connection| hooks.blocked(connection))
    }

    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        self.gate(connection, Gate::Go, |hooks, connection| hooks.peer_ended(connection))
    }

    fn shut_down(&mut self, result: &io::Result<()>) {
        self.0.iter_mut().for_each(|hooks| hooks.shut_down(result));
    }

    fn heeds_stop(&self, accepted_since: u64, datagram_sockets: usize) -> bool {
        self.0.iter().all(|hooks| hooks.heeds_stop(accepted_since, datagram_sockets))
    }

    fn stop_begins(&mut self, connections: &mut [Option<Connection>]) {
        self.0.iter_mut().for_each(|hooks| hooks.stop_begins(connections));
    }

    fn stops_listening(&self) -> bool {
        self.0.iter().all(|hooks| hooks.stops_listening())
    }

    fn ends_connections(&self) -> bool {
        self.0.iter().all(|hooks| hooks.ends_connections())
    }

    fn outlasts_drain(&self, connections: &[Option<Connection>]) -> bool {
        self.0.iter().any(|hooks| hooks.outlasts_drain(connections))
    }

    fn stopping(&mut self, connection: &mut Connection) {
        self.each(connection, |hooks, connection| hooks.stopping(connection));
    }

    fn closed(&mut self, connection: &mut Connection, end: End) {
        self.each(connection, |hooks, connection| hooks.closed(connection, end));
    }

    fn freed(&mut self, connection: Connection, end: End) -> Option<Connection> {
        let free = |left: Option<Connection>, hooks: &mut Box<dyn Hooks>| {
            left.and_then(|connection| hooks.freed(connection, end))
        };
        self.0.iter_mut().fold(Some(connection), free)
    }
}
