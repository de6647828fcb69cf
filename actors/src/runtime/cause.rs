//! Why a message was sent: the span in which its sender handled the message before it.
//!
//! The envelope carries it, as it carries a [`Credit`](super::credit::Credit), and the span in which the receiver handles the message
//! becomes its child. So one trace follows a batch of readings from the connector to the need it shows, or an offer
//! from the device to its order. What a journal delivers after a sync belongs to the trace of whoever wanted it. Timers begin a
//! trace of their own.
//!
//! The spans are `tracing` spans of target [`TARGET`]; unless a subscriber wants them (`gridflex` asks for them when a
//! collector is configured) they are not made, and a message carries nothing.

use crate::figures::Count;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use std::fmt::{self, Debug, Write};
use std::sync::Arc;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Target of the spans.
pub const TARGET: &str = "gridflex::span";

/// The span that caused something, if there is one and somebody wants to know.
#[derive(Debug, Clone, Default)]
pub struct Cause(Option<Arc<SpanContext>>);

impl Cause {
    /// The span that is entered on this thread.
    pub fn present() -> Self {
        if !wanted() {
            return Self(None);
        }
        let context = Span::current().context();
        let span = context.span().span_context().clone();
        Self(span.is_valid().then(|| Arc::new(span)))
    }

    /// What a `traceparent` header names ([W3C Trace Context](https://www.w3.org/TR/trace-context/), section 3.2), if it names
    /// something.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut fields = header.trim().split('-');
        let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let hex = |field: &str, length| {
            field.len() == length
                && field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let shaped = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        if !shaped || version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
        context.is_valid().then(|| Self(Some(Arc::new(context))))
    }

    /// Makes a span the child of this one.
    pub fn of(&self, span: Span) -> Span {
        if let Some(cause) = &self.0 {
            let parent = opentelemetry::Context::new().with_remote_span_context(cause.as_ref().clone());
            // Fails only for spans that nobody exports.
            let _ = span.set_parent(parent);
        }
        span
    }
}

/// Whether anybody wants spans.
pub fn wanted() -> bool {
    tracing::span_enabled!(target: TARGET, tracing::Level::INFO)
}

/// The span in which a stage handles a message.
pub(super) fn handling(stage: &str, msg: &impl Debug, now: grid::Timestamp, cause: &Cause) -> Span {
    if !wanted() {
        return Span::none();
    }
    let message = kind_of(msg);
    let kind = stage.split(' ').next().unwrap_or(stage);
    let name = format!("{kind} {message}");
    cause.of(tracing::info_span!(
        target: TARGET, "handle", otel.name = name, stage, message, gridflex.time = %now
    ))
}

/// The span in which heavy work of a stage runs, a child of the present one.
pub(super) fn computing() -> Span {
    tracing::info_span!(target: TARGET, "compute")
}

/// The first word of what a message looks like: the name of its variant.
fn kind_of(msg: &impl Debug) -> String {
    struct FirstWord(String);
    impl Write for FirstWord {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            self.0.push_str(text.get(..end.unwrap_or(text.len())).unwrap_or_default());
            // Nothing more is written once it has ended.
            if end.is_some() { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut word = FirstWord(String::new());
    let _ = write!(word, "{msg:?}");
    word.0
}

/// How many spans went to the collector; of the whole process, as the subscriber is.
#[derive(Debug, Default)]
pub struct Exports {
    /// Made, to be sent.
    pub made: Count,
    /// The collector took them.
    pub sent: Count,
    /// It did not, or was not reached; their spans are lost.
    pub failed: Count,
}

/// See [`Exports`].
pub fn exports() -> &'static Exports {
    static EXPORTS: std::sync::LazyLock<Exports> = std::sync::LazyLock::new(Exports::default);
    &EXPORTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_named_by_its_variant() {
        #[derive(Debug)]
        #[allow(dead_code)]
        enum Message {
            Arrived { batch: Vec<u8> },
            Due(u64),
            BeatDue,
        }
        assert_eq!(kind_of(&Message::Arrived { batch: vec![0; 100] }), "Arrived");
        assert_eq!(kind_of(&Message::Due(7)), "Due");
        assert_eq!(kind_of(&Message::BeatDue), "BeatDue");
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let Cause(Some(context)) = Cause::from_traceparent(good).unwrap() else { panic!("nothing read") };
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled() && context.is_remote());
        // A later version may say more.
        assert!(Cause::from_traceparent(&format!("{}-more", good.replacen("00", "01", 1))).is_some());
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(Cause::from_traceparent(bad).is_none(), "{bad:?} was read");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(header in "\\PC{0,80}") {
            let _ = Cause::from_traceparent(&header);
        }
    }
}
