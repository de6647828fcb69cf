//! Refused messages in the log: at most one line a second, with the number of those left out.

use crate::house::Rejected;
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct RejectLog {
    last: Option<Instant>,
    unlogged: u64,
}

impl RejectLog {
    pub(super) fn note(&mut self, rejected: &Rejected) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < PERIOD) {
            self.unlogged += 1;
            return;
        }
        self.last = Some(now);
        let others = std::mem::take(&mut self.unlogged);
        let code = rejected.code.as_str();
        warn!(code, topic = %rejected.topic, reason = %rejected.reason, others, "message refused");
    }
}
