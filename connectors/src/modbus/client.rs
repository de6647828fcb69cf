//! The client: connects, asks along its plan at whole periods, says what is missing, and starts again.

use super::address::Server;
use super::config::{ConfigError, ModbusConfig};
use super::connection::{Answer, Connection};
use super::decode::{Number, decode};
use super::plan::{Request, plan};
use super::tag::{Format, Register};
use crate::counter::Counter;
use crate::exchange::{Closed, Counters, InboxWriter, Limits, LinkState, inbox};
use crate::house::{self, Message, RejectCode, Rejected};
use crate::link::{End, Source};
use crate::point_map::{MappedPoint, Passed};
use grid::{Clock, Measurement, Quality, Quantity, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_modbus::ExceptionCode;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How late a counter may be read at the boundary of a slot, in periods, and at least.
const LATE_PERIODS: u32 = 2;
const LATE_MIN: Duration = Duration::from_secs(2);
/// A count that is later belongs to the next quarter-hour by more than a hundredth.
const LATE_MAX: Duration = Duration::from_secs(10);

/// Starts to read a server in a task of its own. Must be called inside a tokio runtime. The task ends soon after the
/// inbox was dropped.
///
/// # Errors
/// [`ConfigError`] when the settings cannot work; an absent server is no error.
pub fn connect(config: ModbusConfig, clock: Arc<dyn Clock>) -> Result<Source, ConfigError> {
    config.check()?;
    let server = config.address()?;
    let counters = Arc::new(Counters::default());
    let (writer, reader) = inbox(Limits::default(), counters.clone());
    let name = config.name.clone();
    let registers: Vec<Register> = config.points.iter().map(|(register, _)| *register).collect();
    let late = LATE_MIN.max(LATE_PERIODS * config.period).min(LATE_MAX);
    let points =
        config.points.into_iter().map(|(register, mapped)| Point::new(register, mapped, late)).collect();
    let client = Client {
        name: config.name,
        server,
        server_name: config.server,
        period: config.period,
        timeout: config.timeout,
        plan: plan(&registers),
        registers,
        points,
        clock,
        inbox: writer,
        counters: counters.clone(),
        silent: BTreeSet::new(),
        up: None,
        backoff: BACKOFF_MIN,
    };
    tokio::spawn(client.run());
    Ok(Source { name, inbox: reader, counters })
}

/// One point, and what was told of it.
struct Point {
    register: Register,
    mapped: MappedPoint,
    passed: Passed,
    /// Of an energy.
    counter: Option<Counter>,
    /// Whether the last thing told is that it is missing.
    missing: bool,
}

impl Point {
    fn new(register: Register, mapped: MappedPoint, late: Duration) -> Self {
        let counter = match (mapped.point.quantity, register.format) {
            (Quantity::SlotEnergy, Format::Unsigned(bits)) => Some(Counter::new(bits, late)),
            _ => None,
        };
        Self { register, mapped, passed: Passed::default(), counter, missing: false }
    }

    fn measurement(&self, value: f64, quality: Quality, at: Timestamp) -> Measurement {
        Measurement { point: self.mapped.point, value, quality, measured_at: at, received_at: at }
    }

    /// What is to be told of a number read at `at`.
    fn take(&mut self, number: Number, at: Timestamp) -> Result<Option<Measurement>, house::Refusal> {
        let value = match (&mut self.counter, number) {
            (Some(counter), Number::Unsigned(reading)) => {
                let Some(counted) = counter.read(reading, at) else { return Ok(None) };
                let energy =
                    self.measurement(counted.count as f64 * self.mapped.factor, Quality::Measured, at);
                Measurement { measured_at: counted.slot.end(), ..energy }
            }
            // Nothing fed in is nothing, not minus nothing.
            _ => self.measurement(number.value() * self.mapped.factor + 0.0, Quality::Measured, at),
        };
        house::check_measurement(&value)?;
        let is_told = self.counter.is_some() || self.passed.is_news(&value, self.mapped.deadband);
        self.missing = false;
        Ok(is_told.then_some(value))
    }

    /// That it is missing, unless that was told. Of an energy nothing is told: there is none.
    fn lose(&mut self, at: Timestamp) -> Option<Measurement> {
        let is_news = self.counter.is_none() && !std::mem::replace(&mut self.missing, true);
        self.passed.forget();
        is_news.then(|| self.measurement(0.0, Quality::Missing, at))
    }
}

struct Client {
    name: String,
    server: Server,
    /// As the site's file has it.
    server_name: String,
    period: Duration,
    timeout: Duration,
    registers: Vec<Register>,
    plan: Vec<Request>,
    points: Vec<Point>,
    clock: Arc<dyn Clock>,
    inbox: InboxWriter,
    counters: Arc<Counters>,
    /// Units of a line that did not answer last.
    silent: BTreeSet<u8>,
    /// What was last told; `None` before the first attempt.
    up: Option<bool>,
    backoff: Duration,
}

impl Client {
    async fn run(mut self) {
        while !self.inbox.is_closed() {
            let End::Lost(reason) = self.connection().await else { return };
            if self.lost(reason).await.is_err() {
                return;
            }
            sleep(self.backoff).await;
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Says once that nothing comes any more: first of each point, then of the server.
    async fn lost(&mut self, reason: String) -> Result<(), Closed> {
        let now = self.clock.now();
        let missing: Vec<_> = self.points.iter_mut().filter_map(|point| point.lose(now)).collect();
        if !missing.is_empty() {
            self.inbox.send(Message::Telemetry(missing)).await?;
        }
        if self.up != Some(false) {
            self.up = Some(false);
            tracing::warn!(%reason, source = %self.name, server = %self.server_name, "modbus server lost");
            self.inbox.link(LinkState::Down { reason })?;
        }
        Ok(())
    }

    /// One connection, from the first attempt to its end.
    async fn connection(&mut self) -> End {
        let mut connection = match self.dial().await {
            Ok(connection) => connection,
            Err(end) => return end,
        };
        loop {
            if let Err(end) = self.round(&mut connection).await {
                return end;
            }
            sleep(self.until_next_round()).await;
            if self.inbox.is_closed() {
                return End::Unheard;
            }
        }
    }

    async fn dial(&self) -> Result<Connection, End> {
        Connection::dial(&self.server, self.timeout).await.map_err(|reason| self.end(&reason))
    }

    fn end(&self, reason: &str) -> End {
        End::Lost(format!("{}: {reason}", self.server_name))
    }

    fn until_next_round(&self) -> Duration {
        let period = self.period.as_nanos();
        let now = self.clock.now().since(Timestamp::from_seconds(0)).as_nanos();
        Duration::from_nanos(u64::try_from(period - now % period).unwrap_or(u64::MAX)).min(self.period)
    }

    /// Asks for everything once. A unit that is silent does not keep the others from being read, as long as any answers.
    async fn round(&mut self, connection: &mut Connection) -> Result<(), End> {
        let (mut answered, mut at) = (false, 0);
        let mut unread = format!("no answer within {:?}", self.timeout);
        while let Some(request) = self.plan.get(at).cloned() {
            at += 1;
            match self.ask(connection, &request).await? {
                Answer::Registers(registers) => {
                    answered = true;
                    self.reached()?;
                    self.take(&request, &registers).await?;
                }
                Answer::Refused(code) => {
                    answered = true;
                    self.reached()?;
                    let is_about_registers =
                        matches!(code, ExceptionCode::IllegalDataAddress | ExceptionCode::IllegalDataValue);
                    if is_about_registers && request.points.len() > 1 {
                        // One register among them may be none: ask for each by itself from now on.
                        at -= 1;
                        self.plan.splice(at..=at, request.singly(&self.registers));
                    } else {
                        self.miss(&request, &format!("the server answers {code}")).await?;
                    }
                }
                Answer::Broken(reason) => {
                    self.miss(&request, &reason).await?;
                    unread = reason;
                }
                Answer::Silence if matches!(connection, Connection::Line(_)) => {
                    at = self.pass_over(at - 1).await?;
                }
                Answer::Silence => {
                    self.miss(&request, &format!("no answer within {:?}", self.timeout)).await?;
                    // A late answer must not be taken for the next one.
                    *connection = self.dial().await?;
                }
            }
        }
        if answered || self.plan.is_empty() {
            // A whole round, not one answer: a server that hangs up after its first is not asked again at once.
            self.backoff = BACKOFF_MIN;
            return self.reached().map_err(End::from);
        }
        Err(self.end(&unread))
    }

    /// Asks, on a line once more where that may help: noise spoils questions as well as answers.
    async fn ask(&mut self, connection: &mut Connection, request: &Request) -> Result<Answer, End> {
        let mut answer = connection.ask(request, self.timeout).await.map_err(|reason| self.end(&reason))?;
        if !matches!(connection, Connection::Line(_)) {
            return Ok(answer);
        }
        let again = match &answer {
            Answer::Broken(reason) => {
                self.broken(request, reason);
                true
            }
            Answer::Silence => !self.silent.contains(&request.unit),
            Answer::Registers(_) | Answer::Refused(_) => false,
        };
        if again {
            answer = connection.ask(request, self.timeout).await.map_err(|reason| self.end(&reason))?;
            if let Answer::Broken(reason) = &answer {
                self.broken(request, reason);
            }
        }
        match answer {
            Answer::Silence => self.silent.insert(request.unit),
            _ => self.silent.remove(&request.unit),
        };
        Ok(answer)
    }

    /// Counts an answer that is none.
    fn broken(&mut self, request: &Request, reason: &str) {
        let what = format!("{} unit {}", self.server_name, request.unit);
        self.inbox.refuse(&Rejected::new(&what, RejectCode::Encoding, reason));
    }

    /// Of a unit that is silent nothing more is asked in this round: each question would cost the others their time. What it was
    /// silent to is asked last in the next one, as it may be only that. Returns where the next unit begins.
    async fn pass_over(&mut self, at: usize) -> Result<usize, Closed> {
        let unit = self.plan[at].unit;
        let end = at + self.plan[at..].iter().take_while(|request| request.unit == unit).count();
        let unread = self.plan[at..end].to_vec();
        self.plan[at..end].rotate_left(1);
        for request in unread {
            self.miss(&request, &format!("unit {unit} does not answer within {:?}", self.timeout)).await?;
        }
        Ok(end)
    }

    /// The server answered.
    fn reached(&mut self) -> Result<(), Closed> {
        if self.up == Some(true) {
            return Ok(());
        }
        self.up = Some(true);
        tracing::info!(source = %self.name, server = %self.server_name, "modbus server reached");
        self.inbox.link(LinkState::Up)
    }

    /// Passes on what a request brought.
    async fn take(&mut self, request: &Request, registers: &[u16]) -> Result<(), Closed> {
        self.counters.add_received();
        let (at, mut told) = (self.clock.now(), Vec::new());
        for &index in &request.points {
            let point = &mut self.points[index];
            let (first, count) = (
                usize::from(point.register.address - request.address),
                usize::from(point.register.format.registers()),
            );
            let own = registers.get(first..first + count).unwrap_or_default();
            match decode(point.register.format, point.register.order, own) {
                None => told.extend(point.lose(at)),
                Some(number) => match point.take(number, at) {
                    Ok(value) => told.extend(value),
                    Err((code, reason)) => {
                        told.extend(point.lose(at));
                        self.inbox.refuse(&Rejected::new(&point.mapped.tag, code, reason));
                    }
                },
            }
        }
        if told.is_empty() { Ok(()) } else { self.inbox.send(Message::Telemetry(told)).await }
    }

    async fn miss(&mut self, request: &Request, reason: &str) -> Result<(), Closed> {
        let (now, mut told) = (self.clock.now(), Vec::new());
        for &index in &request.points {
            let point = &mut self.points[index];
            let missing = point.lose(now);
            if missing.is_some() {
                tracing::warn!(source = %self.name, tag = %point.mapped.tag, %reason, "point is missing");
            }
            told.extend(missing);
        }
        if told.is_empty() { Ok(()) } else { self.inbox.send(Message::Telemetry(told)).await }
    }
}
