//! Work that is the same whoever does it, on other threads.

use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{JoinHandle, ScopedJoinHandle, available_parallelism, scope};

/// Starts work on a thread of its own. Whoever starts it asks for what was found at an instant that does not depend on when it was
/// found, so that runs repeat.
#[allow(clippy::disallowed_methods)] // the one place of threads that are waited for
pub fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Beside<T> {
    Beside(std::thread::spawn(work))
}

/// Work on a thread of its own.
#[derive(Debug)]
#[must_use]
pub struct Beside<T>(JoinHandle<T>);

impl<T> Beside<T> {
    /// Waits for what was found. A panic of the work is passed on.
    pub fn found(self) -> T {
        self.0.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// How many threads can run at once; asked for once, for the answer is read from files.
fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| available_parallelism().map_or(1, usize::from))
}

/// What `work` makes of each, in their order; whoever is free takes the next one. A panic of `work` is passed on.
pub fn side_by_side<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(at) else { return done };
            done.push((at, work(one)));
        }
    };
    let threads = processors().min(all.len());
    let mut done = scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let own = take();
        let others = others.into_iter().map(ScopedJoinHandle::join);
        let others = others.flat_map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)));
        own.into_iter().chain(others).collect::<Vec<_>>()
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_comes_in_the_order_it_was_asked_for_and_a_panic_is_passed_on() {
        let all: Vec<usize> = (0..1_000).collect();
        assert_eq!(side_by_side(&all, |one| one * one), all.iter().map(|one| one * one).collect::<Vec<_>>());
        assert_eq!(side_by_side(&[] as &[usize], |one| *one), Vec::<usize>::new());
        let panicked = std::panic::catch_unwind(|| side_by_side(&all, |one| assert_ne!(*one, 777)));
        assert!(panicked.is_err());
        assert_eq!(beside(|| 3).found(), 3);
        assert!(std::panic::catch_unwind(move || beside(move || all[1_000]).found()).is_err());
    }
}
