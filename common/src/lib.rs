//! The server's side of the contract: options, listeners, announcement, stop signal, drain.
//!
//! A backend describes itself in a [`Backend`] and calls [`run()`]. Its accept loop and its echo
//! are its own. No async runtime is among the dependencies: what a backend awaits
//! ([`Context::stopped`], [`Context::drained`]) are plain futures, woken by threads. For a flavor
//! with several threads, [`run_workers`] shares the listeners and starts the threads.

mod announcement;
mod backend;
mod capability;
mod context;
mod driver;
mod endpoint;
mod event;
mod host;
mod jobs;
mod life;
mod log;
mod options;
mod pool;
mod recovery;
#[cfg(target_os = "linux")]
mod ring;
mod run;
mod signals;
mod sockets;
#[cfg(unix)]
mod unix_path;
mod versions;
mod workers;

pub use backend::{Backend, Flavor, ServeError, Unavailable, Workers};
pub use capability::{Cancel, Capability, Work, burn};
pub use context::{Connection, Context};
pub use driver::{Driver, Model};
pub use event::{Wait, block_on};
pub use jobs::Jobs;
pub use life::Drained;
pub use pool::{POOL_IDLE, POOL_THREADS, PoolJob, fill_pool};
pub use recovery::{Recovery, classify};
#[cfg(target_os = "linux")]
pub use ring::{build_ring, probe_ring};
pub use run::run;
pub use sockets::{BACKLOG, DATAGRAM_BYTES, Listener, Sockets, Transport};
pub use workers::{Accepting, Worker, run_workers};
