//! The protocol without a socket: what is to be sent, and what the frames that were received bring.

use super::config::AmqpConfig;
use super::wire::{
    self, Arguments, BODY, Broken, CONTENT, FRAME_OVERHEAD, Frame, HEADER, METHOD, Properties, Reader,
    method, put_frame, put_method,
};

/// The only channel.
const CHANNEL: u16 = 1;
/// Longest frame that is agreed to, bytes; also before anything is agreed.
const FRAME_MAX: u32 = 131_072;
/// Shortest longest frame of the standard.
const FRAME_MIN: u32 = 4096;

/// A message that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    /// By which it is acknowledged.
    pub tag: u64,
    pub properties: Properties,
    /// Nothing when it was too large to be kept.
    pub body: Option<Vec<u8>>,
}

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Brought {
    Nothing,
    /// Requests come from now on.
    Ready,
    Delivered(Delivery),
    /// The broker has what was published up to this number (`all`), or this one, or has not (`kept` is false).
    Confirmed {
        number: u64,
        all: bool,
        kept: bool,
    },
    /// A reply that no queue wanted; its confirmation follows.
    Returned,
    /// It takes nothing that is published for the moment (`true`), or does again.
    Blocked(bool),
}

/// A content whose frames are coming.
struct Coming {
    /// Nothing for one that came back.
    tag: Option<u64>,
    head: Option<(u64, Properties)>,
    received: u64,
    body: Vec<u8>,
}

/// What the broker has to say next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Tune,
    Open,
    Channel,
    Confirm,
    Queue,
    Limit,
    Consume,
    Ready,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Phase::Start => "connection.start",
            Phase::Tune => "connection.tune",
            Phase::Open => "connection.open-ok",
            Phase::Channel => "channel.open-ok",
            Phase::Confirm => "confirm.select-ok",
            Phase::Queue => "queue.declare-ok",
            Phase::Limit => "basic.qos-ok",
            Phase::Consume => "basic.consume-ok",
            Phase::Ready => "a message",
        }
    }
}

pub(super) struct Session {
    /// To be sent.
    pub out: Vec<u8>,
    phase: Phase,
    frame_max: u32,
    /// Agreed, seconds; 0 is none.
    pub heartbeat: u16,
    body_max: u64,
    coming: Option<Coming>,
    published: u64,
}

impl Session {
    pub fn new(config: &AmqpConfig) -> Self {
        let (frame_max, body_max) = (FRAME_MAX, config.message_bytes_max as u64);
        let heartbeat = config.heartbeat_s;
        let (phase, out) = (Phase::Start, HEADER.to_vec());
        Self { out, phase, frame_max, heartbeat, body_max, coming: None, published: 0 }
    }

    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Longest frame that may come, bytes.
    pub fn frame_max(&self) -> usize {
        self.frame_max as usize
    }

    fn method(&mut self, channel: u16, which: (u16, u16), arguments: Arguments) {
        put_method(&mut self.out, channel, which, arguments);
    }

    /// Takes a frame.
    pub fn take(&mut self, frame: Frame<'_>, config: &AmqpConfig, password: &str) -> Result<Brought, Broken> {
        match frame.kind {
            METHOD => {
                let mut reader = Reader(frame.payload);
                let which = (reader.short()?, reader.short()?);
                if self.coming.is_some() && which.0 != 10 {
                    return Err(self.unexpected(format!("method {which:?} within a message")));
                }
                self.take_method(which, reader, config, password)
            }
            CONTENT | BODY if frame.channel == CHANNEL => self.take_content(frame),
            wire::HEARTBEAT => Ok(Brought::Nothing),
            _ => Err(self.unexpected(format!("a content on channel {}", frame.channel))),
        }
    }

    fn unexpected(&self, what: String) -> Broken {
        Broken::Unexpected { what, waiting: self.phase.name() }
    }

    fn take_method(
        &mut self,
        which: (u16, u16),
        reader: Reader<'_>,
        config: &AmqpConfig,
        password: &str,
    ) -> Result<Brought, Broken> {
        match (which, self.phase) {
            (method::CONNECTION_CLOSE, _) => return Err(self.closed(reader, Some(0))),
            (method::CHANNEL_CLOSE, _) => return Err(self.closed(reader, None)),
            (method::CONNECTION_BLOCKED, _) => return Ok(Brought::Blocked(true)),
            (method::CONNECTION_UNBLOCKED, _) => return Ok(Brought::Blocked(false)),
            (method::CONNECTION_START, Phase::Start) => self.start(reader, config, password)?,
            (method::CONNECTION_TUNE, Phase::Tune) => self.tune(reader, config)?,
            (method::CONNECTION_OPEN_OK, Phase::Open) => {
                self.method(CHANNEL, method::CHANNEL_OPEN, Arguments::default().text(""));
                self.phase = Phase::Channel;
            }
            (method::CHANNEL_OPEN_OK, Phase::Channel) => {
                self.method(CHANNEL, method::CONFIRM_SELECT, Arguments::default().octet(0));
                self.phase = Phase::Confirm;
            }
            (method::CONFIRM_SELECT_OK, Phase::Confirm) => {
                // Passive: it has to be there. Otherwise it is made, durable, when it is not there.
                let how = if config.existing { 0b0_0011 } else { 0b0_0010 };
                let arguments = Arguments::default().short(0).text(&config.queue).octet(how).bytes(&[]);
                self.method(CHANNEL, method::QUEUE_DECLARE, arguments);
                self.phase = Phase::Queue;
            }
            (method::QUEUE_DECLARE_OK, Phase::Queue) => {
                let arguments = Arguments::default().long(0).short(config.prefetch).octet(0);
                self.method(CHANNEL, method::BASIC_QOS, arguments);
                self.phase = Phase::Limit;
            }
            (method::BASIC_QOS_OK, Phase::Limit) => {
                let arguments =
                    Arguments::default().short(0).text(&config.queue).text("gridflex").octet(0).bytes(&[]);
                self.method(CHANNEL, method::BASIC_CONSUME, arguments);
                self.phase = Phase::Consume;
            }
            (method::BASIC_CONSUME_OK, Phase::Consume) => {
                self.phase = Phase::Ready;
                return Ok(Brought::Ready);
            }
            (_, Phase::Ready) => return self.take_ready(which, reader),
            _ => return Err(self.unexpected(format!("method {which:?}"))),
        }
        Ok(Brought::Nothing)
    }

    fn take_ready(&mut self, which: (u16, u16), mut reader: Reader<'_>) -> Result<Brought, Broken> {
        match which {
            method::BASIC_DELIVER => {
                reader.text()?;
                let tag = Some(reader.long_long()?);
                self.coming = Some(Coming { tag, head: None, received: 0, body: Vec::new() });
                Ok(Brought::Nothing)
            }
            method::BASIC_RETURN => {
                self.coming = Some(Coming { tag: None, head: None, received: 0, body: Vec::new() });
                Ok(Brought::Nothing)
            }
            method::BASIC_ACK | method::BASIC_NACK => {
                let (number, bits) = (reader.long_long()?, reader.octet()?);
                Ok(Brought::Confirmed { number, all: bits & 1 != 0, kept: which == method::BASIC_ACK })
            }
            method::BASIC_CANCEL => Err(Broken::Unfit("the request queue was deleted")),
            method::CHANNEL_FLOW => {
                let active = reader.octet()? & 1;
                self.method(CHANNEL, method::CHANNEL_FLOW_OK, Arguments::default().octet(active));
                Ok(Brought::Blocked(active == 0))
            }
            _ => Err(self.unexpected(format!("method {which:?}"))),
        }
    }

    fn closed(&mut self, mut reader: Reader<'_>, connection: Option<u16>) -> Broken {
        let code = reader.short().unwrap_or_default();
        let text = reader.text().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
        if let Some(channel) = connection {
            self.method(channel, method::CONNECTION_CLOSE_OK, Arguments::default());
        }
        Broken::Closed { code, text }
    }

    fn start(&mut self, mut reader: Reader<'_>, config: &AmqpConfig, password: &str) -> Result<(), Broken> {
        if (reader.octet()?, reader.octet()?) != (0, 9) {
            return Err(Broken::Unfit("the broker speaks another version of AMQP; 0.9.1 is wanted"));
        }
        reader.bytes()?;
        let mechanisms = reader.bytes()?;
        if !mechanisms.split(|byte| *byte == b' ').any(|one| one == b"PLAIN") {
            return Err(Broken::Unfit("the broker does not take a user and a password (PLAIN)"));
        }
        let capabilities =
            ["publisher_confirms", "consumer_cancel_notify", "basic.nack", "connection.blocked"];
        let capabilities = capabilities.iter().fold(Arguments::default(), |all, one| all.named_yes(one));
        let capabilities = capabilities.named_yes("authentication_failure_close");
        let about = Arguments::default()
            .named_text("product", "gridflex")
            .named_text("connection_name", &config.name)
            .named_table("capabilities", &capabilities);
        let proof = format!("\0{}\0{password}", config.user);
        let arguments =
            Arguments::default().bytes(&about.0).text("PLAIN").bytes(proof.as_bytes()).text("en_US");
        self.method(0, method::CONNECTION_START_OK, arguments);
        self.phase = Phase::Tune;
        Ok(())
    }

    fn tune(&mut self, mut reader: Reader<'_>, config: &AmqpConfig) -> Result<(), Broken> {
        reader.short()?;
        let (frame_max, heartbeat) = (reader.long()?, reader.short()?);
        if frame_max != 0 && frame_max < FRAME_MIN {
            return Err(Broken::Unfit("the broker wants frames shorter than the standard allows"));
        }
        // 0 is no limit, and no heartbeat.
        self.frame_max = if frame_max == 0 { FRAME_MAX } else { frame_max.min(FRAME_MAX) };
        self.heartbeat = if heartbeat == 0 { config.heartbeat_s } else { heartbeat.min(config.heartbeat_s) };
        let agreed = Arguments::default().short(CHANNEL).long(self.frame_max).short(self.heartbeat);
        self.method(0, method::CONNECTION_TUNE_OK, agreed);
        let place = Arguments::default().text(&config.virtual_host).text("").octet(0);
        self.method(0, method::CONNECTION_OPEN, place);
        self.phase = Phase::Open;
        Ok(())
    }

    fn take_content(&mut self, frame: Frame<'_>) -> Result<Brought, Broken> {
        let Some(coming) = &mut self.coming else {
            return Err(self.unexpected("a content without its method".to_owned()));
        };
        match (frame.kind, &coming.head) {
            (CONTENT, None) => {
                let head = wire::content(frame.payload)?;
                coming.head = Some(head);
            }
            (BODY, Some((size, _))) => {
                coming.received = coming.received.saturating_add(frame.payload.len() as u64);
                if coming.received > *size {
                    return Err(Broken::Bytes("a body longer than was said"));
                }
                // What is too large passes by.
                if *size <= self.body_max && coming.tag.is_some() {
                    coming.body.extend(frame.payload);
                }
            }
            _ => return Err(self.unexpected("a content out of order".to_owned())),
        }
        let whole = coming.head.as_ref().is_some_and(|(size, _)| coming.received == *size);
        let Some(Coming { tag, head: Some((size, properties)), body, .. }) = self.coming.take_if(|_| whole)
        else {
            return Ok(Brought::Nothing);
        };
        let Some(tag) = tag else { return Ok(Brought::Returned) };
        let body = (size <= self.body_max).then_some(body);
        Ok(Brought::Delivered(Delivery { tag, properties, body }))
    }

    /// Publishes to a queue; the number by which the broker confirms it.
    pub fn publish(
        &mut self,
        queue: &str,
        correlation_id: Option<&str>,
        transient: bool,
        body: &[u8],
    ) -> u64 {
        const MANDATORY: u8 = 1;
        let arguments = Arguments::default().short(0).text("").text(queue).octet(MANDATORY);
        self.method(CHANNEL, method::BASIC_PUBLISH, arguments);
        let flags = 1 << 15 | 1 << 12 | if correlation_id.is_some() { 1 << 10 } else { 0 };
        let head = Arguments::default().short(60).short(0).long_long(body.len() as u64).short(flags);
        let head = head.text("application/json").octet(if transient { 1 } else { 2 });
        let head = match correlation_id {
            Some(id) => head.text(id),
            None => head,
        };
        put_frame(&mut self.out, CONTENT, CHANNEL, &head.0);
        for part in body.chunks(self.frame_max().saturating_sub(FRAME_OVERHEAD).max(1)) {
            put_frame(&mut self.out, BODY, CHANNEL, part);
        }
        self.published += 1;
        self.published
    }

    /// A request is done with.
    pub fn acknowledge(&mut self, tag: u64) {
        self.method(CHANNEL, method::BASIC_ACK, Arguments::default().long_long(tag).octet(0));
    }

    /// A request is thrown away, or goes where the broker was told that such things go.
    pub fn reject(&mut self, tag: u64) {
        self.method(CHANNEL, method::BASIC_REJECT, Arguments::default().long_long(tag).octet(0));
    }

    pub fn beat(&mut self) {
        put_frame(&mut self.out, wire::HEARTBEAT, 0, &[]);
    }

    /// Says good-bye: what was not acknowledged goes to the next who asks.
    pub fn close(&mut self) {
        let arguments = Arguments::default().short(200).text("gridflex stops").short(0).short(0);
        self.method(0, method::CONNECTION_CLOSE, arguments);
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
