//! Builds runtimes on the driver that was asked for. compio's own choice falls back to another
//! driver without a word if io_uring is refused.

use std::num::NonZero;
use std::pin::pin;
use std::task::{self, Poll};
use std::time::Duration;

use common::{Context, Driver, ServeError, Unavailable};
#[cfg(target_os = "linux")]
use compio::driver::op::OpCodeFlag;
use compio::driver::{AsyncifyPool, DriverType, ProactorBuilder};
use compio::runtime::Runtime;

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        pub(crate) const DRIVERS: &[Driver] = &[Driver::IoUring, Driver::Epoll];
    } else if #[cfg(windows)] {
        pub(crate) const DRIVERS: &[Driver] = &[Driver::Iocp];
    } else {
        pub(crate) const DRIVERS: &[Driver] = &[Driver::Kqueue];
    }
}

/// The first Linux with COOP_TASKRUN.
#[cfg(target_os = "linux")]
const SINCE: &str = "5.19";

/// Provided buffers of a driver. If more messages are on their way through a thread at once, the
/// rest are read into buffers that are allocated. compio's default is 8.
const MANAGED_BUFFERS: NonZero<u16> = NonZero::new(256).unwrap();

/// Builds one driver like those of the workers, and closes it.
///
/// The second build makes compio probe the operations of the kernel, once per process. Otherwise it
/// probes them at the first operation, by opening another ring. If there is no descriptor for that,
/// compio-driver 0.12.5 takes the operation for unsupported, and a multishot accept or a read into
/// a provided buffer panics.
pub(crate) fn probe(driver: Driver) -> Result<(), Unavailable> {
    match driver {
        #[cfg(target_os = "linux")]
        Driver::IoUring => common::probe_ring(SINCE, || {
            drop(proactor(driver).build()?);
            proactor(driver).detect_opcode_support(OpCodeFlag::basic()).build()
        }),
        _ => Ok(()),
    }
}

/// A runtime for the calling thread. All runtimes share the `pool` for blocking calls.
pub(crate) fn build(context: &Context, pool: Option<AsyncifyPool>) -> Result<Runtime, ServeError> {
    let driver = context.driver();
    let mut proactor = proactor(driver);
    if let Some(pool) = pool {
        proactor.reuse_thread_pool(pool);
    }
    proactor.buffer_pool_size(MANAGED_BUFFERS).buffer_pool_buffer_len(context.buffer_bytes());
    let build = || Runtime::builder().with_proactor(proactor.clone()).build();
    match driver {
        #[cfg(target_os = "linux")]
        Driver::IoUring => common::build_ring(SINCE, build),
        _ => Ok(build()?),
    }
}

/// Runs until the future resolves.
///
/// On completion ports compio's own loop is not used: while tasks wake each other, the driver
/// (compio-driver 0.12.5) does not poll the port, so a client whose calls all succeed at once
/// starves the others. Polled a second time, when nothing was woken meanwhile, it does.
pub(crate) fn block_on<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    if !cfg!(windows) {
        return runtime.block_on(future);
    }
    runtime.enter(|| {
        let mut future = pin!(future);
        let waker = runtime.waker();
        loop {
            if let Poll::Ready(output) =
                future.as_mut().poll(&mut task::Context::from_waker(&waker))
            {
                return output;
            }
            if runtime.run() {
                runtime.poll_with(Some(Duration::ZERO));
                runtime.poll_with(Some(Duration::ZERO));
            } else {
                runtime.poll();
            }
        }
    })
}

fn proactor(driver: Driver) -> ProactorBuilder {
    let mut proactor = ProactorBuilder::new();
    proactor.driver_type(match driver {
        Driver::IoUring => DriverType::IoUring,
        Driver::Iocp => DriverType::IOCP,
        Driver::Epoll | Driver::Kqueue | Driver::Afd | Driver::Threads => DriverType::Poll,
    });
    // Completions wait for the thread's next system call instead of interrupting it: the interrupts
    // took a sixth of the server's time on a virtual machine. Only rings have these flags.
    proactor.coop_taskrun(true).taskrun_flag(true);
    proactor
}
