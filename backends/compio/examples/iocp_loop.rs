//! compio 0.19.2 on its own, on completion ports: while the future of `block_on` wakes itself, the
//! loop does not look at the port (compio-driver 0.12.5), and no operation of a task completes.
//!
//! Ends with 0 when the fault shows, and with 69 on other systems than Windows.

use std::future::poll_fn;
use std::io::Write as _;
use std::net;
use std::process::{self, ExitCode};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use compio::io::AsyncRead as _;
use compio::net::TcpListener;
use compio::runtime::{Runtime, spawn};

fn main() -> ExitCode {
    if !cfg!(windows) {
        println!("completion ports are part of Windows");
        return ExitCode::from(69);
    }
    thread::spawn(|| {
        thread::sleep(Duration::from_secs(5));
        println!("the byte of a read was sent 4.5 s ago, and the read has not completed");
        process::exit(0)
    });
    Runtime::new().expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut client = net::TcpStream::connect(address).expect("connect");
        let (mut stream, _) = listener.accept().await.expect("accept");
        thread::spawn(move || {
            // The read waits by then; one that need not wait completes without the port.
            thread::sleep(Duration::from_millis(500));
            client.write_all(b"x").expect("send");
            thread::park();
        });
        let read = spawn(async move { stream.read(Vec::with_capacity(1)).await.0 });
        while !read.is_finished() {
            yield_now().await;
        }
        println!("beside a future that wakes itself, a read completed");
    });
    ExitCode::FAILURE
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
