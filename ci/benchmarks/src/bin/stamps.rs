//! Benchmarks the judge's check of stamps. Every byte that a case receives goes through it.

use std::hint::black_box;
use std::sync::Arc;

use conformance::client::payload::Payload;
use conformance::key::Key;
use criterion::{Criterion, Throughput};
use report::Seed;

const SIZES: [usize; 3] = [64, 1024, 65_536];

fn stamps(criterion: &mut Criterion) {
    let payload = Payload::new(Arc::new(Key::from_seed(Seed::new(1))), 3);
    for size in SIZES {
        let mut bytes = payload.bytes(0, size);
        let other = bytes.clone();
        let mut group = criterion.benchmark_group(format!("stream-{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function("check", |b| {
            b.iter(|| payload.count_matching(black_box(0), black_box(&bytes)));
        });
        group.bench_function("compare", |b| b.iter(|| black_box(&bytes) == black_box(&other)));
        group.bench_function("fill", |b| b.iter(|| payload.fill(0, black_box(&mut bytes))));
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    stamps(&mut criterion);
    criterion.final_summary();
}
