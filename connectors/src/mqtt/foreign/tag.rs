//! How a value at a broker is written in a point map: `topic`, or `topic#/json/pointer`, for example `plug/3/state#/power/total`.

use crate::mqtt::door::filter::is_topic;
use std::str::FromStr;
use thiserror::Error;

/// Which topic, and where in its payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// The topic; no wildcards.
    pub topic: String,
    /// A JSON pointer (RFC 6901); empty: the whole payload is the value.
    pub pointer: String,
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
        // No topic has this character in it.
        let (topic, pointer) = text.split_once('#').unwrap_or((text, ""));
        if !is_topic(topic) {
            let reason = format!(
                "{topic:.60?} is no topic: 1 to 512 bytes, at most 32 levels, no wildcard, no $ at the beginning"
            );
            return Err(TagError { reason });
        }
        check_pointer(pointer).map_err(|reason| TagError { reason })?;
        Ok(Self { topic: topic.to_owned(), pointer: pointer.to_owned() })
    }
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
        let tag: Tag = "plug/3/state#/power/total".parse().unwrap();
        assert_eq!((tag.topic.as_str(), tag.pointer.as_str()), ("plug/3/state", "/power/total"));
        assert_eq!("plug/3/power".parse::<Tag>().unwrap().pointer, "");
        for (text, reason) in [
            ("", "no topic"),
            ("plug/+/state", "no topic"),
            ("plug/#", "\"plug/\""),
            ("$SYS/load", "no topic"),
            ("plug#power", "begins with /"),
            ("plug#/a~2", "~0"),
        ] {
            match text.parse::<Tag>() {
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
        fn any_text_is_answered(text in "[a-z/#~+0-9]{0,40}") {
            let _ = text.parse::<Tag>();
        }
    }
}
