//! What was answered, and how long each answer took to begin.

use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actors::figures::{Durations, Family, Values};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The answers of one server so far.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    by_status: Mutex<BTreeMap<u16, u64>>,
    took: Durations,
}

impl Answered {
    fn count(&self, status: StatusCode, took: Duration) {
        *self.by_status.lock().unwrap_or_else(PoisonError::into_inner).entry(status.as_u16()).or_default() +=
            1;
        self.took.count(took);
    }

    /// Waits for an answer, and counts it.
    pub async fn counting(
        &self,
        answering: impl Future<Output = Result<ServiceResponse, actix_web::Error>>,
    ) -> Result<ServiceResponse, actix_web::Error> {
        let began = Instant::now();
        let answer = answering.await;
        let status = match &answer {
            Ok(answer) => answer.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        self.count(status, began.elapsed());
        answer
    }

    /// Figures for those who watch.
    pub fn families(&self) -> [Family; 2] {
        let by_status = self.by_status.lock().unwrap_or_else(PoisonError::into_inner);
        let by_status =
            by_status.iter().map(|(status, count)| (vec![("status", status.to_string())], *count));
        [
            Family {
                name: "http_answers_total",
                help: "Requests that were answered, by status.",
                values: Values::Totals(by_status.collect()),
            },
            Family {
                name: "http_answer_seconds",
                help: "From a request's head to the head of its answer.",
                values: Values::Durations(self.took.counted()),
            },
        ]
    }
}
