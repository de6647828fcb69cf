//! Telemetry as it comes, for whoever keeps all of it: before any of it gives way to newer values.

use super::Receipt;
use grid::Measurement;
use tokio::sync::mpsc::{self, error::TrySendError};

/// Values of one message.
#[derive(Debug)]
pub struct Tapped {
    /// As they were decoded.
    pub values: Vec<Measurement>,
    /// To be confirmed once they are kept, when their sender waits.
    pub receipt: Option<Receipt>,
}

/// The end that a connector writes to. Clones write to the same one.
#[derive(Debug, Clone)]
pub struct Tap(mpsc::Sender<Tapped>);

/// A tap that holds so many messages.
pub fn tap(messages: usize) -> (Tap, mpsc::Receiver<Tapped>) {
    let (writer, reader) = mpsc::channel(messages);
    (Tap(writer), reader)
}

impl Tap {
    /// Whether the values were taken. Waits for room when their sender waits; without, what finds no room is not kept.
    pub(super) async fn pass(&self, values: &[Measurement], receipt: Option<Receipt>) -> bool {
        let tapped = Tapped { values: values.to_vec(), receipt };
        if tapped.receipt.is_some() {
            let refused = self.0.send(tapped).await.err();
            // Nobody keeps anything now; that is not the message's fault.
            return match refused {
                None => true,
                Some(refused) => {
                    refused.0.receipt.iter().for_each(Receipt::not_now);
                    false
                }
            };
        }
        !matches!(self.0.try_send(tapped), Err(TrySendError::Full(_) | TrySendError::Closed(_)))
    }
}
