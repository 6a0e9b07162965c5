//! A flag that is set once, which tasks of any runtime can wait for.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A flag that is set at most once, and then wakes every waiter.
#[derive(Debug, Default)]
pub(crate) struct Event {
    set: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// Wakers by slot. A slot is reused after its waiter has gone.
#[derive(Debug, Default)]
struct Waiting {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Event {
    /// Sets the flag. Returns whether this call did it.
    pub(crate) fn set(&self) -> bool {
        if self.set.swap(true, Ordering::SeqCst) {
            return false;
        }
        // A waiter checks the flag again after it has registered, so none is missed.
        let waiting = mem::take(&mut *self.lock());
        waiting.slots.into_iter().flatten().for_each(Waker::wake);
        true
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    pub(crate) fn wait(self: &Arc<Self>) -> Wait {
        Wait { event: Arc::clone(self), registered: None }
    }

    /// Calls `act` once the flag is set, at once if it already is. It is called on the thread that
    /// sets the flag, so it must not wait.
    pub(crate) fn on_set(&self, act: impl Fn() + Send + Sync + 'static) {
        let act = Waker::from(Arc::new(Call(act)));
        self.lock().slots.push(Some(act.clone()));
        if self.is_set() {
            // `set` may have called it as well, or may have taken the list before it was in there.
            act.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waker that calls a function.
struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Resolves once the event is set, at once if it already is. Any executor can poll it.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Wait {
    event: Arc<Event>,
    registered: Option<(usize, Waker)>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.event.is_set() {
            return Poll::Ready(());
        }
        match &self.registered {
            // A connection polls this once per message, so it takes no lock while its waker stays
            // the same.
            Some((_, waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            Some(_) => self.deregister(),
            None => {}
        }
        self.register(cx.waker().clone());
        if self.event.is_set() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Wait {
    fn register(&mut self, waker: Waker) {
        let mut waiting = self.event.lock();
        let slot = match waiting.free.pop() {
            Some(slot) => slot,
            None => {
                waiting.slots.push(None);
                waiting.slots.len() - 1
            }
        };
        waiting.slots[slot] = Some(waker.clone());
        drop(waiting);
        self.registered = Some((slot, waker));
    }

    fn deregister(&mut self) {
        let Some((slot, _)) = self.registered.take() else {
            return;
        };
        let mut waiting = self.event.lock();
        // Setting the event takes all slots. A later waiter may have this index then, which is
        // harmless, because it has checked the flag.
        let waker = waiting.slots.get_mut(slot).and_then(Option::take);
        if waker.is_some() {
            waiting.free.push(slot);
        }
        // Dropping the waker may drop its task, which may hold another `Wait`: unlock first.
        drop(waiting);
        drop(waker);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.deregister();
    }
}

/// Runs a future on the calling thread, without a runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    use std::pin::pin;
    use std::thread;

    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn waker() -> (Arc<Wakes>, Waker) {
        let wakes = Arc::new(Wakes::default());
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    #[test]
    fn an_event_that_is_set_resolves_at_once_and_is_set_once() {
        let event = Arc::new(Event::default());
        assert!(event.set());
        assert!(!event.set());
        let (_, waker) = waker();
        assert!(pin!(event.wait()).poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn setting_wakes_every_waiter_once() {
        let event = Arc::new(Event::default());
        let (wakes, waker) = waker();
        let mut cx = Context::from_waker(&waker);
        let (mut first, mut second) = (pin!(event.wait()), pin!(event.wait()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        event.set();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
        assert!(first.poll(&mut cx).is_ready());
        assert!(second.poll(&mut cx).is_ready());
    }

    #[test]
    fn the_waker_of_the_last_poll_is_the_one_woken() {
        let event = Arc::new(Event::default());
        let ((old_wakes, old), (new_wakes, new)) = (waker(), waker());
        let mut wait = pin!(event.wait());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&old)).is_pending());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&new)).is_pending());
        event.set();
        assert_eq!(old_wakes.0.load(Ordering::SeqCst), 0);
        assert_eq!(new_wakes.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_waiter_that_is_dropped_leaves_its_slot_to_the_next() {
        let event = Arc::new(Event::default());
        let (_, waker) = waker();
        for _ in 0..100 {
            let mut wait = event.wait();
            assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(event.lock().slots.len(), 1);
    }

    #[test]
    fn a_waiter_on_another_thread_never_misses_it() {
        for _ in 0..200 {
            let event = Arc::new(Event::default());
            let wait = event.wait();
            let waiter = thread::spawn(move || block_on(wait));
            event.set();
            waiter.join().unwrap();
        }
    }
}
