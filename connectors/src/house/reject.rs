//! Why a message was refused: a stable code for machines, a sentence for people.

use thiserror::Error;

/// Longest topic or reason kept of a refused message, in characters.
const TEXT_CHARS_MAX: usize = 240;

/// The reason's class; counted, and stable across versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectCode {
    /// The topic is none of the convention's.
    Topic,
    /// More bytes, measurements or slots than allowed.
    TooLarge,
    /// Brackets nested deeper than any message of ours.
    TooDeep,
    /// No JSON, or not the fields of this message.
    Json,
    /// No measurement point is named, or none that exists in the convention.
    Point,
    /// A number that is missing, not finite, or outside what physics or the market allow.
    Value,
    /// A unit that does not belong to the quantity.
    Unit,
    /// A quality that telemetry cannot have.
    Quality,
    /// A time that is unreadable, too far ahead, or not the end of a slot.
    Time,
    /// Topic and payload speak of different things.
    Identity,
    /// A retained message: nobody knows how old it is.
    Retained,
    /// No envelope, or one of a form that is not known.
    Envelope,
    /// An envelope from somebody else than its topic says.
    Sender,
    /// An envelope for another platform's key.
    Recipient,
    /// An envelope that its sender has not signed, or that was altered.
    Signature,
    /// An envelope that does not open.
    Sealed,
    /// An envelope for a purpose that is not this platform's.
    Purpose,
    /// A value of an envelope whose pseudonym is in no point map.
    Pseudonym,
    /// Bytes that are no frame or payload of their protocol: a wrong check sum, a length that does not fit.
    Encoding,
    /// A message whose meaning rests on another one that was not heard: a birth, or the one before it.
    Order,
    /// Values that the system failed at twice. What it did not fail at may have been used.
    GivenUp,
}

impl RejectCode {
    /// All codes, in the order of their counters.
    pub const ALL: [RejectCode; 21] = [
        RejectCode::Topic,
        RejectCode::TooLarge,
        RejectCode::TooDeep,
        RejectCode::Json,
        RejectCode::Point,
        RejectCode::Value,
        RejectCode::Unit,
        RejectCode::Quality,
        RejectCode::Time,
        RejectCode::Identity,
        RejectCode::Retained,
        RejectCode::Envelope,
        RejectCode::Sender,
        RejectCode::Recipient,
        RejectCode::Signature,
        RejectCode::Sealed,
        RejectCode::Purpose,
        RejectCode::Pseudonym,
        RejectCode::Encoding,
        RejectCode::Order,
        RejectCode::GivenUp,
    ];

    /// The code as written in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            RejectCode::Topic => "topic",
            RejectCode::TooLarge => "too_large",
            RejectCode::TooDeep => "too_deep",
            RejectCode::Json => "json",
            RejectCode::Point => "point",
            RejectCode::Value => "value",
            RejectCode::Unit => "unit",
            RejectCode::Quality => "quality",
            RejectCode::Time => "time",
            RejectCode::Identity => "identity",
            RejectCode::Retained => "retained",
            RejectCode::Envelope => "envelope",
            RejectCode::Sender => "sender",
            RejectCode::Recipient => "recipient",
            RejectCode::Signature => "signature",
            RejectCode::Sealed => "sealed",
            RejectCode::Purpose => "purpose",
            RejectCode::Pseudonym => "pseudonym",
            RejectCode::Encoding => "encoding",
            RejectCode::Order => "order",
            RejectCode::GivenUp => "given_up",
        }
    }
}

/// A refused message. Nothing of it was used, unless it was given up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("message on {topic:?} refused ({}): {reason}", code.as_str())]
pub struct Rejected {
    /// The class.
    pub code: RejectCode,
    /// What is wrong, with the facts; shortened, without control characters.
    pub reason: String,
    /// On which topic; shortened, without control characters.
    pub topic: String,
}

impl Rejected {
    pub(crate) fn new(topic: &str, code: RejectCode, reason: impl AsRef<str>) -> Self {
        Self { code, reason: printable(reason.as_ref()), topic: printable(topic) }
    }
}

/// A refusal before the topic is added: its class, and the sentence.
pub type Refusal = (RejectCode, String);

pub(super) fn refuse<T>(code: RejectCode, reason: impl Into<String>) -> Result<T, Refusal> {
    Err((code, reason.into()))
}

fn printable(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_topic_cannot_break_a_log_line() {
        let rejected = Rejected::new(&"a\nb".repeat(1000), RejectCode::Topic, "x\u{1b}[2J");
        assert!(rejected.topic.chars().count() <= TEXT_CHARS_MAX && !rejected.topic.contains('\n'));
        assert_eq!(rejected.reason, "x?[2J");
    }

    #[test]
    fn counters_find_each_code_at_its_place() {
        for (place, code) in RejectCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, place);
        }
    }
}
