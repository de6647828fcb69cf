//! The right to acknowledge: what a sender waits for until the receiver has made durable what its message causes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Belongs to one part of a message. Its holder confirms it once what the part causes is durable, or when it causes
/// nothing. When the last clone is dropped unconfirmed, the message counts as not taken, and whoever sent it will
/// send it again.
#[derive(Debug, Clone)]
pub struct Receipt(Arc<Part>);

#[derive(Debug)]
struct Part {
    confirmed: AtomicBool,
    whole: Arc<Whole>,
}

#[derive(Debug)]
struct Whole {
    open: AtomicUsize,
    lost: AtomicBool,
    tell: Mutex<Option<oneshot::Sender<bool>>>,
}

/// Receipts for the `count` parts of one message; `tell` hears `true` when all of them were confirmed, `false` as
/// soon as none is left and one was not. Without parts it hears `true` at once.
pub(super) fn receipts(count: usize, tell: oneshot::Sender<bool>) -> Vec<Receipt> {
    if count == 0 {
        let _ = tell.send(true);
        return Vec::new();
    }
    let (open, lost) = (AtomicUsize::new(count), AtomicBool::new(false));
    let whole = Arc::new(Whole { open, lost, tell: Mutex::new(Some(tell)) });
    let part = || Receipt(Arc::new(Part { confirmed: AtomicBool::new(false), whole: whole.clone() }));
    (0..count).map(|_| part()).collect()
}

impl Receipt {
    /// What this part causes is durable, or it causes nothing. Doing it twice changes nothing.
    pub fn confirm(&self) {
        if !self.0.confirmed.swap(true, Ordering::AcqRel) {
            self.0.whole.settle();
        }
    }
}

/// The same receipt, not merely one of the same message.
impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !*self.confirmed.get_mut() {
            self.whole.lost.store(true, Ordering::Release);
            self.whole.settle();
        }
    }
}

impl Whole {
    fn settle(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tell) = tell {
            // A sender that has gone does not care any more.
            let _ = tell.send(!self.lost.load(Ordering::Acquire));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_when_all_of_its_parts_are_confirmed() {
        let (tell, mut told) = oneshot::channel();
        let parts = receipts(2, tell);
        parts[0].confirm();
        parts[0].confirm();
        assert!(told.try_recv().is_err(), "one of two");
        let copy = parts[1].clone();
        drop(parts);
        assert!(told.try_recv().is_err(), "a clone is still there");
        copy.confirm();
        assert_eq!(told.try_recv(), Ok(true));
    }

    #[test]
    fn a_part_that_is_dropped_unconfirmed_loses_the_message() {
        let (tell, mut told) = oneshot::channel();
        let mut parts = receipts(2, tell);
        drop(parts.remove(0));
        assert!(told.try_recv().is_err());
        parts[0].confirm();
        assert_eq!(told.try_recv(), Ok(false));
        let (tell, mut told) = oneshot::channel();
        assert!(receipts(0, tell).is_empty());
        assert_eq!(told.try_recv(), Ok(true));
    }
}
