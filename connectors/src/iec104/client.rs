//! The client: keeps a connection, tells what is reported and what is missing, asks, and starts again.

use super::apci::{Split, split};
use super::asdu::{Asdu, Cause, Object, activation};
use super::config::{ConfigError, Iec104Config};
use super::cp;
use super::interrogation::{Asking, Late};
use super::kind::Kind;
use super::point::{LAG_MAX, Point, Taken};
use super::session::{Brought, Session};
use super::tag::Address;
use super::tls;
use crate::exchange::{Closed, Counters, InboxWriter, Limits, LinkState, inbox};
use crate::house::{Message, RejectCode, Rejected};
use crate::link::{End, Source};
use grid::{Clock, Measurement, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A connection has to last this long before the next attempt after it comes at once.
const STEADY: Duration = Duration::from_secs(10);
/// How often a station's clock is set, where it is.
const CLOCK_PERIOD: Duration = Duration::from_secs(3600);
/// How long the station may take to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(1);
/// Bytes read at once.
const READ_MAX: usize = 4096;
/// The whole station, of a general interrogation.
const QOI_STATION: u8 = 20;
/// All counters, of a counter interrogation; and whether they are frozen for it.
const QCC_GENERAL: u8 = 5;
const QCC_FREEZE: u8 = 0x40;

/// Starts to listen to a station in a task of its own. Must be called inside a tokio runtime. The task ends soon after the
/// inbox was dropped.
///
/// # Errors
/// [`ConfigError`] when the settings cannot work; an absent station is no error.
pub fn connect(config: Iec104Config, clock: Arc<dyn Clock>) -> Result<Source, ConfigError> {
    config.check()?;
    let tls = tls::connector(&config)?;
    let counters = Arc::new(Counters::default());
    let (writer, reader) = inbox(Limits::default(), counters.clone());
    let name = config.name.clone();
    let points: Vec<Point> = config.points.iter().cloned().map(Point::new).collect();
    let places = points.iter().enumerate().map(|(at, point)| (point.address, at)).collect();
    let client = Client {
        config,
        tls,
        points,
        places,
        clock,
        inbox: writer,
        counters: counters.clone(),
        up: None,
        attempt: 0,
    };
    tokio::spawn(client.run());
    Ok(Source { name, inbox: reader, counters })
}

/// A connection, plain or with TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What is asked for on one connection.
struct Questions {
    general: Asking,
    counters: Asking,
    clocks: Asking,
}

struct Client {
    config: Iec104Config,
    tls: Option<(tokio_rustls::TlsConnector, rustls::pki_types::ServerName<'static>)>,
    points: Vec<Point>,
    places: BTreeMap<Address, usize>,
    clock: Arc<dyn Clock>,
    inbox: InboxWriter,
    counters: Arc<Counters>,
    /// What was last told; `None` before the first attempt.
    up: Option<bool>,
    /// Attempts since a connection lasted.
    attempt: u32,
}

impl Client {
    async fn run(mut self) {
        while !self.inbox.is_closed() {
            let began = Instant::now();
            let End::Lost(reason) = self.connection().await else { return };
            if self.lost(reason).await.is_err() {
                return;
            }
            if began.elapsed() >= STEADY {
                self.attempt = 0;
            }
            tokio::select! {
                () = sleep(backoff(&self.config.name, self.attempt)) => {}
                () = self.inbox.closed() => return,
            }
            self.attempt = self.attempt.saturating_add(1);
        }
    }

    /// Says once that nothing comes any more: first of each point, then of the station.
    async fn lost(&mut self, reason: String) -> Result<(), Closed> {
        let now = self.clock.now();
        let missing: Vec<_> = self.points.iter_mut().filter_map(|point| point.lose(now)).collect();
        self.tell(missing).await?;
        if self.up != Some(false) {
            self.up = Some(false);
            tracing::warn!(%reason, source = %self.config.name, "iec104 station lost");
            self.inbox.link(LinkState::Down { reason })?;
        }
        Ok(())
    }

    async fn tell(&mut self, values: Vec<Measurement>) -> Result<(), Closed> {
        if values.is_empty() { Ok(()) } else { self.inbox.send(Message::Telemetry(values)).await }
    }

    /// One connection, from the first attempt to its end.
    async fn connection(&mut self) -> End {
        let dialled = tokio::select! {
            dialled = self.dial() => dialled,
            () = self.inbox.closed() => return End::Unheard,
        };
        let mut stream = match dialled {
            Ok(stream) => stream,
            Err(reason) => return self.gone(reason),
        };
        self.points.iter_mut().for_each(|point| point.is_heard = false);
        let mut session = Session::start(self.config.timers, Instant::now());
        let Err(end) = self.listen(stream.as_mut(), &mut session).await;
        if matches!(end, End::Unheard) {
            let _ = timeout(GOOD_BYE, good_bye(stream.as_mut(), &mut session)).await;
        }
        end
    }

    fn gone(&self, reason: impl std::fmt::Display) -> End {
        End::Lost(format!("{}: {reason}", self.config.server))
    }

    async fn dial(&self) -> Result<Box<dyn Stream>, String> {
        let patience = self.config.timers.t0;
        let late = |_| format!("no connection within {patience:?}");
        let stream = timeout(patience, TcpStream::connect(&self.config.server)).await.map_err(late)?;
        let stream = stream.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let secured = timeout(patience, connector.connect(name.clone(), stream)).await.map_err(late)?;
        Ok(Box::new(secured.map_err(|error| format!("TLS: {error}"))?))
    }

    async fn listen(
        &mut self,
        stream: &mut dyn Stream,
        session: &mut Session,
    ) -> Result<std::convert::Infallible, End> {
        let mut questions = self.questions();
        let (mut buffer, mut received) = (vec![0; READ_MAX], Vec::new());
        let mut next_general = Instant::now() + self.config.period;
        let mut next_count = Instant::now() + self.until_next_count();
        let mut next_clock = Instant::now() + CLOCK_PERIOD;
        loop {
            self.ask(session, &mut questions);
            if !session.out.is_empty() {
                self.write(stream, session).await?;
            }
            let due = [
                Some(session.due()),
                questions.due(),
                Some(next_general),
                Some(next_count),
                Some(next_clock),
            ];
            let due = due.into_iter().flatten().min().unwrap_or(next_general);
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => return Err(self.gone("the station hung up")),
                    Ok(count) => {
                        received.extend(buffer.get(..count).unwrap_or_default());
                        self.take_bytes(&mut received, session, &mut questions).await?;
                    }
                    Err(error) => return Err(self.gone(error)),
                },
                () = sleep_until(due) => {
                    let now = Instant::now();
                    session.on_time(now).map_err(|broken| self.gone(broken))?;
                    self.on_late(&mut questions, now)?;
                    if now >= next_general {
                        questions.general.all();
                        next_general = now + self.config.period;
                    }
                    if now >= next_count {
                        questions.counters.all();
                        next_count = now + self.until_next_count();
                    }
                    if now >= next_clock {
                        questions.clocks.all();
                        next_clock = now + CLOCK_PERIOD;
                    }
                }
                () = self.inbox.closed() => return Err(End::Unheard),
            }
        }
    }

    async fn write(&self, stream: &mut dyn Stream, session: &mut Session) -> Result<(), End> {
        let patience = self.config.timers.t1;
        let written = timeout(patience, async {
            stream.write_all(&session.out).await?;
            stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => session.out.clear(),
            Ok(Err(error)) => return Err(self.gone(error)),
            Err(_) => return Err(self.gone(format!("it does not read what we send within t1, {patience:?}"))),
        }
        Ok(())
    }

    /// Whom to ask for what. Only stations with counters in the point map are asked for counters.
    fn questions(&self) -> Questions {
        let stations = |counters: Option<bool>| {
            let wanted = self
                .points
                .iter()
                .filter(|point| counters.is_none_or(|counters| point.is_counter() == counters));
            let stations: BTreeSet<u16> = wanted.map(|point| point.address.ca).collect();
            stations.into_iter().collect::<Vec<_>>()
        };
        let patience = self.config.timers.t1;
        let clocks = if self.config.set_clock { stations(None) } else { Vec::new() };
        Questions {
            general: Asking::new(stations(Some(false)), patience),
            counters: Asking::new(stations(Some(true)), patience),
            clocks: Asking::new(clocks, patience),
        }
    }

    fn until_next_count(&self) -> Duration {
        let period = self.config.counters.period;
        let now = self.clock.now().since(Timestamp::from_seconds(0)).as_nanos();
        let left = period.as_nanos() - now % period.as_nanos();
        Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX)).min(period)
    }

    /// Sends what is to be asked, counters first: they are read at the boundary of a quarter-hour.
    fn ask(&self, session: &mut Session, questions: &mut Questions) {
        let now = Instant::now();
        let Questions { general, counters, clocks } = questions;
        let qcc = QCC_GENERAL | if self.config.counters.freeze { QCC_FREEZE } else { 0 };
        for (asking, kind) in
            [(clocks, Kind::C_CS_NA_1), (counters, Kind::C_CI_NA_1), (general, Kind::C_IC_NA_1)]
        {
            if !asking.is_ready() || !session.has_room() {
                continue;
            }
            let Some(ca) = asking.next(now) else { continue };
            let time = cp::write_56(self.clock.now(), self.config.utc_offset_minutes);
            let qualifier: &[u8] = match kind {
                Kind::C_CS_NA_1 => &time,
                Kind::C_CI_NA_1 => &[qcc],
                _ => &[QOI_STATION],
            };
            session.send(&activation(kind, self.config.originator, ca, qualifier), now);
        }
    }

    /// Takes all whole frames of what was received.
    async fn take_bytes(
        &mut self,
        received: &mut Vec<u8>,
        session: &mut Session,
        questions: &mut Questions,
    ) -> Result<(), End> {
        let mut done = 0;
        while let Split::Frame(frame, length) =
            split(received.get(done..).unwrap_or_default()).map_err(|error| self.gone(error))?
        {
            let brought = session.take(frame, Instant::now()).map_err(|broken| self.gone(broken))?;
            match brought {
                Brought::Nothing | Brought::Stopped => {}
                Brought::Started => {
                    self.reached()?;
                    questions.clocks.all();
                    questions.counters.all();
                    questions.general.all();
                }
                Brought::Data(bytes) => {
                    self.counters.add_received();
                    let asdu = Asdu::read(bytes).map_err(|error| self.gone(error))?;
                    self.take(&asdu, questions).await?;
                    session.passed_on();
                }
            }
            done += length;
        }
        received.drain(..done);
        Ok(())
    }

    /// The station is there and sends.
    fn reached(&mut self) -> Result<(), Closed> {
        if self.up == Some(true) {
            return Ok(());
        }
        self.up = Some(true);
        tracing::info!(source = %self.config.name, server = %self.config.server, "iec104 station reached");
        self.inbox.link(LinkState::Up)
    }

    async fn take(&mut self, asdu: &Asdu<'_>, questions: &mut Questions) -> Result<(), End> {
        let what = |ca: u16| format!("ca={ca} {}", asdu.kind.name());
        if asdu.cause.test {
            self.refuse(&what(asdu.ca), RejectCode::Quality, "a test; what it says is not so");
            return Ok(());
        }
        match asdu.kind {
            Kind::C_IC_NA_1 => {
                if let Some(ca) = self.take_answer(asdu, &mut questions.general) {
                    self.miss_unheard(ca).await?;
                }
            }
            Kind::C_CI_NA_1 => drop(self.take_answer(asdu, &mut questions.counters)),
            Kind::C_CS_NA_1 => {
                // The setting of a clock has no termination.
                let is_confirmed = asdu.cause.number == Cause::CONFIRMATION && !asdu.cause.negative;
                if self.take_answer(asdu, &mut questions.clocks).is_none() && is_confirmed {
                    questions.clocks.ended(asdu.ca);
                }
            }
            // It has started anew.
            Kind::M_EI_NA_1 => {
                questions.general.one(asdu.ca);
                questions.counters.one(asdu.ca);
            }
            _ => match asdu.objects() {
                None => {
                    self.refuse(&what(asdu.ca), RejectCode::Value, "a type that is not taken; it is skipped")
                }
                Some(Err(error)) => return Err(self.gone(error)),
                Some(Ok(_)) if !asdu.cause.is_monitoring() || asdu.cause.negative => {
                    let reason = format!("values with cause {} are not measured ones", asdu.cause.number);
                    self.refuse(&what(asdu.ca), RejectCode::Quality, &reason);
                }
                Some(Ok(objects)) => self.take_objects(&objects, asdu.cause.is_asked()).await?,
            },
        }
        Ok(())
    }

    fn refuse(&mut self, what: &str, code: RejectCode, reason: &str) {
        self.inbox.refuse(&Rejected::new(what, code, reason));
    }

    /// What a station says to a question; the station when it has answered or will not.
    fn take_answer(&mut self, asdu: &Asdu<'_>, asking: &mut Asking) -> Option<u16> {
        let (cause, ca) = (asdu.cause, asdu.ca);
        match cause.number {
            Cause::CONFIRMATION if !cause.negative => {
                asking.confirmed(ca);
                return None;
            }
            Cause::TERMINATION => {}
            // Where it says why after it has said no, both are of one question.
            Cause::CONFIRMATION | 44..=47 => {
                let reason = format!("the station does not answer {}: {}", asdu.kind.name(), cause.refusal());
                self.refuse(&format!("ca={ca}"), RejectCode::Point, &reason);
            }
            _ => return None,
        }
        asking.ended(ca).then_some(ca)
    }

    /// Tells what a station did not name although it was asked for everything.
    async fn miss_unheard(&mut self, ca: u16) -> Result<(), Closed> {
        let (now, mut missing) = (self.clock.now(), Vec::new());
        for point in &mut self.points {
            if point.address.ca != ca || point.is_heard || point.is_counter() {
                continue;
            }
            // Once a connection.
            point.is_heard = true;
            missing.extend(point.lose(now));
            let reason = "the station does not name it in its general interrogation";
            self.inbox.refuse(&Rejected::new(&point.mapped.tag, RejectCode::Point, reason));
        }
        self.tell(missing).await
    }

    /// A station that does not even confirm a general interrogation is as good as gone; without counters and a set clock it
    /// still measures.
    fn on_late(&mut self, questions: &mut Questions, now: Instant) -> Result<(), End> {
        let Questions { general, counters, clocks } = questions;
        for (asking, kind) in
            [(general, Kind::C_IC_NA_1), (counters, Kind::C_CI_NA_1), (clocks, Kind::C_CS_NA_1)]
        {
            let name = kind.name();
            match asking.late(now) {
                None => {}
                Some(Late::Unconfirmed(ca)) if kind == Kind::C_IC_NA_1 => {
                    return Err(self.gone(format!("the station ca={ca} does not answer {name} within t1")));
                }
                Some(Late::Unconfirmed(ca)) => {
                    let reason = format!("the station does not answer {name} within t1");
                    self.refuse(&format!("ca={ca}"), RejectCode::Point, &reason);
                }
                Some(Late::Unended(ca)) => {
                    tracing::warn!(source = %self.config.name, ca, question = %name, "iec104 answer without an end");
                }
            }
        }
        Ok(())
    }

    /// Passes on what was reported. Objects that are not in the point map are not ours.
    async fn take_objects(&mut self, objects: &[Object], is_asked: bool) -> Result<(), Closed> {
        let (now, mut told) = (self.clock.now(), Vec::new());
        for object in objects {
            let point = self.places.get(&object.address).and_then(|at| self.points.get_mut(*at));
            let Some(point) = point else { continue };
            match point.take(object, is_asked, now, self.config.utc_offset_minutes) {
                Ok(Taken::News(value)) => told.push(value),
                Ok(Taken::Known) => {}
                Ok(Taken::Repeated) => self.counters.add_overtaken(1),
                Ok(Taken::Late) => {
                    let reason = format!(
                        "its time tag is more than {LAG_MAX:?} older than what the station said before; see to its clock"
                    );
                    self.inbox.refuse(&Rejected::new(&point.mapped.tag, RejectCode::Time, reason));
                }
                Err((code, reason)) => {
                    told.extend(point.lose(now));
                    self.inbox.refuse(&Rejected::new(&point.mapped.tag, code, reason));
                }
            }
        }
        self.tell(told).await
    }
}

impl Questions {
    fn due(&self) -> Option<Instant> {
        [self.general.due(), self.counters.due(), self.clocks.due()].into_iter().flatten().min()
    }
}

/// Ends the transfer as the standard has it, so that the station keeps what it has not sent.
async fn good_bye(stream: &mut dyn Stream, session: &mut Session) -> std::io::Result<()> {
    session.stop(Instant::now());
    stream.write_all(&session.out).await?;
    stream.flush().await?;
    let mut rest = [0; READ_MAX];
    // What still comes is not acknowledged any more; the station sends it to whoever comes next.
    while let Ok(count) = stream.read(&mut rest).await {
        if count == 0 || rest.get(..count).is_some_and(|bytes| bytes.ends_with(&STOPPED)) {
            break;
        }
    }
    stream.shutdown().await
}

/// A frame that confirms the end of the transfer.
const STOPPED: [u8; 6] = [0x68, 4, 0x23, 0, 0, 0];

/// How long to wait before another attempt: twice as long each time, and up to half of it more, by the connector's name, so
/// that not all of them come back at the same moment.
fn backoff(name: &str, attempt: u32) -> Duration {
    let base = BACKOFF_MIN.saturating_mul(1 << attempt.min(10)).min(BACKOFF_MAX);
    let seed = name.bytes().chain(attempt.to_le_bytes());
    // FNV-1a: spreads names that differ in one letter.
    let hash = seed
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    base + base.mul_f64((hash >> 40) as f64 / f64::from(1 << 24) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_at_longer_and_longer_intervals_that_differ_by_name() {
        let spans = |name: &str| (0..12).map(|attempt| backoff(name, attempt)).collect::<Vec<_>>();
        let (one, other) = (spans("rtu 1"), spans("rtu 2"));
        assert_ne!(one, other);
        for (attempt, span) in one.iter().enumerate() {
            let base = (BACKOFF_MIN * (1 << attempt.min(10))).min(BACKOFF_MAX);
            assert!(*span >= base && *span <= base + base / 2, "{attempt}: {span:?}");
        }
        assert!(one[8] != one[9], "also at the longest the attempts of one connector do not keep step");
    }
}
