//! mio 1.2.5 on its own: `UnixListener::accept` panics if the client's socket is bound to a path of
//! 108 bytes, which fills `sun_path` without a terminating zero. unix(7) allows such a path.
//!
//! Linux then reports an address of 111 bytes, one more than the structure has, and mio takes the
//! length of the path from it.
//!
//! Exits with 0 if the fault shows.

use std::{env, fs, panic, process::ExitCode};

use mio::net::UnixListener;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, socket};

fn main() -> ExitCode {
    let folder = env::temp_dir().join(format!("full-path-{}", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    let server = folder.join("server");
    let listener = UnixListener::bind(&server).expect("a listener");

    let room = 108 - folder.as_os_str().len() - 1;
    let full = SocketAddrUnix::new(folder.join("x".repeat(room))).expect("a path of 108 bytes");
    let client = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a client");
    bind(&client, &full).expect("bind the client");
    connect(&client, &SocketAddrUnix::new(&server).unwrap()).expect("connect");

    let panicked = panic::catch_unwind(|| listener.accept().map(drop)).is_err();
    let _ = fs::remove_dir_all(&folder);
    println!("accept panicked: {panicked}");
    if panicked { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
