//! What comes from outside is taken in only as fast as all that it causes is handled: that bounds every mailbox.
//!
//! Whoever hands over a batch needs a credit. The batch carries it, and so does each message that a stage sends while it handles
//! a message which carries it. It is returned when the last of them was handled. Timers, results of computations, and what
//! the journal delivers after a sync carry none: their number does not grow with what arrives.

use std::cell::RefCell;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The right to hand over one more batch. Clones are one credit, returned when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Credit(#[allow(dead_code)] Arc<Lent>); // kept until it is dropped

#[derive(Debug)]
struct Lent(Arc<Semaphore>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// So many credits.
#[derive(Debug, Clone)]
pub struct Credits(Arc<Semaphore>);

impl Credits {
    /// All of them are there.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// Waits for one.
    pub async fn take(&self) -> Credit {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
        Credit(Arc::new(Lent(self.0.clone())))
    }

    /// One, if there is one now.
    pub fn try_take(&self) -> Option<Credit> {
        self.0.try_acquire().ok()?.forget();
        Some(Credit(Arc::new(Lent(self.0.clone()))))
    }

    /// How many are there now.
    pub fn left(&self) -> usize {
        self.0.available_permits()
    }
}

thread_local! {
    /// The credit of the message that is being handled on this thread.
    static CARRIED: RefCell<Option<Credit>> = const { RefCell::new(None) };
}

/// What a message that is sent now carries.
pub(super) fn carried() -> Option<Credit> {
    CARRIED.with_borrow(Clone::clone)
}

/// Runs a handler; what it sends carries the credit. Handlers never wait, so the thread is its own meanwhile.
pub(super) fn carrying<T>(credit: &Option<Credit>, handle: impl FnOnce() -> T) -> T {
    let before = CARRIED.replace(credit.clone());
    let restore = Restore(before);
    let done = handle();
    drop(restore);
    done
}

struct Restore(Option<Credit>);

impl Drop for Restore {
    fn drop(&mut self) {
        CARRIED.replace(self.0.take());
    }
}
