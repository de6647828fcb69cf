//! The way from HTTP to the field's side of the system: measurements and answers of devices go in as through any connector, and
//! whoever sent them is told when they last.

use crate::problem::Problem;
use actix_web::http::StatusCode;
use connectors::Message;
use connectors::exchange::{InboxWriter, RefusalNote};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, oneshot};

/// The writing end of a source of its own. Clones write to the same one.
#[derive(Debug, Clone)]
pub struct FieldDoor(Arc<Mutex<InboxWriter>>);

impl FieldDoor {
    /// Writes to an inbox that the system reads.
    pub fn new(writer: InboxWriter) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    /// Passes a message on; what it causes lasts when this returns. The word says why it causes nothing, when that was refused
    /// inside. Passing it again changes nothing.
    pub(crate) async fn pass(
        &self,
        message: Message,
        within: Duration,
    ) -> Result<Option<&'static str>, Problem> {
        let ((done, settled), note) = (oneshot::channel(), RefusalNote::default());
        let passing = async {
            // Held while there is no room only: what is told when it lasts does not wait for others.
            let passed = self.0.lock().await.pass_noting(message, done, note.clone()).await;
            passed.map_err(|_| crate::guard::stopped())?;
            match settled.await {
                Ok(true) => Ok(note.code()),
                Ok(false) | Err(_) => Err(unavailable("it could not be recorded now; send it again")),
            }
        };
        let late =
            |_| unavailable("it was not recorded in time; whether it will be is not known: send it again");
        tokio::time::timeout(within, passing).await.map_err(late)?
    }
}

fn unavailable(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", detail)
}
