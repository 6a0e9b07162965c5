//! Builds runtimes on the driver that was asked for. monoio's own choice falls back to epoll
//! without a word if io_uring is refused.

use common::{Driver, ServeError, Unavailable};
use monoio::blocking::DefaultThreadPool;
use monoio::time::TimeDriver;
use monoio::{FusionRuntime, LegacyDriver, RuntimeBuilder};

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        use io_uring_06::{Builder, IoUring};
        use monoio::IoUringDriver;

        pub(crate) const DRIVERS: &[Driver] = &[Driver::IoUring, Driver::Epoll];
        pub(crate) type Runtime =
            FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>;
    } else {
        pub(crate) const DRIVERS: &[Driver] = &[Driver::READINESS];
        pub(crate) type Runtime = FusionRuntime<TimeDriver<LegacyDriver>>;
    }
}

/// The first Linux with COOP_TASKRUN.
#[cfg(target_os = "linux")]
const SINCE: &str = "5.19";

/// With COOP_TASKRUN, completions wait for the thread's next system call instead of interrupting
/// it. The interrupts took a sixth of the server's time on a virtual machine.
#[cfg(target_os = "linux")]
fn ring() -> Builder {
    let mut ring = IoUring::builder();
    ring.setup_coop_taskrun().setup_taskrun_flag();
    ring
}

/// Builds one ring like those of the workers, and closes it.
pub(crate) fn probe(driver: Driver) -> Result<(), Unavailable> {
    match driver {
        #[cfg(target_os = "linux")]
        Driver::IoUring => common::probe_ring(SINCE, || {
            RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring()).build()
        }),
        _ => Ok(()),
    }
}

/// A runtime for the calling thread. All runtimes share the `pool` for blocking calls.
pub(crate) fn build(
    driver: Driver,
    pool: Option<&DefaultThreadPool>,
) -> Result<Runtime, ServeError> {
    match driver {
        #[cfg(target_os = "linux")]
        Driver::IoUring => common::build_ring(SINCE, || {
            let builder =
                RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring()).enable_timer();
            Ok(attach(builder, pool).build()?.into())
        }),
        _ => {
            let builder = RuntimeBuilder::<LegacyDriver>::new().enable_timer();
            Ok(attach(builder, pool).build()?.into())
        }
    }
}

fn attach<D>(builder: RuntimeBuilder<D>, pool: Option<&DefaultThreadPool>) -> RuntimeBuilder<D> {
    match pool {
        Some(pool) => builder.attach_thread_pool(Box::new(pool.clone())),
        None => builder,
    }
}
