//! The executors, and the threads that run them. Neither is smol's own global one, whose number of
//! threads is an environment variable.

use std::io;

use smol::{Executor, LocalExecutor, Task};

static SHARED: Executor<'_> = Executor::new();

thread_local! {
    static OWN: LocalExecutor<'static> = const { LocalExecutor::new() };
}

/// Where tasks run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// On whichever thread is free.
    AnyThread,
    /// On the thread that spawns them.
    ThisThread,
}

impl Place {
    pub(crate) fn spawn(self, task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        match self {
            Place::AnyThread => SHARED.spawn(task),
            Place::ThisThread => OWN.with(|executor| executor.spawn(task)),
        }
    }

    /// Runs the tasks of this place, and waits for the sockets, until `future` is done.
    pub(crate) fn run<T>(self, future: impl Future<Output = T>) -> T {
        match self {
            Place::AnyThread => smol::block_on(SHARED.run(future)),
            Place::ThisThread => OWN.with(|executor| smol::block_on(executor.run(future))),
        }
    }
}

/// Asks for what smol waits with.
///
/// # Errors
///
/// Descriptors have run out, where smol's reactor would panic (async-io, src/reactor.rs).
pub(crate) fn probe() -> io::Result<()> {
    polling::Poller::new().map(drop)
}
