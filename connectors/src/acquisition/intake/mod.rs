//! The platform's side: envelopes come in at the MQTT door and leave as measurements of points.
//!
//! ```text
//!   letters ─► open ─► leave out lines that are there ─► log, one sync for the group ─► receipt, PUBACK ─► inbox ─► "passed"
//! ```
//!
//! The log is what makes a line count once: it has the values and the lines in one record. What was not passed on when the
//! process died is passed on by the next, with the same time of receipt, which the history takes for the same value.

mod log;

use super::envelope::{self, Expected, Opened, Receipt};
use super::keys::{PlatformKey, VerifyKey};
use super::pseudonym::Pseudonym;
use super::{envelope_topic, receipt_topic};
use crate::exchange::{Closed, Counters, InboxWriter, Limits, LinkState, inbox};
use crate::house::{Area, FUTURE_MAX, Message, Refusal, RejectCode, Rejected, check_measurement};
use crate::link::Source;
use crate::mqtt::door::{Door, Letter, Letterbox};
use crate::point_map::{BadLine, MappedPoint, PointMap};
use grid::{Clock, Measurement, Quality, Timestamp};
pub use log::LogError;
use log::{Kept, Log};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// Envelopes that are made durable together.
const GROUP_MAX: usize = 64;
/// Before something that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often values of one envelope may fail before they are given up; as at the door.
const FAILURES_MAX: u32 = 2;
/// Before values that failed are tried again. A system that is given up lets go of everything, too: it has ended by then.
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// One sender that is listened to.
#[derive(Debug, Clone)]
pub struct IntakeConfig {
    /// Who it is.
    pub sender: VerifyKey,
    /// What its envelopes are sealed for.
    pub key: PlatformKey,
    /// What its values may be used for.
    pub purpose: String,
    /// What its pseudonyms are here.
    pub points: BTreeMap<Pseudonym, MappedPoint>,
    /// Where it is kept what came.
    pub log: PathBuf,
}

impl IntakeConfig {
    /// Reads the tags of a point map.
    ///
    /// # Errors
    /// Every line whose tag is no pseudonym.
    pub fn points(map: &PointMap) -> Result<Vec<(Pseudonym, MappedPoint)>, Vec<BadLine>> {
        let (mut points, mut bad) = (Vec::new(), Vec::new());
        for row in &map.rows {
            match row.tag.parse() {
                Ok(pseudonym) => points.push((pseudonym, row.clone())),
                Err(error) => {
                    let reason = format!("{error}");
                    bad.push(BadLine { line: row.line, column: Some("tag"), reason });
                }
            }
        }
        if bad.is_empty() { Ok(points) } else { Err(bad) }
    }
}

/// An intake whose letters wait until it is started.
pub struct Waiting {
    intake: Intake,
    left: Vec<Kept>,
}

impl Waiting {
    /// Begins to open letters, when whoever reads the inbox is there with all it needs: with the history's tap. Must be called inside a
    /// tokio runtime.
    pub fn start(self) {
        tokio::spawn(self.intake.run(self.left));
    }
}

/// Takes up what one sender sent before, and makes ready for more: see [`Waiting::start`]. It ends when the [`Source`]'s inbox is
/// dropped or the door closes, and with a line in the log when its file fails; then nothing is acknowledged any more.
///
/// # Errors
/// [`LogError`] when what came before cannot be read.
pub fn open(
    config: IntakeConfig,
    door: &Door,
    area: Area,
    clock: Arc<dyn Clock>,
) -> Result<(Source, Waiting), LogError> {
    let name = config.sender.sender.clone();
    let (log, left) = Log::open(&config.log)?;
    let counters = Arc::new(Counters::default());
    let (writer, reader) = inbox(Limits::default(), counters.clone());
    let (topic, answers) = (envelope_topic(&area, &name), receipt_topic(&area, &name));
    let letterbox = door.letterbox(topic.clone());
    let intake = Intake { config, letterbox, topic, answers, writer, clock, log: Some(log) };
    Ok((Source { name, inbox: reader, counters }, Waiting { intake, left }))
}

struct Intake {
    config: IntakeConfig,
    letterbox: Letterbox,
    topic: String,
    answers: String,
    writer: InboxWriter,
    clock: Arc<dyn Clock>,
    /// Away only while it is written.
    log: Option<Log>,
}

/// Why it ends.
enum End {
    Closed,
    Failed(String),
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        End::Closed
    }
}

impl Intake {
    async fn run(mut self, left: Vec<Kept>) {
        let outcome = self.serve(left).await;
        if let Err(End::Failed(reason)) = outcome {
            let sender = &self.config.sender.sender;
            tracing::error!(%sender, %reason, "acquisition has ended; start again when the disk is good");
        }
    }

    async fn serve(&mut self, left: Vec<Kept>) -> Result<(), End> {
        self.writer.link(LinkState::Up)?;
        if !left.is_empty() {
            tracing::info!(envelopes = left.len(), "passing on what an earlier process kept");
        }
        self.pass_on(left).await?;
        loop {
            let letters = tokio::select! {
                letters = self.letterbox.letters(GROUP_MAX) => letters,
                () = self.writer.closed() => return Ok(()),
            };
            if letters.is_empty() {
                return Ok(());
            }
            self.group(letters).await?;
        }
    }

    async fn group(&mut self, letters: Vec<Letter>) -> Result<(), End> {
        let (mut kept, mut receipts) = (Vec::new(), Vec::new());
        for letter in &letters {
            self.writer.note_received();
            let receipt = match self.take(letter) {
                Ok((opened, record, unused)) => {
                    kept.extend(record);
                    opened.kept(unused)
                }
                Err((code, reason)) => {
                    let rejected = Rejected::new(letter.topic(), code, reason);
                    self.writer.refuse(&rejected);
                    let envelope = envelope::id(letter.payload());
                    Receipt::Refused { envelope, code: code.as_str().to_owned(), reason: rejected.reason }
                }
            };
            receipts.push(receipt);
        }
        let kept = self.keep(kept).await?;
        for (letter, receipt) in letters.into_iter().zip(receipts) {
            match serde_json::to_vec(&receipt) {
                Ok(bytes) => self.letterbox.publish(self.answers.clone(), bytes),
                Err(error) => tracing::error!(%error, "a receipt was not sent"),
            }
            letter.acknowledge();
        }
        self.writer.show_counters()?;
        self.pass_on(kept).await
    }

    /// Opens a letter; what of it is new, and how many of its rows cannot be used.
    fn take(&mut self, letter: &Letter) -> Result<(Opened, Option<Kept>, u64), Refusal> {
        if letter.retained {
            return Err((
                RejectCode::Retained,
                "the message is retained, nobody knows how old it will be".into(),
            ));
        }
        let (now, config) = (self.clock.now(), &self.config);
        let expected = Expected { key: &config.key, sender: &config.sender, purpose: &config.purpose };
        let opened = envelope::open(letter.payload(), &expected, now)?;
        let header = &opened.header;
        let Some(log) = &mut self.log else { return Err((RejectCode::Envelope, "the log is away".into())) };
        let (mut values, mut unused) = (Vec::new(), 0);
        let known = log.lines(header.file);
        if known.is_none_or(|lines| lines.has_gap_before(header.first)) && header.first > 1 {
            tracing::warn!(sender = %header.sender, file = %header.file, first = header.first, "lines before these never came");
        }
        for row in &opened.rows {
            // Whether a row can be used is said anew each time: the receipt of a doubled envelope is like the first.
            let value = value_of(&config.points, row, now);
            match value {
                Err(_) if known.is_some_and(|lines| lines.contains(row.line)) => unused += 1,
                Err((code, reason)) => {
                    unused += 1;
                    let reason = format!("line {}: {reason}", row.line);
                    self.writer.refuse(&Rejected::new(letter.topic(), code, reason));
                }
                Ok(value) if !known.is_some_and(|lines| lines.contains(row.line)) => values.push(value),
                Ok(_) => {}
            }
        }
        if known.is_some_and(|lines| lines.covers(header.first, header.last)) {
            return Ok((opened, None, unused));
        }
        let kept = Kept::new(header.file, (header.first, header.last), now, &values);
        if !log.note(&kept) {
            return Err((
                RejectCode::Envelope,
                "the lines of this file that came leave too many gaps".into(),
            ));
        }
        Ok((opened, Some(kept), unused))
    }

    /// Appends and syncs. While the disk is full it waits, and with it whoever sent something.
    async fn keep(&mut self, kept: Vec<Kept>) -> Result<Vec<Kept>, End> {
        if kept.is_empty() {
            return Ok(kept);
        }
        let mut kept = kept;
        loop {
            let Some(mut log) = self.log.take() else { return Err(End::Failed("the log is away".into())) };
            let appending = spawn_blocking(move || {
                let outcome = log.append(&kept);
                (log, kept, outcome)
            });
            let (log, back, outcome) = appending.await.map_err(|error| End::Failed(error.to_string()))?;
            self.log = Some(log);
            kept = back;
            match outcome {
                Ok(()) => return Ok(kept),
                Err(LogError::NoRoom { path, source }) => {
                    tracing::error!(path = %path.display(), %source, "what came is not kept yet, and its sender waits");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = self.writer.closed() => return Err(End::Closed),
                    }
                }
                Err(error) => return Err(End::Failed(error.to_string())),
            }
        }
    }

    /// Hands values to the system, one envelope after the other, until it has made them last. What it cannot take now is passed on again
    /// as often as it takes; what fails twice is given up, so that a value that nobody can digest does not keep all others from coming.
    async fn pass_on(&mut self, kept: Vec<Kept>) -> Result<(), End> {
        for one in &kept {
            let mut failures = 0;
            loop {
                let values = one.values();
                if values.is_empty() {
                    break;
                }
                let (done, told) = oneshot::channel();
                self.writer.pass_owing(Message::Telemetry(values), done).await?;
                // Told nothing: it cannot be taken now, which is no failure of the values.
                let has_failed = match told.await {
                    Ok(true) => break,
                    Ok(false) => true,
                    Err(_) => false,
                };
                if self.writer.is_closed() {
                    return Err(End::Closed);
                }
                failures += u32::from(has_failed);
                if failures == FAILURES_MAX {
                    self.give_up(one);
                    break;
                }
                tracing::warn!(
                    has_failed,
                    "the system did not keep what was passed on; it is passed on again"
                );
                tokio::time::sleep(if has_failed { FAILED_PAUSE } else { PAUSE }).await;
            }
            if let Some(log) = &mut self.log {
                log.passed().map_err(|error| End::Failed(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Goes on without what the system failed at again and again: counted, and said.
    fn give_up(&mut self, kept: &Kept) {
        let reason = format!("the system failed twice at values of {kept}");
        self.writer.refuse(&Rejected::new(&self.topic, RejectCode::GivenUp, reason));
    }
}

/// What a row is here.
fn value_of(
    points: &BTreeMap<Pseudonym, MappedPoint>,
    row: &super::row::Row,
    now: Timestamp,
) -> Result<Measurement, Refusal> {
    let Some(mapped) = points.get(&row.pseudonym) else {
        return Err((RejectCode::Pseudonym, format!("{} is in no point map", row.pseudonym)));
    };
    if row.observed_at > now.plus(FUTURE_MAX) {
        return Err((RejectCode::Time, format!("{} is more than 5 min ahead", row.observed_at)));
    }
    let value = Measurement {
        point: mapped.point,
        value: row.value * mapped.factor,
        quality: Quality::Measured,
        measured_at: row.observed_at,
        received_at: now,
    };
    check_measurement(&value)?;
    Ok(value)
}
