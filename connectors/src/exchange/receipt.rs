//! The right to acknowledge: what a sender waits for until the receiver has made durable what its message causes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::oneshot;

/// Belongs to one part of a message. Its holder confirms it once what the part causes is durable, or when it causes
/// nothing. When the last clone is dropped unconfirmed, the message has failed; what fails twice is given up. When it
/// is only for now that it cannot be taken, the holder says so with [`not_now`](Self::not_now), and it comes again as
/// often as it takes.
#[derive(Debug, Clone)]
pub struct Receipt(Arc<Part>);

/// Why a message that may be acknowledged changed nothing, for a sender that wants to know: the stable word of the first
/// refusal. Clones are the same note; it is complete when the sender hears that the message may be acknowledged.
#[derive(Debug, Clone, Default)]
pub struct RefusalNote(Arc<OnceLock<&'static str>>);

impl RefusalNote {
    /// The word; nothing when nobody refused.
    pub fn code(&self) -> Option<&'static str> {
        self.0.get().copied()
    }
}

#[derive(Debug)]
struct Part {
    confirmed: AtomicBool,
    whole: Arc<Whole>,
}

#[derive(Debug)]
struct Whole {
    open: AtomicUsize,
    lost: AtomicBool,
    /// It was not the message's fault.
    postponed: AtomicBool,
    tell: Mutex<Option<oneshot::Sender<bool>>>,
    note: RefusalNote,
}

/// Receipts for the `count` parts of one message; `tell` hears `true` when all of them were confirmed, `false` as
/// soon as none is left and one was not, and nothing (it is dropped) when one was put off. Without parts it hears
/// `true` at once.
pub(super) fn receipts(count: usize, tell: oneshot::Sender<bool>, note: RefusalNote) -> Vec<Receipt> {
    if count == 0 {
        let _ = tell.send(true);
        return Vec::new();
    }
    let (open, lost) = (AtomicUsize::new(count), AtomicBool::new(false));
    let postponed = AtomicBool::new(false);
    let whole = Arc::new(Whole { open, lost, postponed, tell: Mutex::new(Some(tell)), note });
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

    /// The part causes nothing, and never will: it may be acknowledged, and who asked with a [`RefusalNote`] reads the word.
    /// After [`confirm`](Self::confirm) it changes nothing.
    pub fn refuse(&self, code: &'static str) {
        if !self.0.confirmed.load(Ordering::Acquire) {
            // The first one stays.
            let _ = self.0.whole.note.0.set(code);
        }
        self.confirm();
    }

    /// The part cannot be taken at the moment, whatever it says: the disk is full, or the system stops. Its sender keeps
    /// it and sends it again. After [`confirm`](Self::confirm) it changes nothing.
    pub fn not_now(&self) {
        if !self.0.confirmed.load(Ordering::Acquire) {
            self.0.whole.postponed.store(true, Ordering::Release);
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
        if let Some(tell) = tell.filter(|_| !self.postponed.load(Ordering::Acquire)) {
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
        let parts = receipts(2, tell, RefusalNote::default());
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
    fn a_refused_part_is_acknowledged_and_says_why() {
        let ((tell, mut told), note) = (oneshot::channel(), RefusalNote::default());
        let parts = receipts(2, tell, note.clone());
        parts[0].confirm();
        parts[0].refuse("too-late");
        assert_eq!(note.code(), None, "it was confirmed before");
        parts[1].refuse("less-preferred");
        parts[1].refuse("twice");
        assert_eq!((told.try_recv(), note.code()), (Ok(true), Some("less-preferred")));
    }

    #[test]
    fn a_part_that_is_put_off_tells_neither_that_it_was_taken_nor_that_it_failed() {
        let (tell, mut told) = oneshot::channel();
        let mut parts = receipts(2, tell, RefusalNote::default());
        parts[0].not_now();
        parts[1].confirm();
        assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(parts.remove(0));
        assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn a_part_that_is_dropped_unconfirmed_loses_the_message() {
        let (tell, mut told) = oneshot::channel();
        let mut parts = receipts(2, tell, RefusalNote::default());
        drop(parts.remove(0));
        assert!(told.try_recv().is_err());
        parts[0].confirm();
        assert_eq!(told.try_recv(), Ok(false));
        let (tell, mut told) = oneshot::channel();
        assert!(receipts(0, tell, RefusalNote::default()).is_empty());
        assert_eq!(told.try_recv(), Ok(true));
    }
}
