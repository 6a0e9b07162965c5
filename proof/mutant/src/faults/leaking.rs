//! Faults that leak a little per connection, message or interval. One leak is invisible, but all
//! together end a server after a month.

use std::thread;
use std::time::{Duration, Instant};

use super::Fault;
use crate::connection::{Connection, End, Over};
use crate::hooks::Hooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("leaks-1-kib", "Leaks 1 KiB of memory for each connection that ends", || {
        Box::new(Keeps::after(|_, _| 1024))
    }),
    Fault::new(
        "leaks-1-kib-on-fin",
        "Leaks 1 KiB of memory for each connection that ends cleanly after at least one byte",
        || Box::new(Keeps::after(|c, end| if is_fin(end) && c.bytes_read > 0 { 1024 } else { 0 })),
    ),
    Fault::new(
        "leaks-100-kib-on-fin",
        "Leaks 100 KiB of memory for each connection that ends cleanly",
        || Box::new(Keeps::after(|_, end| if is_fin(end) { 100 * 1024 } else { 0 })),
    ),
    Fault::new(
        "leaks-1-kib-amid-echo",
        "Leaks 1 KiB of memory for each connection that fails after at least 10 KiB",
        || {
            let is_amid = |c: &Connection, end| !is_fin(end) && c.bytes_read >= 10 * 1024;
            Box::new(Keeps::after(move |c, end| if is_amid(c, end) { 1024 } else { 0 }))
        },
    ),
    Fault::new(
        "leaks-1-kib-if-silent",
        "Leaks 1 KiB of memory for each connection that ends cleanly without a byte",
        || Box::new(Keeps::after(|c, end| if is_fin(end) && c.bytes_read == 0 { 1024 } else { 0 })),
    ),
    Fault::settable(
        "leaks-in-large-steps",
        "Leaks 1 KiB of memory per connection, all of it at every 300th connection (settable)",
        300,
        |at| {
            let mut count = 0;
            Box::new(Keeps::after(move |_, _| {
                count += 1;
                if count % at == 0 { usize::try_from(at).unwrap_or(0) * 1024 } else { 0 }
            }))
        },
    ),
    Fault::new(
        "leaks-1-kib-over-unix",
        "Leaks 1 KiB of memory for each Unix connection that ends",
        || Box::new(Keeps::after(|c, _| if c.over == Over::Unix { 1024 } else { 0 })),
    ),
    Fault::settable(
        "leaks-80-bytes-a-message",
        "Leaks 80 bytes (settable) of memory per read",
        80,
        |at| Box::new(OfMessages::new(move |_| usize::try_from(at).unwrap_or(0))),
    ),
    Fault::new(
        "leaks-of-small-messages",
        "Leaks 32 bytes of memory per read of less than 1 KiB",
        || Box::new(OfMessages::new(|bytes| if bytes < 1024 { 32 } else { 0 })),
    ),
    Fault::new(
        "leaks-a-fiftieth",
        "Leaks memory for a fiftieth of the bytes of each read of at least 1 KiB",
        || Box::new(OfMessages::new(|bytes| if bytes < 1024 { 0 } else { bytes / 50 })),
    ),
    Fault::settable(
        "leaks-thread-each-10th",
        "Starts a thread that never ends for every 10th connection (settable) that ends",
        10,
        |at| Box::new(LeaksThreads { each: at, leaks: |_| true, count: 0 }),
    ),
    Fault::settable(
        "leaks-thread-on-reset",
        "Starts a thread that never ends for every 10th connection (settable) that fails",
        10,
        |at| Box::new(LeaksThreads { each: at, leaks: |end| !is_fin(end), count: 0 }),
    ),
    Fault::new("leaks-when-idle", "Leaks 100 KiB of memory every 100 ms", || {
        Box::new(LeaksInTime::new(100 * 1024, |_| true))
    }),
    Fault::new(
        "leaks-without-clients",
        "Leaks 12 KiB of memory every 100 ms while no connection is open",
        || Box::new(LeaksInTime::new(12 * 1024, |open| open == 0)),
    ),
    Fault::new(
        "leaks-beside-silent",
        "Leaks 256 bytes of memory per open connection every 100 ms",
        || Box::new(LeaksInTime::new(256, |open| open > 0).for_each()),
    ),
];

fn is_fin(end: End) -> bool {
    end == End::Finished
}

/// Memory that is never freed. It is not zeroed: zeroed pages take no memory until written.
#[derive(Default)]
struct Leaked(Vec<Vec<u8>>);

impl Leaked {
    fn add(&mut self, bytes: usize) {
        if bytes > 0 {
            self.0.push(vec![0xa5; bytes]);
        }
    }
}

/// Leaks memory for connections that end.
struct Keeps<F> {
    bytes: F,
    leaked: Leaked,
}

impl<F: FnMut(&Connection, End) -> usize> Keeps<F> {
    fn after(bytes: F) -> Self {
        Self { bytes, leaked: Leaked::default() }
    }
}

impl<F: FnMut(&Connection, End) -> usize> Hooks for Keeps<F> {
    fn closed(&mut self, connection: &mut Connection, end: End) {
        let bytes = (self.bytes)(connection, end);
        self.leaked.add(bytes);
    }
}

/// Leaks memory for each read.
struct OfMessages<F> {
    bytes: F,
    leaked: Leaked,
}

impl<F: FnMut(usize) -> usize> OfMessages<F> {
    fn new(bytes: F) -> Self {
        Self { bytes, leaked: Leaked::default() }
    }
}

impl<F: FnMut(usize) -> usize> Hooks for OfMessages<F> {
    fn received(&mut self, connection: &mut Connection) {
        let bytes = (self.bytes)(connection.fresh().len());
        self.leaked.add(bytes);
    }
}

struct LeaksThreads {
    each: u64,
    leaks: fn(End) -> bool,
    count: u64,
}

impl Hooks for LeaksThreads {
    fn closed(&mut self, _connection: &mut Connection, end: End) {
        self.count += u64::from((self.leaks)(end));
        if (self.leaks)(end) && self.count.is_multiple_of(self.each) {
            // The server keeps serving even if no thread can be started.
            let _ = thread::Builder::new().stack_size(64 * 1024).spawn(|| {
                loop {
                    thread::park();
                }
            });
        }
    }
}

/// Leaks memory every [`LeaksInTime::EACH`].
struct LeaksInTime {
    bytes: usize,
    when: fn(open: usize) -> bool,
    for_each: bool,
    next: Instant,
    leaked: Leaked,
}

impl LeaksInTime {
    const EACH: Duration = Duration::from_millis(100);

    fn new(bytes: usize, when: fn(open: usize) -> bool) -> Self {
        Self { bytes, when, for_each: false, next: Instant::now(), leaked: Leaked::default() }
    }

    fn for_each(self) -> Self {
        Self { for_each: true, ..self }
    }
}

impl Hooks for LeaksInTime {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        connections: &[Option<Connection>],
    ) -> Option<Duration> {
        let open = connections.iter().flatten().count();
        if self.next <= Instant::now() {
            self.next = Instant::now() + Self::EACH;
            if (self.when)(open) {
                let times = if self.for_each { open } else { 1 };
                self.leaked.add(self.bytes * times);
            }
        }
        let left = self.next.saturating_duration_since(Instant::now());
        Some(planned.map_or(left, |planned| planned.min(left)))
    }
}
