//! AMQP 0.9.1 as bytes: frames, methods, tables, properties. Pure functions; what is received is read within its own length.

use thiserror::Error;

/// What a client says first.
pub(super) const HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// Bytes of a frame besides its payload.
pub(super) const FRAME_OVERHEAD: usize = 8;
/// Last byte of a frame.
const END: u8 = 0xCE;

/// Kinds of frames.
pub(super) const METHOD: u8 = 1;
pub(super) const CONTENT: u8 = 2;
pub(super) const BODY: u8 = 3;
pub(super) const HEARTBEAT: u8 = 8;

/// Class and number of a method, as in the standard's XML.
pub(super) mod method {
    pub const CONNECTION_START: (u16, u16) = (10, 10);
    pub const CONNECTION_START_OK: (u16, u16) = (10, 11);
    pub const CONNECTION_TUNE: (u16, u16) = (10, 30);
    pub const CONNECTION_TUNE_OK: (u16, u16) = (10, 31);
    pub const CONNECTION_OPEN: (u16, u16) = (10, 40);
    pub const CONNECTION_OPEN_OK: (u16, u16) = (10, 41);
    pub const CONNECTION_CLOSE: (u16, u16) = (10, 50);
    pub const CONNECTION_CLOSE_OK: (u16, u16) = (10, 51);
    pub const CONNECTION_BLOCKED: (u16, u16) = (10, 60);
    pub const CONNECTION_UNBLOCKED: (u16, u16) = (10, 61);
    pub const CHANNEL_OPEN: (u16, u16) = (20, 10);
    pub const CHANNEL_OPEN_OK: (u16, u16) = (20, 11);
    pub const CHANNEL_FLOW: (u16, u16) = (20, 20);
    pub const CHANNEL_FLOW_OK: (u16, u16) = (20, 21);
    pub const CHANNEL_CLOSE: (u16, u16) = (20, 40);
    pub const QUEUE_DECLARE: (u16, u16) = (50, 10);
    pub const QUEUE_DECLARE_OK: (u16, u16) = (50, 11);
    pub const BASIC_QOS: (u16, u16) = (60, 10);
    pub const BASIC_QOS_OK: (u16, u16) = (60, 11);
    pub const BASIC_CONSUME: (u16, u16) = (60, 20);
    pub const BASIC_CONSUME_OK: (u16, u16) = (60, 21);
    pub const BASIC_CANCEL: (u16, u16) = (60, 30);
    pub const BASIC_PUBLISH: (u16, u16) = (60, 40);
    pub const BASIC_RETURN: (u16, u16) = (60, 50);
    pub const BASIC_DELIVER: (u16, u16) = (60, 60);
    pub const BASIC_ACK: (u16, u16) = (60, 80);
    pub const BASIC_REJECT: (u16, u16) = (60, 90);
    pub const BASIC_NACK: (u16, u16) = (60, 120);
    pub const CONFIRM_SELECT: (u16, u16) = (85, 10);
    pub const CONFIRM_SELECT_OK: (u16, u16) = (85, 11);
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Broken {
    /// The bytes are no AMQP 0.9.1.
    #[error("the broker does not speak AMQP 0.9.1: {0}")]
    Bytes(&'static str),
    /// A frame longer than was agreed.
    #[error("the broker sent a frame of {0} bytes, more than was agreed")]
    Long(usize),
    /// Something that may not come at this moment.
    #[error("the broker sent {what} while {waiting} was awaited")]
    Unexpected {
        /// Class and number of the method, or the kind of frame.
        what: String,
        /// What was awaited.
        waiting: &'static str,
    },
    /// It closed the connection or the channel, and says why.
    #[error("the broker closed: {code} {text}")]
    Closed {
        /// As the standard numbers reasons.
        code: u16,
        /// In its words.
        text: String,
    },
    /// What it offers is not what is needed.
    #[error("{0}")]
    Unfit(&'static str),
}

/// A whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub kind: u8,
    pub channel: u16,
    pub payload: &'a [u8],
}

/// The first frame of what was received and its length; `None` while it is not whole.
pub(super) fn split(bytes: &[u8], most: usize) -> Result<Option<(Frame<'_>, usize)>, Broken> {
    if bytes.starts_with(b"AMQP") {
        return Err(Broken::Unfit("the broker speaks another version of AMQP; 0.9.1 is wanted"));
    }
    let mut reader = Reader(bytes);
    let (Ok(kind), Ok(channel), Ok(size)) = (reader.octet(), reader.short(), reader.long()) else {
        return Ok(None);
    };
    if !matches!(kind, METHOD | CONTENT | BODY | HEARTBEAT) {
        return Err(Broken::Bytes("a frame of an unknown kind"));
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > most.saturating_sub(FRAME_OVERHEAD) {
        return Err(Broken::Long(size.saturating_add(FRAME_OVERHEAD)));
    }
    let (Some(payload), Some(end)) = (reader.0.get(..size), reader.0.get(size)) else { return Ok(None) };
    if *end != END {
        return Err(Broken::Bytes("a frame without its end"));
    }
    Ok(Some((Frame { kind, channel, payload }, size + FRAME_OVERHEAD)))
}

/// Reads values one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

const SHORT: Broken = Broken::Bytes("a frame that ends too early");

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    pub fn octet(&mut self) -> Result<u8, Broken> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub fn short(&mut self) -> Result<u16, Broken> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub fn long(&mut self) -> Result<u32, Broken> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub fn long_long(&mut self) -> Result<u64, Broken> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A short string; what is no UTF-8 is replaced.
    pub fn text(&mut self) -> Result<String, Broken> {
        let length = usize::from(self.octet()?);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// A long string or a table, as bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(self.long()?).unwrap_or(usize::MAX);
        self.take(length)
    }
}

/// What a message says about itself, as far as it is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Properties {
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub user_id: Option<String>,
}

/// The header of a content: class, size of its body, properties.
pub(super) fn content(payload: &[u8]) -> Result<(u64, Properties), Broken> {
    let mut reader = Reader(payload);
    if reader.short()? != 60 {
        return Err(Broken::Bytes("a content that is no message"));
    }
    reader.short()?;
    let size = reader.long_long()?;
    let flags = reader.short()?;
    // Further flags would follow; no message of this version has them.
    if flags & 1 != 0 {
        return Err(Broken::Bytes("properties that this version does not have"));
    }
    let has = |bit: u32| flags & (1 << bit) != 0;
    let mut properties = Properties::default();
    for bit in [15, 14] {
        if has(bit) {
            reader.text()?;
        }
    }
    if has(13) {
        reader.bytes()?;
    }
    for bit in [12, 11] {
        if has(bit) {
            reader.octet()?;
        }
    }
    properties.correlation_id = has(10).then(|| reader.text()).transpose()?;
    properties.reply_to = has(9).then(|| reader.text()).transpose()?;
    for bit in [8, 7] {
        if has(bit) {
            reader.text()?;
        }
    }
    if has(6) {
        reader.long_long()?;
    }
    if has(5) {
        reader.text()?;
    }
    properties.user_id = has(4).then(|| reader.text()).transpose()?;
    Ok((size, properties))
}

/// Writes the arguments of a method or the properties of a content.
#[derive(Debug, Default)]
pub(super) struct Arguments(pub Vec<u8>);

impl Arguments {
    pub fn octet(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn short(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn long(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn long_long(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A short string; of a longer one the beginning: configuration and requests are checked before.
    pub fn text(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let bytes = bytes.get(..255).unwrap_or(bytes);
        self.0.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        self.0.extend(bytes);
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    /// An entry of a table: a long string.
    pub fn named_text(self, name: &str, text: &str) -> Self {
        self.text(name).octet(b'S').bytes(text.as_bytes())
    }

    /// An entry of a table: yes.
    pub fn named_yes(self, name: &str) -> Self {
        self.text(name).octet(b't').octet(1)
    }

    /// An entry of a table: a table.
    pub fn named_table(self, name: &str, table: &Self) -> Self {
        self.text(name).octet(b'F').bytes(&table.0)
    }
}

/// Appends a frame.
pub(super) fn put_frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    out.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(payload);
    out.push(END);
}

/// Appends a method.
pub(super) fn put_method(out: &mut Vec<u8>, channel: u16, (class, number): (u16, u16), arguments: Arguments) {
    let payload = Arguments::default().short(class).short(number);
    let payload = [payload.0, arguments.0].concat();
    put_frame(out, METHOD, channel, &payload);
}
