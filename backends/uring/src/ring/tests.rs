//! What a ring does when there is more than it has room for.

use std::{io::Write as _, os::unix::net::UnixStream, time::Duration};

use super::*;

/// A ring on this thread, unless the host has none to give.
fn ring() -> Option<Ring> {
    Ring::new().inspect_err(|error| eprintln!("not tested: no ring here: {error}")).ok()
}

/// What completes within a second.
fn wait(ring: &mut Ring) -> Vec<Completion> {
    let mut completions = Vec::new();
    ring.wait(Some(Duration::from_secs(1)), &mut completions).unwrap();
    completions
}

#[test]
fn completions_beyond_the_queue_are_not_lost() {
    let Some(mut ring) = ring() else { return };
    let (socket, _peer) = UnixStream::pair().unwrap();
    let socket = Rc::new(OwnedFd::from(socket));
    let count = 2 * u64::from(COMPLETIONS) + 1;
    // Each completes at once, because nothing is there, and none is looked at before the last.
    for owner in 0..count {
        ring.receive(&socket, Buffer::new(1), false, owner);
    }
    let mut owners = Vec::new();
    loop {
        let completions = wait(&mut ring);
        if completions.is_empty() {
            break;
        }
        owners.extend(completions.iter().map(|completion| completion.owner));
    }
    owners.sort_unstable();
    assert!(owners.into_iter().eq(0..count), "each operation completes once");
}

#[test]
fn a_pool_that_ran_dry_ends_a_receive_and_loses_nothing() {
    // So large that there are two.
    const BUFFER_BYTES: usize = 32 * 1024 * 1024;
    let Some(mut ring) = ring().map(|ring| ring.with_pool(BUFFER_BYTES).unwrap()) else { return };
    let (socket, mut peer) = UnixStream::pair().unwrap();
    let socket = Rc::new(OwnedFd::from(socket));
    ring.receive_many(&socket, 0);
    let mut leases = Vec::new();
    for _ in 0..2 {
        peer.write_all(&[1]).unwrap();
        match wait(&mut ring).pop() {
            Some(Completion {
                outcome: Outcome::Received(Ok(1), Some(Bytes::Pooled(lease))),
                more: true,
                ..
            }) => leases.push(lease),
            other => panic!("not a byte in the pool, and more to come: {other:?}"),
        }
    }
    assert!(!ring.pool_has_free());
    peer.write_all(&[1]).unwrap();
    match wait(&mut ring).pop() {
        Some(Completion { outcome: Outcome::Received(Err(error), None), more: false, .. }) => {
            assert_eq!(Errno::from_io_error(&error), Some(Errno::NOBUFS));
        }
        other => panic!("not the end for want of a buffer: {other:?}"),
    }
    ring.receive(&socket, Buffer::new(8), true, 0);
    match wait(&mut ring).pop() {
        Some(Completion { outcome: Outcome::Received(Ok(1), Some(Bytes::Owned(_))), .. }) => {}
        other => panic!("not the byte that the pool had no room for: {other:?}"),
    }
    leases.into_iter().for_each(|lease| ring.give(lease));
    ring.receive_many(&socket, 0);
    peer.write_all(&[1]).unwrap();
    let received = wait(&mut ring).pop();
    assert!(received.is_some_and(|completion| completion.more), "the pool has buffers again");
}
