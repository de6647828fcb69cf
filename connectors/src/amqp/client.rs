//! The client: keeps a connection, hands requests over one after the other, replies, and starts again.

use super::config::{AmqpConfig, ConfigError};
use super::request::{self, Answer, Request, Requestor};
use super::session::{Brought, Delivery, Session};
use super::wire;
use crate::exchange::{Counters, InboxWriter, Limits, LinkState, inbox};
use crate::house::{RejectCode, Rejected};
use crate::link::{End, Source};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A connection has to last this long before the next attempt after it comes at once.
const STEADY: Duration = Duration::from_secs(10);
/// Bytes read at once.
const READ_MAX: usize = 16 * 1024;

/// An answer that is being made.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Who answers requests. What a request causes lasts when its answer is there; answering it again changes nothing.
pub trait Services: Send + Sync {
    /// Answers one.
    fn answer(&self, request: Request) -> Answering<'_>;
}

/// A client that waits for those who answer.
pub struct Waiting(Client);

impl Waiting {
    /// Connects and keeps at it. Must be called inside a tokio runtime; ends soon after the source's inbox was dropped.
    pub fn start(self, services: Arc<dyn Services>) {
        tokio::spawn(self.0.run(services));
    }
}

/// Makes a client of a broker, which begins with [`Waiting::start`]. Its source tells no values, only whether the broker is there.
///
/// # Errors
/// [`ConfigError`] when the settings cannot work; an absent broker is no error.
pub fn open(config: AmqpConfig) -> Result<(Source, Waiting), ConfigError> {
    config.check()?;
    let counters = Arc::new(Counters::default());
    let (writer, reader) = inbox(Limits::default(), counters.clone());
    let name = config.name.clone();
    let client = Client { config, inbox: writer, counters: counters.clone(), up: None, attempt: 0 };
    Ok((Source { name, inbox: reader, counters }, Waiting(client)))
}

/// A connection, plain or with TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Client {
    config: AmqpConfig,
    inbox: InboxWriter,
    counters: Arc<Counters>,
    /// What was last told; `None` before the first attempt.
    up: Option<bool>,
    /// Attempts since a connection lasted.
    attempt: u32,
}

/// What one connection holds.
struct Held {
    session: Session,
    /// Delivered and not yet looked at.
    waiting: VecDeque<Delivery>,
    /// The one that is being answered.
    work: Option<(u64, Requestor, JoinHandle<Answer>)>,
    /// Requests by the number of their reply, until the broker has it.
    replied: BTreeMap<u64, u64>,
    blocked: bool,
}

impl Client {
    async fn run(mut self, services: Arc<dyn Services>) {
        while !self.inbox.is_closed() {
            let began = Instant::now();
            let End::Lost(reason) = self.connection(&services).await else { return };
            if self.up != Some(false) {
                self.up = Some(false);
                tracing::warn!(%reason, source = %self.config.name, "amqp broker lost");
                if self.inbox.link(LinkState::Down { reason }).is_err() {
                    return;
                }
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

    fn lost(&self, reason: impl std::fmt::Display) -> End {
        End::Lost(format!("{}: {reason}", self.config.server))
    }

    async fn dial(&self) -> Result<Box<dyn Stream>, End> {
        let tls = self.config.connector().map_err(|error| self.lost(error))?;
        let dialling = async {
            let stream = TcpStream::connect(&self.config.server).await?;
            stream.set_nodelay(true)?;
            Ok::<Box<dyn Stream>, std::io::Error>(match tls {
                None => Box::new(stream),
                Some((connector, name)) => Box::new(connector.connect(name, stream).await?),
            })
        };
        match timeout(self.config.timeout, dialling).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.lost(error)),
            Err(_) => Err(self.lost("no connection in time")),
        }
    }

    /// One connection, from the first attempt to its end.
    async fn connection(&mut self, services: &Arc<dyn Services>) -> End {
        // Read anew: it may have been changed.
        let password = match self.config.password() {
            Ok(password) => password,
            Err(error) => return self.lost(error),
        };
        let mut stream = match self.dial().await {
            Ok(stream) => stream,
            Err(end) => return end,
        };
        let mut held = Held {
            session: Session::new(&self.config),
            waiting: VecDeque::new(),
            work: None,
            replied: BTreeMap::new(),
            blocked: false,
        };
        let end = self.serve(&mut stream, &mut held, &password, services).await;
        if let Some((_, _, work)) = held.work {
            // It lasts or not by itself; the request comes again.
            work.abort();
        }
        let end = end.err().unwrap_or(End::Unheard);
        if matches!(end, End::Unheard) {
            held.session.close();
        }
        let _ = timeout(self.config.timeout, stream.write_all(&held.session.out)).await;
        let _ = timeout(self.config.timeout, stream.shutdown()).await;
        end
    }

    async fn serve(
        &mut self,
        stream: &mut Box<dyn Stream>,
        held: &mut Held,
        password: &str,
        services: &Arc<dyn Services>,
    ) -> Result<(), End> {
        let (mut received, mut bytes) = (Vec::new(), vec![0; READ_MAX]);
        let deadline = Instant::now() + self.config.timeout;
        let (mut heard, mut beaten) = (Instant::now(), Instant::now());
        loop {
            self.begin(held, services);
            self.write(stream, held).await?;
            let beat = Duration::from_secs(u64::from(held.session.heartbeat.max(1)));
            let silent_at = if held.session.is_ready() { heard + beat * 2 } else { deadline };
            tokio::select! {
                read = stream.read(&mut bytes) => match read {
                    Ok(0) => return Err(self.lost("the broker hung up")),
                    Ok(count) => {
                        heard = Instant::now();
                        received.extend_from_slice(bytes.get(..count).unwrap_or_default());
                        self.take_bytes(&mut received, held, password)?;
                    }
                    Err(error) => return Err(self.lost(error)),
                },
                answer = answered(&mut held.work) => self.reply(held, answer),
                () = sleep_until(beaten + beat / 2), if held.session.is_ready() => {
                    beaten = Instant::now();
                    held.session.beat();
                }
                () = sleep_until(silent_at) => return Err(self.lost("nothing came in time")),
                () = self.inbox.closed() => return Err(End::Unheard),
            }
        }
    }

    async fn write(&self, stream: &mut Box<dyn Stream>, held: &mut Held) -> Result<(), End> {
        if held.session.out.is_empty() {
            return Ok(());
        }
        let written = timeout(self.config.timeout, async {
            stream.write_all(&held.session.out).await?;
            stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => held.session.out.clear(),
            Ok(Err(error)) => return Err(self.lost(error)),
            Err(_) => return Err(self.lost("the broker does not read what we send")),
        }
        Ok(())
    }

    /// Takes all whole frames of what was received.
    fn take_bytes(&mut self, received: &mut Vec<u8>, held: &mut Held, password: &str) -> Result<(), End> {
        let mut done = 0;
        let broken = |error| End::Lost(format!("{error}"));
        while let Some((frame, length)) =
            wire::split(received.get(done..).unwrap_or_default(), held.session.frame_max()).map_err(broken)?
        {
            match held.session.take(frame, &self.config, password).map_err(broken)? {
                Brought::Nothing => {}
                Brought::Ready => {
                    self.up = Some(true);
                    tracing::info!(source = %self.config.name, server = %self.config.server, "amqp broker reached");
                    self.inbox.link(LinkState::Up)?;
                }
                Brought::Delivered(delivery) => {
                    self.inbox.note_received();
                    if held.waiting.len() >= usize::from(self.config.prefetch) {
                        return Err(self.lost("the broker delivers more at once than it was asked for"));
                    }
                    held.waiting.push_back(delivery);
                }
                Brought::Confirmed { number, all, kept } => self.confirmed(held, number, all, kept)?,
                Brought::Returned => {
                    self.refuse(RejectCode::Topic, "no queue takes the reply; it is dropped")
                }
                Brought::Blocked(blocked) => held.blocked = blocked,
            }
            done += length;
        }
        received.drain(..done);
        Ok(())
    }

    /// The broker has a reply: the request is done with.
    fn confirmed(&mut self, held: &mut Held, number: u64, all: bool, kept: bool) -> Result<(), End> {
        if !kept {
            return Err(self.lost("the broker did not keep a reply; its request comes again"));
        }
        let first = if all { 0 } else { number };
        let done: Vec<u64> = held.replied.range(first..=number).map(|(number, _)| *number).collect();
        for tag in done.iter().filter_map(|number| held.replied.remove(number)) {
            held.session.acknowledge(tag);
            self.counters.add_sent();
        }
        Ok(())
    }

    fn refuse(&mut self, code: RejectCode, reason: &str) {
        let (queue, reason) = (self.config.queue.clone(), reason.to_owned());
        self.inbox.refuse(&Rejected::new(&queue, code, reason));
    }

    /// Begins with the next request when nothing is being answered.
    fn begin(&mut self, held: &mut Held, services: &Arc<dyn Services>) {
        while held.work.is_none()
            && !held.blocked
            && let Some(Delivery { tag, properties, body }) = held.waiting.pop_front()
        {
            let Some(body) = body else {
                let reason = format!("a request of more than {} bytes", self.config.message_bytes_max);
                self.refuse(RejectCode::TooLarge, &reason);
                let (from, _) = request::read(properties, b"null");
                self.finish(held, tag, &from, &Answer::refused(413, "too_large", &reason));
                continue;
            };
            match request::read(properties, &body) {
                (from, Ok(request)) if self.may_reply(&from) => {
                    let services = services.clone();
                    let work = tokio::spawn(async move { services.answer(request).await });
                    held.work = Some((tag, from, work));
                }
                // Whoever can be told nothing gets nothing done.
                (_, Ok(_)) => {
                    self.refuse(
                        RejectCode::Topic,
                        "a request without a queue that may be replied to; it is thrown away",
                    );
                    held.session.reject(tag);
                }
                (from, Err(reason)) => {
                    self.refuse(RejectCode::Json, &reason);
                    self.finish(held, tag, &from, &Answer::refused(422, "malformed", &reason));
                }
            }
        }
    }

    fn may_reply(&self, from: &Requestor) -> bool {
        from.reply_to
            .as_ref()
            .is_some_and(|queue| *queue != self.config.queue && queue.starts_with(&self.config.replies))
    }

    fn reply(&mut self, held: &mut Held, (tag, from, answer): (u64, Requestor, Answer)) {
        match answer.status {
            200 => {}
            401 | 403 => self.refuse(RejectCode::Sender, &words(&answer)),
            status if status < 500 => self.refuse(RejectCode::Value, &words(&answer)),
            _ => tracing::warn!(source = %self.config.name, why = %words(&answer), "amqp request not served"),
        }
        self.finish(held, tag, &from, &answer);
    }

    fn finish(&mut self, held: &mut Held, tag: u64, from: &Requestor, answer: &Answer) {
        match &from.reply_to {
            Some(queue) if self.may_reply(from) => {
                let (id, body) = (from.correlation_id.as_deref(), from.reply(answer));
                let number = held.session.publish(queue, id, from.transient, &body);
                held.replied.insert(number, tag);
            }
            _ => held.session.reject(tag),
        }
    }
}

fn words(answer: &Answer) -> String {
    answer.result.get("message").and_then(serde_json::Value::as_str).unwrap_or("refused").to_owned()
}

/// The answer that is being made; never without one.
async fn answered(work: &mut Option<(u64, Requestor, JoinHandle<Answer>)>) -> (u64, Requestor, Answer) {
    let outcome = match work {
        Some((_, _, answer)) => answer.await,
        None => std::future::pending().await,
    };
    let answer = outcome.unwrap_or_else(|error| {
        tracing::error!(%error, "answering an amqp request failed");
        Answer::refused(500, "failed", "answering failed; see the log")
    });
    match work.take() {
        Some((tag, from, _)) => (tag, from, answer),
        None => std::future::pending().await,
    }
}

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
