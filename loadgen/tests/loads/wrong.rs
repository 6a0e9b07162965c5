//! Servers that are wrong, and workloads that make no sense: what the generator reports.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use loadgen::Recording;
use loadgen::payload::Payload;
use report::load::{Amount, Arrival, Ending, ErrorKind, MessageSizes, Validity, Workload};
use report::{Seed, Transport};
use socket2::{Domain, Socket, Type};

use crate::servers::{self, Action};
use crate::{MESSAGE_BYTES, load, run, tcp};

/// Expects an invalid measurement with exactly these errors and no numbers.
#[track_caller]
fn expect_errors(recording: &Recording, errors: &[(ErrorKind, u64)]) {
    let measurement = &recording.measurement;
    assert!(!measurement.validity.is_valid());
    assert_eq!(measurement.errors, errors.iter().copied().collect(), "{:?}", measurement.notes);
    assert_eq!(measurement.throughput, None);
    assert_eq!(measurement.service, None);
    assert_eq!(measurement.response, None);
}

#[test]
fn a_server_that_drips_its_last_answers_is_not_waited_for_without_end() {
    use std::io::Write as _;
    // After 20 reads, one byte every 50 ms. Each byte is progress.
    let address = servers::tcp(|stream, bytes, number| {
        if number < 20 {
            return Action::Echo;
        }
        for byte in bytes.iter() {
            thread::sleep(Duration::from_millis(50));
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
        }
        bytes.clear();
        Action::Echo
    });
    let mut load = tcp(address);
    load.workload.sizes = MessageSizes(vec![4000]);
    load.patience = Duration::from_secs(2);
    let recording = run(&load);
    assert_eq!(recording.measurement.ending, Ending::Abandoned);
    let Validity::Invalid { reasons } = recording.measurement.validity else { panic!("valid") };
    assert!(reasons[0].contains("took too long"), "{reasons:?}");
}

#[test]
fn a_changed_bit_is_refused() {
    let address = servers::tcp(|_, bytes, number| {
        if number == 100 {
            bytes[40] ^= 1;
        }
        Action::Echo
    });
    let recording = run(&tcp(address));
    expect_errors(&recording, &[(ErrorKind::Altered, 1), (ErrorKind::Lost, 1)]);
    assert!(
        recording.measurement.notes[0].contains("byte 40"),
        "{:?}",
        recording.measurement.notes
    );
}

#[test]
fn what_is_wrong_is_called_by_its_name() {
    let payload = Payload::new(Seed::new(7), &[MESSAGE_BYTES]);
    let foreign = servers::tcp(move |_, bytes, number| {
        if number == 100 {
            let own = payload.decode(bytes).unwrap().connection;
            let message = loadgen::payload::Message { connection: own ^ 1, counter: 1 };
            payload.fill(message, 0, bytes);
        }
        Action::Echo
    });
    let twice = servers::tcp(|stream, bytes, number| {
        if number == 100 {
            use std::io::Write as _;
            stream.write_all(bytes).unwrap();
        }
        Action::Echo
    });
    let surplus = servers::tcp(|_, bytes, number| {
        if number == 100 {
            bytes.push(b'!');
        }
        Action::Echo
    });
    let recording = run(&tcp(foreign));
    expect_errors(&recording, &[(ErrorKind::Foreign, 1), (ErrorKind::Lost, 1)]);
    for (address, kind) in [(twice, ErrorKind::Duplicated), (surplus, ErrorKind::Extra)] {
        let recording = run(&tcp(address));
        assert!(!recording.measurement.validity.is_valid());
        let count = |kind| recording.measurement.errors.get(&kind).copied().unwrap_or(0);
        // The extra bytes may also be compared with the next message.
        let found = count(kind) + count(ErrorKind::Altered);
        assert_eq!(found, 1, "{kind}: {:?}", recording.measurement.notes);
    }
}

#[test]
fn a_server_that_closes_makes_it_invalid_at_once() {
    let address =
        servers::tcp(|_, _, number| if number >= 50 { Action::Close } else { Action::Echo });
    let mut load = tcp(address);
    load.workload.amount = Amount::Seconds(600.0);
    let recording = run(&load);
    assert_eq!(recording.measurement.ending, Ending::Abandoned);
    let closed: u64 = [ErrorKind::Closed, ErrorKind::Reset]
        .iter()
        .filter_map(|kind| recording.measurement.errors.get(kind))
        .sum();
    assert_eq!(closed, 4, "{:?}", recording.measurement.errors);
}

#[test]
fn a_server_that_stalls_for_good_is_given_up() {
    let address = servers::tcp(|_, _, number| {
        if number >= 50 {
            thread::sleep(Duration::from_secs(600));
        }
        Action::Echo
    });
    for arrival in [Arrival::Closed, Arrival::Open { messages_per_second: 500.0 }] {
        let mut load = tcp(address);
        load.workload.arrival = arrival;
        load.workload.amount = Amount::Seconds(600.0);
        load.patience = Duration::from_secs(2);
        let recording = run(&load);
        assert_eq!(recording.measurement.ending, Ending::Abandoned);
        let Validity::Invalid { reasons } = recording.measurement.validity else { panic!("valid") };
        assert!(reasons[0].contains("no answer for 2 s on 4 of 4"), "{reasons:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_said_to_be() {
    // Bound but not listening, so nobody else can get the port.
    let nobody = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    nobody.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = nobody.local_addr().unwrap().as_socket().unwrap();
    for churn in [false, true] {
        let mut load = tcp(address);
        load.workload.churn = churn;
        load.workload.amount = Amount::Seconds(600.0);
        // Windows sends three SYN before it refuses, which takes 2 s. Others refuse at once.
        load.patience = Duration::from_secs(10);
        let recording = run(&load);
        let Validity::Invalid { reasons } = recording.measurement.validity else { panic!("valid") };
        let all = [reasons, recording.measurement.notes].concat();
        assert!(all.iter().any(|said| said.contains("refused")), "{all:?}");
    }
}

#[test]
fn datagrams_may_be_lost_but_not_come_twice() {
    let mut load = load(Transport::Udp, servers::udp(|number| usize::from(number % 500 != 499)));
    load.workload.amount = Amount::Seconds(1.5);
    let recording = run(&load);
    let lost = recording.measurement.errors.get(&ErrorKind::Lost).copied().unwrap_or(0);
    assert!(lost > 0, "{:?}", recording.measurement);
    assert_eq!(recording.measurement.errors.len(), 1);
    assert!(recording.measurement.traffic.echoed > 0);

    load.workload.target.address =
        servers::udp(|number| 1 + usize::from(number == 99)).to_string().into();
    let mut recording = run(&load);
    // A host that stalls for a second loses some datagrams itself.
    recording.measurement.errors.remove(&ErrorKind::Lost);
    expect_errors(&recording, &[(ErrorKind::Duplicated, 1)]);
}

#[test]
fn workloads_that_make_no_sense_are_refused_with_what_to_write() {
    type Spoil = fn(&mut Workload);
    let wrong: [(Spoil, &str); 6] = [
        (|workload| workload.connections = 0, "1 at the least"),
        (|workload| workload.threads = 5, "fewer threads"),
        (|workload| workload.sizes = MessageSizes(vec![0]), "1 byte"),
        (|workload| workload.target.transport = Transport::Udp, "datagram"),
        (|workload| workload.amount = Amount::Seconds(0.0), "duration"),
        (|workload| workload.arrival = Arrival::Open { messages_per_second: -1.0 }, "rate"),
    ];
    for (spoil, expected) in wrong {
        let mut load = tcp(SocketAddr::from(([127, 0, 0, 1], 9)));
        load.workload.sizes = MessageSizes(vec![8]);
        spoil(&mut load.workload);
        let error = loadgen::run(&load, &mut (), &AtomicBool::new(false)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
