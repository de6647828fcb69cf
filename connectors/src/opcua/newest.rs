//! Reports on their way from the library's task to the client: the newest of each point waits, so that there is an end to it.

use opcua::types::DataValue;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Reports that nobody has looked at yet, by point.
#[derive(Debug, Default)]
pub(super) struct Newest {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    reports: BTreeMap<usize, DataValue>,
    skipped: u64,
    ended: Option<String>,
}

impl Newest {
    /// A point's newest report.
    pub fn put(&self, point: usize, report: DataValue) {
        self.with(|waiting| {
            if waiting.reports.insert(point, report).is_some() {
                waiting.skipped += 1;
            }
        });
    }

    /// Nothing more will come, for this reason.
    pub fn end(&self, reason: String) {
        self.with(|waiting| {
            waiting.ended.get_or_insert(reason);
        });
    }

    fn with(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_one();
    }

    /// Waits for reports; all that wait, and how many others they replaced. Cancelling loses nothing.
    ///
    /// # Errors
    /// Why nothing more will come, when everything was fetched.
    pub async fn take(&self) -> Result<(BTreeMap<usize, DataValue>, u64), String> {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if !waiting.reports.is_empty() {
                    return Ok((std::mem::take(&mut waiting.reports), std::mem::take(&mut waiting.skipped)));
                }
                if let Some(reason) = &waiting.ended {
                    return Err(reason.clone());
                }
            }
            self.arrived.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_report_of_each_point_waits_and_the_end_comes_last() {
        let newest = Newest::default();
        for value in [1.0, 2.0, 3.0] {
            newest.put(7, DataValue::value_only(value));
        }
        newest.put(8, DataValue::value_only(4.0));
        newest.end("gone".to_owned());
        let (reports, skipped) = newest.take().await.unwrap();
        assert_eq!((reports[&7].clone(), skipped), (DataValue::value_only(3.0), 2));
        assert_eq!(reports.len(), 2);
        assert_eq!(newest.take().await.unwrap_err(), "gone");
    }
}
