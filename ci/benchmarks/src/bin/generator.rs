//! Benchmarks the generator's hot path: making a message, comparing it, and a whole turn of the
//! loop. Next to the first two is their lower limit: a copy and a comparison of as many bytes.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use loadgen::Load;
use loadgen::payload::{Message, Payload};
use report::load::{Amount, Arrival, MessageSizes, Target, Workload};
use report::{Seed, Transport};

const SIZES: [u32; 3] = [64, 1024, 65_536];
/// Messages per load: enough that the cost of opening its connections does not matter.
const MESSAGES: u64 = 20_000;

fn payload(criterion: &mut Criterion) {
    for size in SIZES {
        let payload = Payload::new(Seed::new(1), &[size]);
        let mut bytes = vec![0; size as usize];
        let mut counter = 0;
        let mut next = move || {
            counter += 1;
            Message { connection: 3, counter }
        };
        let mut group = criterion.benchmark_group(format!("message-{size}"));
        group.throughput(Throughput::Bytes(u64::from(size)));
        group.bench_function("fill", |b| {
            b.iter(|| payload.fill(next(), 0, black_box(&mut bytes)));
        });
        let source = bytes.clone();
        group.bench_function("copy", |b| b.iter(|| black_box(&mut bytes).copy_from_slice(&source)));
        let message = next();
        payload.fill(message, 0, &mut bytes);
        group.bench_function("check", |b| {
            b.iter(|| payload.check(black_box(message), 0, black_box(&bytes)));
        });
        let other = bytes.clone();
        group.bench_function("compare", |b| b.iter(|| black_box(&bytes) == black_box(&other)));
        group.finish();
    }
}

fn turns(criterion: &mut Criterion) {
    let load = Load {
        workload: Workload {
            target: Target { transport: Transport::Tcp, address: echo().into() },
            connections: 1,
            idle_connections: 0,
            sizes: MessageSizes(vec![64]),
            pipeline: 64,
            arrival: Arrival::Closed,
            churn: false,
            connect_rate: None,
            warmup_seconds: 0.0,
            amount: Amount::Messages(MESSAGES),
            threads: 1,
            seed: Seed::new(1),
        },
        patience: Duration::from_secs(5),
        percentiles: vec![50.0],
        cpus: Vec::new(),
        noise_limit: loadgen::NOISE_LIMIT,
    };
    let mut group = criterion.benchmark_group("load");
    group.throughput(Throughput::Elements(MESSAGES)).sample_size(10);
    group.bench_function("messages", |b| {
        b.iter(|| loadgen::run(&load, &mut (), &AtomicBool::new(false)));
    });
    group.finish();
}

/// Starts an echo server with one thread per connection, which lives as long as this program.
fn echo() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            thread::spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address.to_string()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    payload(&mut criterion);
    turns(&mut criterion);
    criterion.final_summary();
}
