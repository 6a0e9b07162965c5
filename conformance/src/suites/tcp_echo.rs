//! Integrity of the echo: every byte comes back, once, in order, on its own connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use harness::process::{Process, Signal};
use report::{Failure, FailureKind, Level, Question, outside};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::{Connection, Rest, Setup, Urgent};
use crate::client::duplex::{Flow, Pauses, Pieces, exchange};
use crate::client::lengths::landmarks;
use crate::client::peer::Peer;
use crate::expectation::expect_quiet;
use crate::suites::stalls;

/// A case that is long for a server that waits before each echo.
pub(super) const EVERY_LENGTH: &str = "every-length";

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "tcp-echo",
    about: "Bytes come back whole, in order, on the same connection, and nothing else does.",
    question: Question::Bytes,
    cases: &[
        Case::must("one-byte", "A single byte comes back within a second.").wire(one_byte),
        Case::must("ping-pong-1000", "Each of many small messages comes back within a second.")
            .sizes(1000, 1000, 1000)
            .wire(ping_pong),
        Case::must("all-byte-values", "No byte value or sequence has a meaning to the server.")
            .wire(all_byte_values),
        Case::must("opening-words", "What a client says first, or twice, has no meaning either.")
            .wire(opening_words),
        Case::must(
            "size-sweep",
            "Messages of sizes that buffers have, up to 1 MiB, come back whole.",
        )
        .sizes(128 * 1024, 1024 * 1024, 16 * 1024 * 1024)
        .wire(size_sweep),
        Case::must(EVERY_LENGTH, "Messages of every length up to 4,200 bytes come back whole.")
            .sizes(4200, 4200, 33_000)
            .wire(every_length),
        Case::must("chop-sweep", "A stream comes back whole, however it was cut into writes.")
            .sizes(16 * 1024, 128 * 1024, 1024 * 1024)
            .wire(chop_sweep),
        Case::must(
            "random-chunks",
            "Writes and reads of random sizes, both at once, do not change the stream.",
        )
        .sizes(1024 * 1024, 2 * 1024 * 1024, 4 * 1024 * 1024)
        .wire(random_chunks),
        Case::must("many-small-writes", "A great many tiny writes come back whole.")
            .sizes(2_000, 10_000, 100_000)
            .wire(many_small_writes),
        Case::must(
            "order-under-pressure",
            "A client that pauses its reads at random gets the stream in order.",
        )
        .sizes(4 * 1024 * 1024, 8 * 1024 * 1024, 64 * 1024 * 1024)
        .wire(order_under_pressure),
        Case::must("partial-write", "A client with a tiny receive buffer gets every byte.")
            // Beyond the largest send buffer that kernels make for themselves: Linux's has 4 MiB.
            .sizes(512 * 1024, 4 * 1024 * 1024, 4 * 1024 * 1024)
            .wire(partial_write),
        Case::must("no-extra-bytes", "After the echo comes nothing.")
            .sizes(300, 300, 300)
            .wire(no_extra_bytes),
        Case::must(
            "shrinking-messages",
            "A short message after a long one brings nothing of the long one back.",
        )
        .wire(shrinking_messages),
        Case::must("cross-connection-isolation", "No connection ever gets a byte of another one.")
            .sizes(32 * 1024, 128 * 1024, 1024 * 1024)
            .needs(&[Need::Descriptors(64)])
            .wire(cross_connection_isolation),
        Case::must(
            "latency-no-stall",
            "A message that takes the server several writes is not held back (Nagle's algorithm).",
        )
        .sizes(10, 20, 50)
        .alone()
        .below_contract(Level::Should)
        .answers(Question::Promptness)
        .wire(latency_no_stall),
        Case::must("data-with-connect", "Bytes sent at once after connecting are not lost.")
            .sizes(50, 200, 500)
            .of_tcp_alone()
            .wire(data_with_connect),
        Case::must(
            "silent-until-spoken-to",
            "The server does not speak first and does not hang up.",
        )
        .sizes(500, 500, 500)
        .wire(silent_until_spoken_to),
        Case::must(
            "streams-before-eof",
            "Bytes come back without waiting for a line feed, a full buffer or FIN.",
        )
        .wire(streams_before_eof),
        Case::must(
            "no-rare-stall",
            "Of thousands of small messages, and of new clients, none waits for a timer.",
        )
        .sizes(1500, 3000, 30_000)
        .below_contract(Level::Should)
        .answers(Question::Promptness)
        .judges(&[FailureKind::Slow])
        .alone()
        .wire(no_rare_stall),
        Case::should(
            "urgent-amid-bytes",
            "TCP urgent data amid the stream takes nothing of what is around it.",
        )
        .sizes(3, 5, 8)
        .needs(&[Need::UrgentData, Need::Signals, Need::Threads])
        .of_tcp_alone()
        .process(urgent_amid_bytes),
        Case::should(
            "urgent-byte",
            "TCP urgent data neither ends the server nor changes the stream nor makes it spin.",
        )
        .sizes(300, 500, 1000)
        .needs(&[Need::UrgentData, Need::CpuTime])
        .of_tcp_alone()
        .process(urgent_byte),
    ],
};

const SECOND: Duration = Duration::from_secs(1);
/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCKED: Duration = Duration::from_millis(100);

fn one_byte(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.send(1)?;
    connection.receive_within(1, SECOND)?;
    Observation::met()
}

fn ping_pong(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    let mut slowest = Duration::ZERO;
    for _ in 0..peer.size() {
        let start = Instant::now();
        connection.exchange(5)?;
        slowest = slowest.max(peer.clock().undisturbed(start));
    }
    peer.clock().judge_rounds("the slowest round", slowest, SECOND)?;
    Observation::met()
}

fn all_byte_values(peer: &Peer) -> CaseResult {
    let mut message: Vec<u8> = (0..=255).collect();
    message.extend(b"\r\n\n\r\x1a\x04\0\0QUIT\r\nQ\nq\n.\r\n+++\xff\xf4\xff\xfd\x06");
    message.extend((0..=255).rev());
    let mut connection = peer.connect()?;
    connection.exchange_literal(&message)?;
    for value in 0..=255 {
        connection.exchange_literal(&[value])?;
    }
    Observation::met()
}

/// How connections begin that mean something to another server, and messages that a server may take
/// for none.
const OPENINGS: [&[u8]; 30] = [
    b"\xef\xbb\xbfbyte order mark",
    b"\xff\xfeU\0T\0F\0",
    b"\xfe\xff\0U\0T\0F",
    b"\r\n",
    b"\n",
    b"\0",
    &[0; 512],
    &[b' '; 64],
    b"  spaces on both sides \t\r\n",
    b"one line\r\nand another\r\n\r\n",
    b"quit\n",
    b"exit\r\n",
    b"bye\r\n",
    b"close\n",
    b".\r\n",
    b"PING\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"stats\r\n",
    b"EHLO localhost\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02",
    b"\x16\x03\x01\0\x05\x01\0\0\x01\0",
    b"SSH-2.0-client\r\n",
    b"\xff\xfb\x01\xff\xfd\x03",
    b"%s%n%d\\n\\0",
    b"{\"json\": null}\n",
    b"\x03\x04\x1a\x1b[0m\x7f",
];

fn opening_words(peer: &Peer) -> CaseResult {
    /// Bytes of an opening that come one by one, each once the one before is back.
    const PIECES: usize = 8;
    for opening in OPENINGS {
        let mut connection = peer.connect()?;
        // First, again, and after something else.
        for message in [opening, opening, b"something else", opening] {
            connection.exchange_literal(message)?;
        }
        connection.reset();
        // In small pieces: a server that guesses a protocol waits for more than there is.
        let mut connection = peer.connect()?;
        let (first, rest) = opening.split_at(opening.len().min(PIECES));
        first.iter().try_for_each(|byte| connection.exchange_literal(&[*byte]))?;
        connection.exchange_literal(rest)?;
        connection.reset();
    }
    for first in 0..=255 {
        let mut connection = peer.connect()?;
        connection.exchange_literal(&[first])?;
        connection.reset();
    }
    Observation::met()
}

fn size_sweep(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    for bytes in landmarks(peer.size() + 1, &mut peer.random(0)) {
        let mut flow = [Flow::new(&mut connection, bytes, peer.seed())];
        exchange(&mut flow, peer.clock()).map_err(|found| of_length(bytes, found))?;
    }
    Observation::met()
}

fn every_length(peer: &Peer) -> CaseResult {
    /// Bytes on their way at most, while several messages are: less than any buffer holds.
    const WINDOW: u64 = 16 * 1024;
    let mut connection = peer.connect()?;
    for bytes in 1..=peer.size() {
        connection.exchange(bytes).map_err(|found| of_length(bytes, found))?;
    }
    let mut in_flight = VecDeque::new();
    for bytes in 1..=peer.size() {
        connection.send(bytes)?;
        in_flight.push_back(bytes);
        while in_flight.iter().sum::<u64>() > WINDOW
            && let Some(first) = in_flight.pop_front()
        {
            connection.receive(first).map_err(|found| of_length(first, found))?;
        }
    }
    connection.receive_all()?;
    Observation::met()
}

/// A failure that says how long the message was.
fn of_length(bytes: u64, found: Failure) -> Failure {
    let expected = outside!("a message of {} bytes: {}", bytes, found.expected);
    Failure { expected, ..found }
}

fn chop_sweep(peer: &Peer) -> CaseResult {
    for piece in [1, 7, 64, 1460, 4096, 65536] {
        let mut connection = peer.connect()?;
        one_by_one(&mut connection, piece, peer.size() / 2)?;
        let rest = peer.size() - connection.sent();
        let flow = Flow::new(&mut connection, rest, peer.seed()).writes(Pieces::Of(piece));
        exchange(&mut [flow], peer.clock())?;
    }
    Observation::met()
}

/// Sends the first pieces of a stream, each once the one before is echoed: a busy host lets pieces
/// run together, and so it is certain that the server has read some of this size.
fn one_by_one(connection: &mut Connection, piece: usize, at_most: u64) -> Result<(), Failure> {
    const PIECES: u64 = 200;
    for _ in 0..PIECES.min(at_most / piece as u64) {
        connection.exchange(piece as u64)?;
    }
    Ok(())
}

fn random_chunks(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    let flow = Flow::new(&mut connection, peer.size(), peer.seed())
        .writes(Pieces::UpTo(64 * 1024))
        .reads(Pieces::UpTo(48 * 1024));
    exchange(&mut [flow], peer.clock())?;
    Observation::met()
}

fn many_small_writes(peer: &Peer) -> CaseResult {
    const PIECE: usize = 10;
    let mut connection = peer.connect()?;
    one_by_one(&mut connection, PIECE, peer.size())?;
    let rest = peer.size() * PIECE as u64 - connection.sent();
    let flow = Flow::new(&mut connection, rest, peer.seed()).writes(Pieces::Of(PIECE));
    exchange(&mut [flow], peer.clock())?;
    Observation::met()
}

fn order_under_pressure(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    let pauses = Pauses { one_in: 8, at_most: Duration::from_millis(20) };
    let flow = Flow::new(&mut connection, peer.size(), peer.seed())
        .reads(Pieces::UpTo(64 * 1024))
        .pauses(pauses);
    exchange(&mut [flow], peer.clock())?;
    Observation::met()
}

fn partial_write(peer: &Peer) -> CaseResult {
    let setup = Setup { receive_buffer: Some(4096), ..Setup::tight() };
    let mut connection = peer.connect_with(setup)?;
    // Reading only once the server could write no more makes sure that a write was cut short.
    let sent = connection.send_until_blocked(BLOCKED, peer.size())?;
    let flow = Flow::new(&mut connection, peer.size() - sent, peer.seed());
    exchange(&mut [flow.reads(Pieces::UpTo(8192))], peer.clock())?;
    Observation::met()
}

fn no_extra_bytes(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    for bytes in [1, 100, 5000] {
        connection.exchange(bytes)?;
        connection.expect_silence(Duration::from_millis(peer.size()))?;
    }
    Observation::met()
}

fn shrinking_messages(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    for bytes in [64 * 1024, 1, 3, 64 * 1024, 1000, 17] {
        connection.exchange(bytes)?;
    }
    connection.expect_silence(Duration::from_millis(100))?;
    Observation::met()
}

fn cross_connection_isolation(peer: &Peer) -> CaseResult {
    let mut connections = peer.connect_many(64)?;
    let mut flows: Vec<Flow> = connections
        .iter_mut()
        .map(|connection| Flow::new(connection, peer.size(), peer.seed()))
        .collect();
    exchange(&mut flows, peer.clock())?;
    Observation::met()
}

fn latency_no_stall(peer: &Peer) -> CaseResult {
    // Those that are accepted in one go are to be set up alike.
    let connections = peer.connect_many(4)?;
    for mut connection in connections.into_iter().step_by(3) {
        // A little more than a usual buffer holds, and exactly as much: more may be waited for.
        for bytes in [4_096, 4_196, 16_384, 16_484, 65_536, 65_636] {
            let mut rounds = (0..peer.size())
                .map(|_| {
                    let start = Instant::now();
                    connection.exchange(bytes).map(|()| start.elapsed())
                })
                .collect::<Result<Vec<Duration>, _>>()?;
            rounds.sort_unstable();
            let median = rounds[rounds.len() / 2];
            let what = format!("median round of {bytes} bytes, ms");
            // Not scaled: a delayed acknowledgement takes its 40 ms on any host, and the median of
            // many rounds far less even on a busy one.
            let ms = median.as_secs_f64() * 1e3;
            peer.clock().judge(FailureKind::Slow, &what, ms, 25.0)?;
        }
    }
    Observation::met()
}

fn data_with_connect(peer: &Peer) -> CaseResult {
    for _ in 0..peer.size() {
        let mut connection = peer.connect()?;
        connection.exchange(100)?;
        // Leaves nothing in TIME_WAIT.
        connection.reset();
    }
    Observation::met()
}

fn silent_until_spoken_to(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.expect_silence(Duration::from_millis(peer.size()))?;
    connection.exchange(100)?;
    Observation::met()
}

fn streams_before_eof(peer: &Peer) -> CaseResult {
    let mut connection: Connection = peer.connect()?;
    connection.exchange_literal(b"no newline")?;
    connection.send(10)?;
    connection.receive_within(10, SECOND)?;
    Observation::met()
}

fn no_rare_stall(peer: &Peer) -> CaseResult {
    /// Clients whose messages come together: one of their wake-ups may be lost.
    const CROWD: u64 = 8;
    let clock = peer.clock();
    let mut connection = peer.connect()?;
    for _ in 0..10 {
        connection.exchange(5)?;
    }
    stalls::expect_few("rounds", peer.size(), clock, || connection.exchange(5))?;
    let few = peer.size() / 6;
    stalls::expect_few("first rounds of new clients", few, clock, || {
        let mut connection = peer.connect()?;
        connection.exchange(5)?;
        connection.reset();
        Ok(())
    })?;
    let mut crowd = peer.connect_many(CROWD)?;
    stalls::expect_few("rounds of eight clients", few, clock, || {
        crowd.iter_mut().try_for_each(|client| client.send(5))?;
        crowd.iter_mut().try_for_each(|client| client.receive(5))
    })?;
    Observation::met()
}

fn urgent_amid_bytes(peer: &Peer, process: &Process) -> CaseResult {
    const AROUND: u64 = 1000;
    let mut connection = peer.connect()?;
    let mut seen = (Urgent::Dropped, Rest::Came);
    for _ in 0..peer.size() {
        connection.exchange(100)?;
        // So that it finds all of them at once.
        process.stop(peer.clock().progress())?;
        let sent = connection
            .send(AROUND)
            .and_then(|()| connection.send_urgent())
            .and_then(|()| connection.send(AROUND));
        process.signal(Signal::Continue)?;
        sent?;
        seen = connection.receive_around_urgent(AROUND)?;
    }
    connection.exchange(100)?;
    peer.serves()?;
    let urgent = match seen.0 {
        Urgent::Dropped => "the urgent byte does not come back",
        Urgent::InLine => "the urgent byte comes back in its place",
    };
    Observation::of(match seen.1 {
        Rest::Came => urgent.to_owned(),
        Rest::WaitedForMore => format!("{urgent}; what is behind it waits for more, flagged"),
    })
}

fn urgent_byte(peer: &Peer, process: &Process) -> CaseResult {
    let mut connection = peer.connect()?;
    for _ in 0..2 {
        connection.exchange(1000)?;
        // The server gets to see it with nothing before or behind it, and must not echo it.
        connection.expect_silence(Duration::from_millis(50))?;
        connection.send_urgent()?;
        connection.expect_silence(Duration::from_millis(50))?;
        connection.exchange(1000)?;
    }
    expect_quiet(process, Duration::from_millis(peer.size()), 0.10, peer.clock())?;
    connection.exchange(10)?;
    connection.receive_all()?;
    peer.serves()?;
    Observation::met()
}
