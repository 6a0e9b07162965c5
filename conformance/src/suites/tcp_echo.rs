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
use crate::expectation::expect_low_cpu;
use crate::suites::stalls;

/// A constant, because `life` leaves this case out: it takes long if the server delays each echo.
pub(super) const EVERY_LENGTH: &str = "every-length";

pub(super) const SUITE: Suite = Suite {
    name: "tcp-echo",
    about: "Every byte comes back once and in order on its own connection, and nothing else does.",
    question: Question::Bytes,
    cases: &[
        Case::must("one-byte", "A single byte comes back within 1 s.").wire(one_byte),
        Case::must("ping-pong-1000", "Each of 1,000 small messages comes back within 1 s.")
            .sizes(1000, 1000, 1000)
            .wire(ping_pong),
        Case::must(
            "all-byte-values",
            "No byte value or byte sequence has a special meaning to the server.",
        )
        .wire(all_byte_values),
        Case::must(
            "opening-words",
            "A connection's first message, or a repeated one, has no special meaning to the \
             server.",
        )
        .wire(opening_words),
        Case::must(
            "size-sweep",
            "Messages with the lengths of common buffers, or one byte less or more, come back \
             whole.",
        )
        .sizes(128 * 1024, 1024 * 1024, 16 * 1024 * 1024)
        .wire(size_sweep),
        Case::must(EVERY_LENGTH, "Messages of every length up to 4,200 bytes come back whole.")
            .sizes(4200, 4200, 33_000)
            .wire(every_length),
        Case::must(
            "chop-sweep",
            "A stream comes back whole, whatever the size of the client's writes.",
        )
        .sizes(16 * 1024, 128 * 1024, 1024 * 1024)
        .wire(chop_sweep),
        Case::must(
            "random-chunks",
            "A stream comes back whole while the client writes and reads pieces of random sizes.",
        )
        .sizes(1024 * 1024, 2 * 1024 * 1024, 4 * 1024 * 1024)
        .wire(random_chunks),
        Case::must("many-small-writes", "Thousands of writes of 10 bytes come back whole.")
            .sizes(2_000, 10_000, 100_000)
            .wire(many_small_writes),
        Case::must(
            "order-under-pressure",
            "A client that pauses its reads at random gets the stream in order.",
        )
        .sizes(4 * 1024 * 1024, 8 * 1024 * 1024, 64 * 1024 * 1024)
        .wire(order_under_pressure),
        Case::must("partial-write", "A client with a tiny receive buffer gets every byte.")
            // A smaller stream may fit into the server's send buffer, which Linux grows to 4 MiB.
            .sizes(512 * 1024, 4 * 1024 * 1024, 4 * 1024 * 1024)
            .wire(partial_write),
        Case::must("no-extra-bytes", "The server sends nothing after the echo.")
            .sizes(300, 300, 300)
            .wire(no_extra_bytes),
        Case::must(
            "shrinking-messages",
            "The echo of a short message contains nothing of a longer message before it.",
        )
        .wire(shrinking_messages),
        Case::must(
            "cross-connection-isolation",
            "No connection ever gets a byte of another connection.",
        )
        .sizes(32 * 1024, 128 * 1024, 1024 * 1024)
        .needs(&[Need::Descriptors(64)])
        .wire(cross_connection_isolation),
        Case::must(
            "latency-no-stall",
            "Nagle's algorithm does not delay a message that the server echoes in several writes.",
        )
        .sizes(10, 20, 50)
        .exclusive_timed()
        .level_below_contract(Level::Should)
        .answers(Question::Promptness)
        .wire(latency_no_stall),
        Case::must(
            "data-with-connect",
            "The server echoes bytes that a client sends as soon as it has connected.",
        )
        .sizes(50, 200, 500)
        .tcp_only()
        .wire(data_with_connect),
        Case::must(
            "silent-until-spoken-to",
            "The server does not send before the client does, and does not close a silent \
             connection.",
        )
        .sizes(500, 500, 500)
        .wire(silent_until_spoken_to),
        Case::must(
            "streams-before-eof",
            "The server echoes bytes without waiting for a line feed, a full buffer or FIN.",
        )
        .wire(streams_before_eof),
        Case::must(
            "no-rare-stall",
            "Among thousands of small messages and new clients, none waits for a timer.",
        )
        .sizes(1500, 3000, 30_000)
        .level_below_contract(Level::Should)
        .answers(Question::Promptness)
        .answering_failures(&[FailureKind::Slow])
        .exclusive_timed()
        .wire(no_rare_stall),
        Case::should(
            "urgent-amid-bytes",
            "The bytes before and after TCP urgent data come back whole.",
        )
        .sizes(3, 5, 8)
        .needs(&[Need::UrgentData, Need::Signals, Need::Threads])
        .tcp_only()
        .process(urgent_amid_bytes),
        Case::should(
            "urgent-byte",
            "TCP urgent data does not end the server, change the stream, or make the server spin.",
        )
        .sizes(300, 500, 1000)
        .needs(&[Need::UrgentData, Need::CpuTime])
        .tcp_only()
        .process(urgent_byte),
    ],
};

const SECOND: Duration = Duration::from_secs(1);
/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCK_TIME: Duration = Duration::from_millis(100);

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
        slowest = slowest.max(peer.clock().elapsed_without_held_back(start));
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

/// Openings that mean something to servers of other protocols, and messages that a server may take
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
    /// Bytes of an opening that are sent one by one, each after the echo of the one before.
    const PIECES: usize = 8;
    for opening in OPENINGS {
        let mut connection = peer.connect()?;
        // As first message, repeated, and after another message.
        for message in [opening, opening, b"something else", opening] {
            connection.exchange_literal(message)?;
        }
        connection.reset();
        // In small pieces: a server that guesses the protocol would wait for more.
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
        exchange(&mut flow, peer.clock()).map_err(|found| add_length(bytes, found))?;
    }
    Observation::met()
}

fn every_length(peer: &Peer) -> CaseResult {
    /// The most bytes in flight while several messages are: less than any buffer holds.
    const WINDOW: u64 = 16 * 1024;
    let mut connection = peer.connect()?;
    for bytes in 1..=peer.size() {
        connection.exchange(bytes).map_err(|found| add_length(bytes, found))?;
    }
    let mut in_flight = VecDeque::new();
    for bytes in 1..=peer.size() {
        connection.send(bytes)?;
        in_flight.push_back(bytes);
        while in_flight.iter().sum::<u64>() > WINDOW
            && let Some(first) = in_flight.pop_front()
        {
            connection.receive(first).map_err(|found| add_length(first, found))?;
        }
    }
    connection.receive_all()?;
    Observation::met()
}

/// Adds the length of the message to a failure.
fn add_length(bytes: u64, found: Failure) -> Failure {
    let expected = outside!("a message of {} bytes: {}", bytes, found.expected);
    Failure { expected, ..found }
}

fn chop_sweep(peer: &Peer) -> CaseResult {
    for piece in [1, 7, 64, 1460, 4096, 65536] {
        let mut connection = peer.connect()?;
        exchange_one_by_one(&mut connection, piece, peer.size() / 2)?;
        let rest = peer.size() - connection.sent_bytes();
        let flow = Flow::new(&mut connection, rest, peer.seed()).writes(Pieces::Fixed(piece));
        exchange(&mut [flow], peer.clock())?;
    }
    Observation::met()
}

/// Sends the first pieces of a stream, each after the echo of the one before. On a busy host,
/// pieces run together; this way, the server certainly reads some of this size.
fn exchange_one_by_one(
    connection: &mut Connection,
    piece: usize,
    at_most: u64,
) -> Result<(), Failure> {
    const PIECES: u64 = 200;
    for _ in 0..PIECES.min(at_most / piece as u64) {
        connection.exchange(piece as u64)?;
    }
    Ok(())
}

fn random_chunks(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    let flow = Flow::new(&mut connection, peer.size(), peer.seed())
        .writes(Pieces::RandomUpTo(64 * 1024))
        .reads(Pieces::RandomUpTo(48 * 1024));
    exchange(&mut [flow], peer.clock())?;
    Observation::met()
}

fn many_small_writes(peer: &Peer) -> CaseResult {
    const PIECE: usize = 10;
    let mut connection = peer.connect()?;
    exchange_one_by_one(&mut connection, PIECE, peer.size())?;
    let rest = peer.size() * PIECE as u64 - connection.sent_bytes();
    let flow = Flow::new(&mut connection, rest, peer.seed()).writes(Pieces::Fixed(PIECE));
    exchange(&mut [flow], peer.clock())?;
    Observation::met()
}

fn order_under_pressure(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    let pauses = Pauses { reads_per_pause: 8, longest: Duration::from_millis(20) };
    let flow = Flow::new(&mut connection, peer.size(), peer.seed())
        .reads(Pieces::RandomUpTo(64 * 1024))
        .pauses(pauses);
    exchange(&mut [flow], peer.clock())?;
    Observation::met()
}

fn partial_write(peer: &Peer) -> CaseResult {
    let setup = Setup { receive_buffer_bytes: Some(4096), ..Setup::small_buffers() };
    let mut connection = peer.connect_with(setup)?;
    // The client reads only once the server cannot write any more, so that a write was certainly
    // cut short.
    let sent = connection.send_until_blocked(BLOCK_TIME, peer.size())?;
    let flow = Flow::new(&mut connection, peer.size() - sent, peer.seed());
    exchange(&mut [flow.reads(Pieces::RandomUpTo(8192))], peer.clock())?;
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
    Connection::release_all(connections);
    Observation::met()
}

fn latency_no_stall(peer: &Peer) -> CaseResult {
    // Connections that the server accepts in one go must all be set up alike.
    let connections = peer.connect_many(4)?;
    for mut connection in connections.into_iter().step_by(3) {
        // Exactly as much as a usual buffer holds, after which a server may wait for more, and a
        // little more than that.
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
            // Not scaled by the host factor: a delayed acknowledgement takes 40 ms on any host, and
            // the median round takes far less, even on a busy one.
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
        // A reset leaves no port in TIME_WAIT.
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
    /// Clients that send at the same time, so that one of their wake-ups may be lost.
    const CROWD: u64 = 8;
    let clock = peer.clock();
    let mut connection = peer.connect()?;
    for _ in 0..10 {
        connection.exchange(5)?;
    }
    stalls::expect_few_stalls("rounds", peer.size(), clock, || connection.exchange(5))?;
    let few = peer.size() / 6;
    stalls::expect_few_stalls("first rounds of new clients", few, clock, || {
        let mut connection = peer.connect()?;
        connection.exchange(5)?;
        connection.reset();
        Ok(())
    })?;
    let mut crowd = peer.connect_many(CROWD)?;
    stalls::expect_few_stalls("rounds of eight clients", few, clock, || {
        crowd.iter_mut().try_for_each(|client| client.send(5))?;
        crowd.iter_mut().try_for_each(|client| client.receive(5))
    })?;
    Observation::met()
}

fn urgent_amid_bytes(peer: &Peer, process: &Process) -> CaseResult {
    const BYTES_AROUND: u64 = 1000;
    let mut connection = peer.connect()?;
    let mut seen = (Urgent::Dropped, Rest::Echoed);
    for _ in 0..peer.size() {
        connection.exchange(100)?;
        // Suspended, so that the server finds all these bytes at once.
        process.stop(peer.clock().progress_deadline())?;
        let sent = connection
            .send(BYTES_AROUND)
            .and_then(|()| connection.send_urgent())
            .and_then(|()| connection.send(BYTES_AROUND));
        process.signal(Signal::Continue)?;
        sent?;
        seen = connection.receive_around_urgent(BYTES_AROUND)?;
    }
    connection.exchange(100)?;
    peer.expect_service()?;
    let urgent = match seen.0 {
        Urgent::Dropped => "the urgent byte does not come back",
        Urgent::InLine => "the urgent byte comes back in its place",
    };
    Observation::recorded(match seen.1 {
        Rest::Echoed => urgent.to_owned(),
        Rest::EchoedAfterMore => format!("{urgent}; what is behind it waits for more, flagged"),
    })
}

fn urgent_byte(peer: &Peer, process: &Process) -> CaseResult {
    let mut connection = peer.connect()?;
    for _ in 0..2 {
        connection.exchange(1000)?;
        // The server sees the urgent byte with nothing before or after it, and must not echo it.
        connection.expect_silence(Duration::from_millis(50))?;
        connection.send_urgent()?;
        connection.expect_silence(Duration::from_millis(50))?;
        connection.exchange(1000)?;
    }
    expect_low_cpu(process, Duration::from_millis(peer.size()), 0.10, peer.clock())?;
    connection.exchange(10)?;
    connection.receive_all()?;
    peer.expect_service()?;
    Observation::met()
}
