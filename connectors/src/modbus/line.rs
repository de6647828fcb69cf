//! Asking on a line, which all its units share: one question at a time, silence before it, and whatever comes late or is noise
//! thrown away, so that it is not taken for the next answer.

use super::connection::Answer;
use super::plan::Request;
use super::rtu::{self, Heard};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// Adapters hand bytes over in lots: shorter pauses say nothing.
const PAUSE: Duration = Duration::from_millis(100);
/// The least silence between two frames.
const GAP_MIN: Duration = Duration::from_millis(2);

/// What bytes are sent and heard through.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A line that nobody else asks on.
pub(super) struct Line {
    stream: Box<dyn Stream>,
    /// How long one character is on its way.
    character: Duration,
    /// A frame is over, or broken, after so long a pause in it.
    pause: Duration,
}

impl Line {
    /// A line of this speed.
    pub fn serial(stream: impl Stream + 'static, character: Duration) -> Self {
        Self { stream: Box::new(stream), character, pause: PAUSE }
    }

    /// A line somewhere behind a gateway; a network may pause longer than a line does.
    pub fn behind_gateway(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), character: Duration::ZERO, pause: 3 * PAUSE }
    }

    /// Asks once, and waits `patience` beyond the time that the bytes are on their way.
    ///
    /// # Errors
    /// The line is gone, or never still.
    pub async fn ask(&mut self, request: &Request, patience: Duration) -> Result<Answer, String> {
        self.settle(GAP_MIN.max(self.character * 7 / 2), patience).await?;
        let question = rtu::question(request);
        let sent = timeout(patience, async {
            self.stream.write_all(&question).await?;
            self.stream.flush().await
        });
        match sent.await {
            Ok(sent) => sent.map_err(|error| error.to_string())?,
            Err(_) => return Err("the line takes no bytes".to_owned()),
        }
        let on_their_way = (question.len() + rtu::answer_bytes(request)) as u32 * self.character;
        let deadline = Instant::now() + patience + on_their_way;
        let (mut heard, mut lot) = (Vec::new(), [0; rtu::HEARD_MAX]);
        loop {
            match rtu::answer(request, &heard) {
                Heard::Registers(registers) => return Ok(Answer::Registers(registers)),
                Heard::Refused(code) => return Ok(Answer::Refused(code)),
                Heard::Nothing if heard.len() >= rtu::HEARD_MAX => break,
                Heard::Nothing => {}
            }
            let until = if heard.is_empty() { deadline } else { deadline.min(Instant::now() + self.pause) };
            match timeout_at(until, self.stream.read(&mut lot)).await {
                Ok(count) => heard.extend_from_slice(lot.get(..alive(count)?).unwrap_or_default()),
                Err(_) => break,
            }
        }
        if heard.is_empty() {
            // What comes late is not waited for any longer, and not taken for the next answer.
            self.settle(patience / 2, 2 * patience).await?;
            return Ok(Answer::Silence);
        }
        self.settle(self.pause, 2 * patience + self.pause).await?;
        Ok(Answer::Broken(rtu::fault(request, &heard)))
    }

    /// Throws away what comes until nothing came for so long.
    async fn settle(&mut self, still: Duration, at_most: Duration) -> Result<(), String> {
        let (mut lot, end) = ([0; rtu::HEARD_MAX], Instant::now() + at_most + still);
        loop {
            match timeout(still, self.stream.read(&mut lot)).await {
                Ok(count) => drop(alive(count)?),
                Err(_) => return Ok(()),
            }
            if Instant::now() > end {
                return Err(format!("the line is not still for {still:?}: somebody else talks on it"));
            }
        }
    }
}

/// How many bytes came, unless it was the end.
fn alive(read: std::io::Result<usize>) -> Result<usize, String> {
    match read {
        Ok(0) => Err("the line is gone".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(error.to_string()),
    }
}
