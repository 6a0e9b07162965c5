//! Operations that tokio-uring has no call for, submitted to its ring.

use std::io;

use io_uring_06::{cqueue, squeue};
use tokio_uring::{OneshotOutputTransform, UnsubmittedOneshot};

/// Submits an entry that names no memory, and returns the result of its completion.
pub(crate) async fn submit(entry: squeue::Entry) -> io::Result<u32> {
    UnsubmittedOneshot::new((), Answer, entry).submit().await
}

/// The result of a completion: an error, or a number.
struct Answer;

impl OneshotOutputTransform for Answer {
    type Output = io::Result<u32>;
    type StoredData = ();

    fn transform_oneshot_output(self, (): (), completion: cqueue::Entry) -> io::Result<u32> {
        let result = completion.result();
        u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }
}
