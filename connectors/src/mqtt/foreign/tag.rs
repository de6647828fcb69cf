//! How a value at a broker is written in a point map: `topic`, or `topic#/json/pointer`, for example `plug/3/state#/power/total`;
//! of a list of rows `topic#[key=id]/json/pointer`, for example `dms/values#[device_id=17]/value`. A metric of Sparkplug B is
//! written `spBv1.0/group/node/device#metric`.

use super::sparkplug::MetricTag;
use crate::mqtt::door::filter::is_topic;
use std::str::FromStr;
use thiserror::Error;

/// Where a value is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// In the payloads of a topic.
    Payload(PayloadTag),
    /// It is a metric of Sparkplug B.
    Metric(MetricTag),
}

/// Which topic, and where in its payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PayloadTag {
    /// The topic; no wildcards.
    pub topic: String,
    /// Of a list of objects the ones of which this is meant; `None`: the payload is no list of rows.
    pub row: Option<Row>,
    /// A JSON pointer (RFC 6901) into payload or row; empty: all of it is the value.
    pub pointer: String,
}

/// Rows of a list: the objects that have this text, or whole number, under this key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// For example `device_id`.
    pub key: String,
    /// What stands there.
    pub id: String,
}

/// Why a text names no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}; write topic or topic#/json/pointer, for example plug/3/state#/power/total")]
pub struct TagError {
    /// What is wrong.
    pub reason: String,
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        if MetricTag::is_meant(text) {
            return MetricTag::read(text).map(Self::Metric).map_err(|reason| TagError { reason });
        }
        text.parse().map(Self::Payload)
    }
}

impl FromStr for PayloadTag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        // No topic has this character in it.
        let (topic, pointer) = text.split_once('#').unwrap_or((text, ""));
        if !is_topic(topic) {
            let reason = format!(
                "{topic:.60?} is no topic: 1 to 512 bytes, at most 32 levels, no wildcard, no $ at the beginning"
            );
            return Err(TagError { reason });
        }
        let (row, pointer) = row(pointer).map_err(|reason| TagError { reason })?;
        check_pointer(pointer).map_err(|reason| TagError { reason })?;
        Ok(Self { topic: topic.to_owned(), row, pointer: pointer.to_owned() })
    }
}

/// What stands in brackets, and the rest.
fn row(text: &str) -> Result<(Option<Row>, &str), String> {
    let Some(text) = text.strip_prefix('[') else { return Ok((None, text)) };
    let wrong = || format!("[{text:.60} is no choice of rows, [key=id] is, for example [device_id=17]");
    let (inside, pointer) = text.split_once(']').ok_or_else(wrong)?;
    let (key, id) = inside.split_once('=').ok_or_else(wrong)?;
    if key.is_empty() || id.is_empty() {
        return Err(wrong());
    }
    Ok((Some(Row { key: key.to_owned(), id: id.to_owned() }), pointer))
}

/// Whether a text is a JSON pointer.
pub(super) fn check_pointer(text: &str) -> Result<(), String> {
    if !text.is_empty() && !text.starts_with('/') {
        return Err(format!("{text:.60?} is no JSON pointer: it begins with /"));
    }
    let escapes = text.split('~').skip(1);
    if escapes.into_iter().any(|after| !after.starts_with(['0', '1'])) {
        return Err(format!("{text:.60?} is no JSON pointer: ~ is written ~0, and / in a name ~1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_read_or_refused_with_the_reason() {
        let tag: PayloadTag = "plug/3/state#/power/total".parse().unwrap();
        assert_eq!((tag.topic.as_str(), tag.pointer.as_str()), ("plug/3/state", "/power/total"));
        assert_eq!("plug/3/power".parse::<PayloadTag>().unwrap().pointer, "");
        let tag: PayloadTag = "dms/values#[device_id=a/7]/value".parse().unwrap();
        let row = Some(Row { key: "device_id".to_owned(), id: "a/7".to_owned() });
        assert_eq!((tag.topic.as_str(), tag.row, tag.pointer.as_str()), ("dms/values", row, "/value"));
        for (text, reason) in [
            ("dms#[device_id]/value", "no choice of rows"),
            ("dms#[=7]/value", "no choice of rows"),
            ("dms#[device_id=7/value", "no choice of rows"),
            ("dms#[device_id=7]value", "begins with /"),
            ("", "no topic"),
            ("plug/+/state", "no topic"),
            ("plug/#", "\"plug/\""),
            ("$SYS/load", "no topic"),
            ("plug#power", "begins with /"),
            ("plug#/a~2", "~0"),
        ] {
            match text.parse::<PayloadTag>() {
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.contains(reason) && said.contains("for example"), "{text}: {said}");
                }
                // An empty pointer behind an empty last level: a topic like any other.
                Ok(tag) => assert_eq!((text, tag.topic.as_str()), ("plug/#", "plug/")),
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(spBv1.0/)?[a-z/#~+0-9\\[=\\]]{0,40}") {
            let _ = text.parse::<Tag>();
        }
    }
}
