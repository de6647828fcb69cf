//! The connection to NATS, and what lies there.
//!
//! ```text
//! stream  GRIDFLEX_JOURNAL_<area>     subject gridflex.journal.<area>; files, nothing is ever removed
//! stream  GRIDFLEX_HISTORY_<area>     subject gridflex.history.<area>; files, kept for HISTORY_KEPT
//! bucket  gridflex_cluster            lease.<area>, member.<name>; each entry lapses after LAPSE
//! ```
//!
//! All have as many replicas as asked for, three unless told otherwise.

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::stream::{self, DiscardPolicy, PersistenceMode, StorageType};
use async_nats::jetstream::{self, ErrorCode, kv};
use async_nats::{ConnectOptions, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// A lease, or a member's announcement, ends so long after it was last renewed.
pub const LAPSE: Duration = Duration::from_secs(3);
/// A request that was not answered is repeated after this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// A message that nobody confirmed for so long is given up, and the area with it.
const PUBLISH_MAX: Duration = Duration::from_secs(15);
/// A member that was away for longer than this has a gap in its copy of telemetry and estimates.
const HISTORY_KEPT: Duration = Duration::from_secs(7 * 86_400);
const BUCKET: &str = "gridflex_cluster";

/// NATS servers of one cluster.
#[derive(Debug, Clone)]
pub struct Servers(Vec<async_nats::ServerAddr>);

impl FromStr for Servers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let servers: Result<Vec<_>, _> = text
            .split(',')
            .map(|url| {
                let url = url.trim();
                url.parse()
                    .map_err(|error| format!("{url:?}: {error}; write for example nats://10.0.0.1:4222"))
            })
            .collect();
        servers.map(Self)
    }
}

/// Why NATS cannot be used.
#[derive(Debug, Error)]
pub enum NatsError {
    /// No server answered.
    #[error("no NATS server of the cluster can be reached: {0}")]
    Connect(String),
    /// A stream or the bucket cannot be made.
    #[error("NATS: {what}: {reason}")]
    Setup {
        /// Which.
        what: String,
        /// What the server said.
        reason: String,
    },
    /// There is one server, and more were to keep each message.
    #[error(
        "NATS: this server has no others beside it, and {replicas} were to keep each message; give it some, or --replicas 1 to try things out"
    )]
    Alone {
        /// How many.
        replicas: usize,
    },
    /// A stream was there, and it promises less than this member does.
    #[error(
        "NATS has a stream {name} already, and {other}; change that, for instance by `nats stream edit {name}`"
    )]
    Other {
        /// Which.
        name: String,
        /// What is different.
        other: String,
    },
    /// A request failed.
    #[error("NATS: {doing}: {reason}")]
    Request {
        /// What was asked.
        doing: &'static str,
        /// What the server or the client said.
        reason: String,
    },
}

/// What a server without others says to replicas.
const REPLICAS_ALONE: ErrorCode = ErrorCode(10074);

impl NatsError {
    /// Whether waiting does not help.
    pub fn is_lasting(&self) -> bool {
        matches!(self, NatsError::Alone { .. } | NatsError::Other { .. })
    }

    fn setup(what: String, replicas: usize, error: &CreateStreamError) -> Self {
        match error.kind() {
            CreateStreamErrorKind::JetStream(said) if said.error_code() == REPLICAS_ALONE => {
                NatsError::Alone { replicas }
            }
            _ => NatsError::Setup { what, reason: error.to_string() },
        }
    }
}

/// Why a message did not get into a stream.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Another member has written.
    #[error("another member serves this area: its journal went on after message {expected}")]
    Fenced {
        /// The newest message this member knows.
        expected: u64,
    },
    /// Nobody confirmed it.
    #[error("NATS did not confirm for {} s: {reason}", PUBLISH_MAX.as_secs())]
    Unconfirmed {
        /// The last answer.
        reason: String,
    },
}

/// A connection.
#[derive(Debug, Clone)]
pub struct Nats {
    client: async_nats::Client,
    context: jetstream::Context,
    replicas: usize,
}

/// One message of an area's stream.
#[derive(Debug)]
pub struct Message {
    /// Its number in the stream, from 1 without gaps.
    pub sequence: u64,
    /// What it carries.
    pub payload: Bytes,
}

/// Where a stream ends.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// Of its newest message, 0 when there never was one.
    pub sequence: u64,
    /// Whether no message is kept any more.
    pub is_empty: bool,
}

/// An area's stream.
#[derive(Debug, Clone)]
pub struct AreaStream {
    context: jetstream::Context,
    name: String,
    subject: String,
}

impl Nats {
    /// Connects, and goes on connecting when the connection is lost.
    ///
    /// # Errors
    /// When no server answers within a few seconds.
    pub async fn connect(servers: &Servers, member: &str, replicas: usize) -> Result<Self, NatsError> {
        let options = ConnectOptions::new()
            .name(format!("gridflex {member}"))
            .connection_timeout(Duration::from_secs(3))
            .ping_interval(Duration::from_secs(2))
            .reconnect_delay_callback(|attempts| Duration::from_millis((50 * attempts as u64).min(500)));
        let client = options.connect(&servers.0[..]).await;
        let client = client.map_err(|error| NatsError::Connect(error.to_string()))?;
        let context = jetstream::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .ack_timeout(REQUEST_TIMEOUT)
            .build(client.clone());
        Ok(Self { client, context, replicas })
    }

    /// The connection itself.
    pub fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// The bucket of leases and members.
    ///
    /// # Errors
    /// When it is not there and cannot be made.
    pub async fn bucket(&self) -> Result<kv::Store, NatsError> {
        // As the bucket it is; the client's own way asks for more than servers before 2.10 answer.
        let config = stream::Config {
            name: format!("KV_{BUCKET}"),
            description: Some("who serves which area of gridflex".into()),
            subjects: vec![format!("$KV.{BUCKET}.>")],
            max_messages_per_subject: 1,
            max_age: LAPSE,
            duplicate_window: LAPSE,
            discard: DiscardPolicy::New,
            storage: StorageType::Memory,
            num_replicas: self.replicas,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..stream::Config::default()
        };
        self.made(config).await?;
        self.known_bucket().await
    }

    /// Makes a stream, or finds that there is one that keeps no less than this one would.
    async fn made(&self, config: stream::Config) -> Result<(), NatsError> {
        let (name, wanted) = (config.name.clone(), config.clone());
        let made = self.context.get_or_create_stream(config).await;
        let what = format!("stream {name} with {} replicas", self.replicas);
        let made = made.map_err(|error| NatsError::setup(what, self.replicas, &error))?;
        let found = &made.cached_info().config;
        let other = if found.num_replicas < wanted.num_replicas {
            Some(format!("each message is kept by {}, not by {}", found.num_replicas, wanted.num_replicas))
        } else if found.storage != wanted.storage || found.max_age != wanted.max_age {
            Some("it keeps messages elsewhere or for another time".to_owned())
        } else if found.subjects != wanted.subjects || !found.deny_delete {
            Some("it was not made by gridflex".to_owned())
        } else if found.persist_mode == Some(PersistenceMode::Async) {
            Some("it confirms messages before they are written (persist_mode async)".to_owned())
        } else {
            None
        };
        match other {
            Some(other) => Err(NatsError::Other { name, other }),
            None => Ok(()),
        }
    }

    /// The bucket, when there is one.
    ///
    /// # Errors
    /// When there is none: no member has ever been here.
    pub async fn known_bucket(&self) -> Result<kv::Store, NatsError> {
        let missing = |reason: String| NatsError::Setup { what: format!("bucket {BUCKET}"), reason };
        self.context.get_key_value(BUCKET).await.map_err(|error| missing(error.to_string()))
    }

    /// The stream of an area's journal.
    ///
    /// # Errors
    /// When it is not there and cannot be made.
    pub async fn journal(&self, area: &str) -> Result<AreaStream, NatsError> {
        self.area(area, "journal", Duration::ZERO).await
    }

    /// The stream of an area's telemetry and estimates.
    ///
    /// # Errors
    /// When it is not there and cannot be made.
    pub async fn history(&self, area: &str) -> Result<AreaStream, NatsError> {
        self.area(area, "history", HISTORY_KEPT).await
    }

    async fn area(&self, area: &str, what: &str, max_age: Duration) -> Result<AreaStream, NatsError> {
        let name = format!("GRIDFLEX_{}_{area}", what.to_ascii_uppercase());
        let subject = format!("gridflex.{what}.{area}");
        let config = stream::Config {
            name: name.clone(),
            description: Some(format!("the {what} of area {area}")),
            subjects: vec![subject.clone()],
            storage: StorageType::File,
            num_replicas: self.replicas,
            max_age,
            deny_delete: true,
            ..stream::Config::default()
        };
        self.made(config).await?;
        Ok(AreaStream { context: self.context.clone(), name, subject })
    }
}

/// Messages of a stream, as they come.
pub type Messages = Pin<Box<dyn futures_util::Stream<Item = Result<Message, NatsError>> + Send>>;

impl AreaStream {
    /// Where it ends.
    ///
    /// # Errors
    /// [`NatsError::Request`].
    pub async fn end(&self) -> Result<End, NatsError> {
        let doing = "asking for the end of a journal";
        let failed = |reason: String| NatsError::Request { doing, reason };
        let stream = self.context.get_stream(&self.name).await.map_err(|error| failed(error.to_string()))?;
        let state = &stream.cached_info().state;
        Ok(End { sequence: state.last_sequence, is_empty: state.messages == 0 })
    }

    /// Its messages after this one, as they come, in order and without gaps but for those that are not kept any more.
    ///
    /// # Errors
    /// [`NatsError::Request`].
    pub async fn after(&self, sequence: u64) -> Result<Messages, NatsError> {
        let doing = "reading a journal";
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: sequence + 1 },
            ..pull::OrderedConfig::default()
        };
        let consumer = self.context.create_consumer_on_stream(config, &self.name).await;
        let consumer = consumer.map_err(|error| NatsError::Request { doing, reason: error.to_string() })?;
        let messages = consumer.messages().await;
        let messages = messages.map_err(|error| NatsError::Request { doing, reason: error.to_string() })?;
        Ok(Box::pin(messages.map(move |message| {
            let failed = |reason: String| NatsError::Request { doing, reason };
            let message = message.map_err(|error| failed(error.to_string()))?;
            let sequence = message.info().map_err(|error| failed(error.to_string()))?.stream_sequence;
            Ok(Message { sequence, payload: message.message.payload })
        })))
    }

    /// The same after the messages came to an end, or to an error.
    ///
    /// # Errors
    /// [`NatsError::Request`].
    pub async fn again(
        &self,
        sequence: u64,
        ended: Option<Result<Message, NatsError>>,
    ) -> Result<Messages, NatsError> {
        if let Some(Err(error)) = ended {
            tracing::debug!(stream = self.name, %error, "reading begins anew");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.after(sequence).await
    }

    /// Appends a message after message `expected`, and returns when as many servers have it as a decision takes.
    ///
    /// `term` names the sender's lease. With the number it is an id that no other message has: a message that was not confirmed is
    /// sent again until it is, and [`Fenced`](PublishError::Fenced) means that another member has written.
    ///
    /// # Errors
    /// [`PublishError`]; after any of them it is not known whether the message is there.
    pub async fn append(&self, expected: u64, term: &str, payload: Bytes) -> Result<u64, PublishError> {
        let id = format!("{term}-{}", expected + 1);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, expected.to_string());
        headers.insert(NATS_MESSAGE_ID, id.as_str());
        let begun = Instant::now();
        loop {
            let sent = self
                .context
                .publish_with_headers(self.subject.clone(), headers.clone(), payload.clone())
                .await;
            let outcome = match sent {
                Ok(sent) => sent.await,
                Err(error) => Err(error),
            };
            let reason = match outcome {
                Ok(confirmed) if confirmed.sequence == expected + 1 => return Ok(confirmed.sequence),
                Ok(_) => return Err(PublishError::Fenced { expected }),
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                    match self.id_of(expected + 1).await {
                        Ok(Some(found)) if found == id => return Ok(expected + 1),
                        Ok(_) => return Err(PublishError::Fenced { expected }),
                        Err(error) => error.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            };
            if begun.elapsed() > PUBLISH_MAX {
                return Err(PublishError::Unconfirmed { reason });
            }
            tracing::warn!(stream = self.name, %reason, "a message was not confirmed and is sent again");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The id of the message with this number.
    async fn id_of(&self, sequence: u64) -> Result<Option<String>, NatsError> {
        let failed =
            |reason: String| NatsError::Request { doing: "looking at a message of a journal", reason };
        let stream = self.context.get_stream(&self.name).await.map_err(|error| failed(error.to_string()))?;
        let message = stream.get_raw_message(sequence).await.map_err(|error| failed(error.to_string()))?;
        Ok(message.headers.get(NATS_MESSAGE_ID).map(|id| id.as_str().to_owned()))
    }
}
