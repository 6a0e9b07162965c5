//! Building runtimes on the driver that was asked for: left to itself, compio takes another one
//! where io_uring is refused, and says nothing.

use std::{
    num::NonZero,
    pin::pin,
    task::{self, Poll},
    time::Duration,
};

use common::{Context, Driver, ServeError, Unavailable};
#[cfg(target_os = "linux")]
use compio::driver::op::OpCodeFlag;
use compio::{
    driver::{AsyncifyPool, DriverType, ProactorBuilder},
    runtime::Runtime,
};

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        pub(crate) const DRIVERS: &[Driver] = &[Driver::IoUring, Driver::Epoll];
    } else if #[cfg(windows)] {
        pub(crate) const DRIVERS: &[Driver] = &[Driver::Iocp];
    } else {
        pub(crate) const DRIVERS: &[Driver] = &[Driver::Kqueue];
    }
}

/// The first Linux where a thread need not be interrupted for its completions.
#[cfg(target_os = "linux")]
const SINCE: &str = "5.19";

/// Buffers of a driver, for the flavor that reads into them: as many messages can be on their way
/// through a thread at once before it allocates others. compio's default is 8.
const MANAGED_BUFFERS: NonZero<u16> = NonZero::new(256).unwrap();

/// Builds one driver like those of the workers, and closes it.
///
/// A second one asks compio what the kernel's rings can do, which it then knows for good. Otherwise
/// it asks at the first operation, with a ring of its own. If there is no descriptor for that ring,
/// compio-driver 0.12.5 takes the operation for one that the kernel lacks, and an accept or a read
/// that has no other way panics.
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

/// A runtime with a driver of its own, for the calling thread, and with a share in the `pool` of
/// threads that blocking calls go to.
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
/// On completion ports not by compio's own loop: while tasks wake each other, the driver
/// (compio-driver 0.12.5) does not look at the port, so clients that wait for their bytes starve
/// beside one whose calls all succeed at once. It looks when it is asked again and nothing was
/// woken meanwhile.
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
    // Completions wait for the thread's next system call instead of interrupting it, on which a
    // virtual machine spent a sixth of the server's time. It is said of rings alone.
    proactor.coop_taskrun(true).taskrun_flag(true);
    proactor
}
