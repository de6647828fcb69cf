//! What should take a moment and does not end: a disk that never answers, a handler that never returns. Nothing fails then, so nobody
//! would be told; whoever runs the system asks here now and then.

use crate::figures::Operations;
use crate::observer::OBSERVER;
use crate::picture::Picture;
use crate::runtime::Stopwatch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a group may take to be written and synced.
pub const SYNC_MAX: Duration = Duration::from_secs(30);
/// How long a stage may handle one message, and the picture may stand still.
pub const STILL_MAX: Duration = Duration::from_secs(60);
/// How often is looked. What takes too long must do so at two looks in a row: a process that was stopped and continued finds at its
/// first look that everything took long.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

impl Operations {
    /// What takes too long at present; `None` while all goes on. By the runtime's time.
    pub fn stalled(&self) -> Option<String> {
        let history = self.historian.as_ref().and_then(|historian| historian.underway.elapsed());
        let syncs = [("journal", self.journal.underway.elapsed()), ("history", history)];
        let hung = syncs.into_iter().find(|(_, elapsed)| elapsed.is_some_and(|elapsed| elapsed > SYNC_MAX));
        if let Some((what, _)) = hung {
            let most = SYNC_MAX.as_secs();
            return Some(format!("the {what} has been waiting for its disk for more than {most} s"));
        }
        let (stage, elapsed) = self.depths.slowest()?;
        let most = STILL_MAX.as_secs();
        (elapsed > STILL_MAX)
            .then(|| format!("stage {stage} has been handling one message for more than {most} s"))
    }
}

/// Resolves when something takes too long, with what. While the observer waits to be made anew, the picture stands still and nothing
/// hangs: a process that started again would get the same messages.
pub async fn stalled(operations: Operations, picture: watch::Receiver<Arc<Picture>>) -> String {
    let moved = || (picture.borrow().seq, operations.hold_ups.begun(OBSERVER));
    let (mut newest, mut since, mut suspected) = (moved(), Stopwatch::start(), false);
    loop {
        tokio::time::sleep(LOOK_PERIOD).await;
        let now = moved();
        if now != newest {
            (newest, since) = (now, Stopwatch::start());
        }
        let stands_still = || {
            let most = STILL_MAX.as_secs();
            let stands = since.elapsed() > STILL_MAX;
            stands.then(|| format!("the picture of the system has not moved for more than {most} s"))
        };
        match operations.stalled().or_else(stands_still) {
            Some(what) if suspected => return what,
            found => suspected = found.is_some(),
        }
    }
}
