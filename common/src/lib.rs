//! The server's side of the contract: options, listeners, announcement, stop signal, drain.
//!
//! A backend describes itself in a [`Backend`] and hands that to [`run()`]; its accept loop and its
//! echo loop are its own, and are not here. No async runtime is among the dependencies: what a
//! backend awaits ([`Context::stop`], [`Context::drained`]) are plain futures, woken by threads.

mod accept_error;
mod announcement;
mod backend;
mod capability;
mod context;
mod driver;
mod event;
mod host;
mod jobs;
mod life;
mod listen;
mod listener;
mod log;
mod options;
mod pool;
#[cfg(target_os = "linux")]
mod ring;
mod run;
mod signals;
#[cfg(unix)]
mod unix_path;
mod versions;

pub use accept_error::{AcceptError, classify};
pub use backend::{Backend, Flavor, ServeError, Unavailable, Workers};
pub use capability::{Cancel, Capability, Work, burn};
pub use context::{Connection, Context};
pub use driver::{Driver, Model};
pub use event::{Wait, block_on};
pub use jobs::Jobs;
pub use life::Drained;
pub use listener::{BACKLOG, DATAGRAM_BYTES, Listener, Listeners, Transport};
pub use pool::{POOL_IDLE, POOL_THREADS, PoolJob, fill_pool};
#[cfg(target_os = "linux")]
pub use ring::{build_ring, probe_ring};
pub use run::run;
