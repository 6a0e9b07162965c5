//! The executors, and the threads that run them. Neither is smol's own global one, whose number of
//! threads is an environment variable.

use std::io;
use std::time::Duration;

use smol::{Executor, LocalExecutor, Task, Timer};

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
            Self::AnyThread => SHARED.spawn(task),
            Self::ThisThread => OWN.with(|executor| executor.spawn(task)),
        }
    }

    /// Runs the tasks of this place, and waits for the sockets, until `future` is done.
    pub(crate) fn run<T>(self, future: impl Future<Output = T>) -> T {
        match self {
            Self::AnyThread => smol::block_on(SHARED.run(future)),
            Self::ThisThread => OWN.with(|executor| smol::block_on(executor.run(future))),
        }
    }
}

/// Starts smol's reactor, which a process has once.
///
/// # Errors
/// Those of opening a poller, such as too many open files: the reactor itself would panic
/// (async-io, src/reactor.rs).
pub(crate) fn start_reactor() -> io::Result<()> {
    drop(polling::Poller::new()?);
    // A timer that has expired already would not start it.
    smol::block_on(Timer::after(Duration::from_millis(1)));
    Ok(())
}
