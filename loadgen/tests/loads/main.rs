//! The generator against servers of known behaviour. It must report what they do, and no number if
//! they are wrong. No test expects anything to be fast, because a host may be slow at times.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use loadgen::{Load, Recording, Watch};
use report::load::{Amount, Arrival, Ending, MessageSizes, Target, Validity, Workload};
use report::{Seed, Transport};

mod servers;
mod wrong;

use servers::Action;

const MESSAGE_BYTES: u32 = 64;

/// A short closed loop of a few connections.
fn load(transport: Transport, address: impl ToString) -> Load {
    Load {
        workload: Workload {
            target: Target { transport, address: address.to_string().into() },
            connections: 4,
            idle_connections: 0,
            sizes: MessageSizes(vec![MESSAGE_BYTES]),
            pipeline: 1,
            arrival: Arrival::Closed,
            churn: false,
            connect_rate: None,
            warmup_seconds: 0.05,
            amount: Amount::Seconds(0.3),
            threads: 1,
            seed: Seed::new(7),
        },
        patience: Duration::from_secs(10),
        percentiles: vec![50.0, 99.0],
        cpus: Vec::new(),
        noise_limit: Duration::from_secs(60),
    }
}

fn tcp(address: SocketAddr) -> Load {
    load(Transport::Tcp, address)
}

fn run(load: &Load) -> Recording {
    loadgen::run(load, &mut (), &AtomicBool::new(false)).expect("a load that makes sense")
}

#[track_caller]
fn expect_valid(recording: &Recording) {
    let measurement = &recording.measurement;
    // The server shares this host's processors, so the generator may never be idle.
    let is_saturated = |reason: &report::Outside| reason.contains("was saturated");
    match &measurement.validity {
        Validity::Valid => assert!(measurement.throughput.is_some()),
        Validity::Invalid { reasons } => assert!(reasons.iter().all(is_saturated), "{reasons:?}"),
    }
    assert_eq!(measurement.errors, BTreeMap::new());
    assert_eq!(measurement.traffic.sent, measurement.traffic.echoed);
    assert!(measurement.traffic.echoed > 0);
}

#[test]
fn every_transport_and_shape_of_load_is_echoed() {
    let address = servers::echo();
    expect_valid(&run(&tcp(address)));
    let shapes: [fn(&mut Workload); 7] = [
        |workload| workload.pipeline = 16,
        |workload| workload.sizes = MessageSizes(vec![1, 1000, 300_000]),
        |workload| workload.threads = 3,
        |workload| workload.idle_connections = 50,
        |workload| workload.churn = true,
        |workload| workload.connect_rate = Some(200.0),
        |workload| {
            workload.sizes = MessageSizes(vec![200_000]);
            workload.pipeline = 8;
        },
    ];
    for shape in shapes {
        let mut load = tcp(address);
        shape(&mut load.workload);
        expect_valid(&run(&load));
    }
    let mut load = load(Transport::Udp, servers::udp(|_| 1));
    expect_valid(&run(&load));
    load.workload.pipeline = 4;
    expect_valid(&run(&load));
}

#[cfg(unix)]
#[test]
fn a_server_on_a_path_is_loaded_too() {
    let path = std::env::temp_dir().join(format!("loadgen-{}.sock", std::process::id()));
    servers::unix(&path);
    let mut load = load(Transport::Unix, path.display());
    // More than fit into the listener's backlog of 128.
    load.workload.connections = 300;
    let recording = run(&load);
    std::fs::remove_file(&path).unwrap();
    expect_valid(&recording);
}

#[test]
fn a_number_of_messages_is_kept_exactly() {
    let address = servers::echo();
    for threads in [1, 3] {
        let mut load = tcp(address);
        load.workload.amount = Amount::Messages(1001);
        load.workload.threads = threads;
        let recording = run(&load);
        expect_valid(&recording);
        assert_eq!(recording.measurement.traffic.echoed, 1001);
        assert_eq!(recording.histograms.service.len(), 1001);
    }
}

#[test]
fn a_known_delay_is_reported() {
    let delay = Duration::from_millis(20);
    let address = servers::tcp(move |_, _, _| {
        thread::sleep(delay);
        Action::Echo
    });
    let recording = run(&tcp(address));
    expect_valid(&recording);
    let service = recording.measurement.service.unwrap();
    assert!(service.min_ns >= 20_000_000, "{service:?}");
    // 4 connections in 0.3 s, at 20 ms per message: at most 60 messages.
    assert!(recording.measurement.traffic.echoed <= 60 + 4);
    let rate = recording.measurement.throughput.unwrap().messages_per_second;
    assert!(rate <= 4.0 / 0.020 + 14.0, "{rate}");
}

#[test]
fn an_open_loop_shows_the_queue_that_a_stall_causes() {
    let stall = Duration::from_millis(400);
    let stalls_at = std::sync::Mutex::new(None);
    // All connections share one lock, so that a stall stops all of them.
    let address = servers::tcp(move |_, _, number| {
        let mut stalled = stalls_at.lock().unwrap();
        if number > 200 && stalled.is_none() {
            *stalled = Some(number);
            thread::sleep(stall);
        }
        Action::Echo
    });
    let mut load = tcp(address);
    load.workload.arrival = Arrival::Open { messages_per_second: 1000.0 };
    load.workload.amount = Amount::Seconds(1.2);
    let recording = run(&load);
    let slow =
        |histogram: &hdrhistogram::Histogram<u64>| histogram.count_between(200_000_000, u64::MAX);
    let (response, service) = (&recording.histograms.response, &recording.histograms.service);
    // Messages that were due in the first 200 ms of the stall waited for at least 200 ms.
    assert!(slow(response) >= 190, "{} slow of {}", slow(response), response.len());
    // Only one message per connection was in flight, and a closed loop would have seen only these.
    assert!((1..=40).contains(&slow(service)), "{} slow", slow(service));
    assert_eq!(recording.measurement.errors, BTreeMap::new());
}

#[test]
fn messages_that_a_server_has_no_time_for_count_too() {
    let address = servers::tcp(|_, _, _| {
        thread::sleep(Duration::from_millis(10));
        Action::Echo
    });
    let mut load = tcp(address);
    // 4 connections with one message in flight each, at 10 ms per message: at most 400 per second.
    load.workload.arrival = Arrival::Open { messages_per_second: 4000.0 };
    load.workload.amount = Amount::Seconds(0.5);
    let recording = run(&load);
    assert_eq!(recording.histograms.response.len(), 2000);
    assert!(recording.measurement.traffic.echoed <= 220);
    assert!(recording.measurement.notes.iter().any(|note| note.contains("did not keep up")));
    // Most of them had to wait for longer than a quarter of the load.
    assert!(recording.histograms.response.value_at_quantile(0.9) > 125_000_000);
}

#[test]
fn an_open_loop_of_a_number_of_messages_records_those_alone() {
    let address = servers::tcp(|_, _, _| {
        thread::sleep(Duration::from_millis(5));
        Action::Echo
    });
    let mut load = tcp(address);
    load.workload.arrival = Arrival::Open { messages_per_second: 8000.0 };
    load.workload.amount = Amount::Messages(100);
    let recording = run(&load);
    assert_eq!(recording.histograms.response.len(), 100);
    assert_eq!(recording.measurement.traffic.echoed, 100);
}

#[test]
fn an_interruption_leaves_what_was_measured() {
    struct Interrupt<'a>(&'a AtomicBool);
    impl Watch for Interrupt<'_> {
        fn window_begins(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let address = servers::tcp(|_, _, _| {
        thread::sleep(Duration::from_millis(1));
        Action::Echo
    });
    let mut load = tcp(address);
    load.workload.amount = Amount::Seconds(600.0);
    let interrupted = AtomicBool::new(false);
    let start = Instant::now();
    let recording = loadgen::run(&load, &mut Interrupt(&interrupted), &interrupted).unwrap();
    assert_eq!(recording.measurement.ending, Ending::Interrupted);
    assert!(recording.measurement.seconds <= start.elapsed().as_secs_f64());
    assert_eq!(recording.measurement.errors, BTreeMap::new());
}

#[test]
fn the_measured_part_is_announced_with_its_messages() {
    #[derive(Default)]
    struct Seen {
        begun: u32,
        echoed: Vec<u64>,
    }
    impl Watch for Seen {
        fn window_begins(&mut self) {
            self.begun += 1;
        }
        fn window_ends(&mut self, echoed: u64) {
            self.echoed.push(echoed);
        }
    }
    let address = servers::echo();
    for amount in [Amount::Seconds(0.3), Amount::Messages(500)] {
        let mut load = tcp(address);
        load.workload.amount = amount;
        let mut seen = Seen::default();
        loadgen::run(&load, &mut seen, &AtomicBool::new(false)).unwrap();
        assert_eq!((seen.begun, seen.echoed.len()), (1, 1));
        // The watch counts on another thread, and may miss a few messages.
        assert!(seen.echoed[0] > 0 || matches!(amount, Amount::Messages(_)));
    }
}
