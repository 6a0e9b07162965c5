//! tokio-uring 0.5.0 on its own: `UnixListener::bind` sets SO_REUSEPORT, which Linux refuses for
//! Unix sockets since 6.12.9. There is no other way to create such a listener.
//!
//! Exits with 0 if the fault shows.

use std::{env, fs, process::ExitCode};

use tokio_uring::net::UnixListener;

fn main() -> ExitCode {
    let path = env::temp_dir().join(format!("unix-bind-{}", std::process::id()));
    let bound = tokio_uring::start(async { UnixListener::bind(&path).map(drop) });
    let _ = fs::remove_file(&path);
    println!("a Unix listener: {bound:?}");
    match bound {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => ExitCode::SUCCESS,
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}
