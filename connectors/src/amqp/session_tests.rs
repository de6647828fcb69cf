//! The protocol by its bytes: a broker made by hand, whole and broken.

use super::super::request;
use super::super::wire::{HEARTBEAT, split};
use super::*;
use crate::amqp::Answer;
use proptest::prelude::*;

fn config() -> AmqpConfig {
    AmqpConfig {
        message_bytes_max: 1024,
        ..AmqpConfig::new("ems", "127.0.0.1:5672", "grid", "absent", "requests")
    }
}

/// What a broker says, as frames.
fn said(which: (u16, u16), arguments: Arguments) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_method(&mut bytes, if which.0 == 10 { 0 } else { CHANNEL }, which, arguments);
    bytes
}

fn hear(session: &mut Session, bytes: &[u8]) -> Result<Vec<Brought>, Broken> {
    let (mut brought, mut done) = (Vec::new(), 0);
    while let Some((frame, length)) = split(&bytes[done..], session.frame_max())? {
        brought.push(session.take(frame, &config(), "secret")?);
        done += length;
    }
    Ok(brought)
}

fn greeting() -> Vec<Vec<u8>> {
    let start = Arguments::default().octet(0).octet(9).bytes(&[]).bytes(b"AMQPLAIN PLAIN").bytes(b"en_US");
    let empty = Arguments::default;
    vec![
        said(method::CONNECTION_START, start),
        said(method::CONNECTION_TUNE, empty().short(2047).long(4096).short(60)),
        said(method::CONNECTION_OPEN_OK, empty().text("")),
        said(method::CHANNEL_OPEN_OK, empty().bytes(&[])),
        said(method::CONFIRM_SELECT_OK, empty()),
        said(method::QUEUE_DECLARE_OK, empty().text("requests").long(0).long(0)),
        said(method::BASIC_QOS_OK, empty()),
        said(method::BASIC_CONSUME_OK, empty().text("gridflex")),
    ]
}

fn ready() -> Session {
    let mut session = Session::new(&config());
    let heard: Vec<_> = greeting().iter().flat_map(|bytes| hear(&mut session, bytes).unwrap()).collect();
    assert_eq!(heard.last(), Some(&Brought::Ready));
    session.out.clear();
    session
}

fn delivered(tag: u64, body: &[u8], size: u64) -> Vec<u8> {
    let deliver = Arguments::default().text("gridflex").long_long(tag).octet(0).text("").text("requests");
    let mut bytes = said(method::BASIC_DELIVER, deliver);
    let flags = 1 << 15 | 1 << 13 | 1 << 10 | 1 << 9 | 1 << 4;
    let head = Arguments::default().short(60).short(0).long_long(size).short(flags).text("application/json");
    let head = head.bytes(&[]).text("c-7").text("answers").text("ems");
    put_frame(&mut bytes, CONTENT, CHANNEL, &head.0);
    body.chunks(300).for_each(|part| put_frame(&mut bytes, BODY, CHANNEL, part));
    bytes
}

#[test]
fn a_broker_is_greeted_step_by_step_with_a_limit_of_what_it_may_hand_over() {
    let mut session = Session::new(&config());
    assert_eq!(session.out, HEADER);
    for bytes in greeting() {
        assert!(!session.is_ready());
        hear(&mut session, &bytes).unwrap();
    }
    assert!(session.is_ready());
    assert_eq!((session.frame_max(), session.heartbeat), (4096, 30));
    let sent = &session.out[HEADER.len()..];
    let (mut done, mut methods) = (0, Vec::new());
    while let Some((frame, length)) = split(&sent[done..], 131_072).unwrap() {
        let mut reader = Reader(frame.payload);
        methods.push((reader.short().unwrap(), reader.short().unwrap()));
        if methods.last() == Some(&method::BASIC_QOS) {
            assert_eq!((reader.long().unwrap(), reader.short().unwrap()), (0, 16));
        }
        done += length;
    }
    use method::*;
    let wanted = [CONNECTION_START_OK, CONNECTION_TUNE_OK, CONNECTION_OPEN, CHANNEL_OPEN, CONFIRM_SELECT];
    assert_eq!(methods[..5], wanted);
    assert_eq!(methods[5..], [QUEUE_DECLARE, BASIC_QOS, BASIC_CONSUME]);
}

#[test]
fn a_message_is_put_together_and_one_that_is_too_large_is_not_kept() {
    let mut session = ready();
    let brought = hear(&mut session, &delivered(3, &[b'x'; 700], 700)).unwrap();
    let Some(Brought::Delivered(delivery)) = brought.last() else { panic!("{brought:?}") };
    assert_eq!((delivery.tag, delivery.body.as_deref()), (3, Some(&[b'x'; 700][..])));
    let properties = &delivery.properties;
    assert_eq!(properties.reply_to.as_deref(), Some("answers"));
    assert_eq!(
        (properties.correlation_id.as_deref(), properties.user_id.as_deref()),
        (Some("c-7"), Some("ems"))
    );
    let brought = hear(&mut session, &delivered(4, &[b'x'; 1025], 1025)).unwrap();
    assert!(matches!(brought.last(), Some(Brought::Delivered(Delivery { tag: 4, body: None, .. }))));
    let brought = hear(&mut session, &delivered(5, b"", 0)).unwrap();
    assert!(
        matches!(brought.last(), Some(Brought::Delivered(Delivery { body: Some(body), .. })) if body.is_empty())
    );
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_with_its_reason() {
    let closed = Arguments::default().short(403).text("ACCESS_REFUSED").short(0).short(0);
    for (bytes, part) in [
        (said(method::CONNECTION_CLOSE, closed), "403 ACCESS_REFUSED"),
        (delivered(1, &[0; 20], 10), "longer than was said"),
        (said(method::BASIC_CANCEL, Arguments::default().text("gridflex").octet(1)), "was deleted"),
        (said(method::BASIC_QOS_OK, Arguments::default()), "was awaited"),
        (b"AMQP\0\0\x09\x01".to_vec(), "another version"),
        (vec![1, 0, 1, 0, 2, 0, 0], "more than was agreed"),
        (vec![8, 0, 0, 0, 0, 0, 0, 0], "without its end"),
        (vec![9, 0, 0, 0, 0, 0, 0, 0xCE], "unknown kind"),
    ] {
        let error = hear(&mut ready(), &bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_reply_says_of_its_request_what_it_needs_to_be_found() {
    let body = br#"{"serviceRequest":{"requestor":{"replyTo":"mine","clientID":"c","transient":true,"correlationID":7},
        "service":{"name":"TimeseriesService","args":{"cmd":"ts/get_time_series"}}}}"#;
    let (from, request) = request::read(Properties::default(), body);
    assert_eq!(request.unwrap().arguments["cmd"], "ts/get_time_series");
    assert_eq!((from.reply_to.as_deref(), from.transient), (Some("mine"), true));
    let reply: serde_json::Value =
        serde_json::from_slice(&from.reply(&Answer::refused(501, "not_served", "no"))).unwrap();
    let reply = &reply["serviceResponse"];
    assert_eq!((&reply["requestor"]["correlationID"], &reply["service"]["status"]), (&7.into(), &501.into()));
    // What is wrong further in is told to whoever can be found.
    let body = br#"{"serviceRequest":{"requestor":{"replyTo":"mine","correlationID":8}}}"#;
    let (from, request) = request::read(Properties::default(), body);
    assert_eq!(
        (from.reply_to.as_deref(), request.unwrap_err().as_str()),
        (Some("mine"), "serviceRequest.service is missing")
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_keep_more_than_it_may(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        spoilt in 0usize..400,
        with in any::<u8>(),
    ) {
        for mut session in [Session::new(&config()), ready()] {
            let _ = hear(&mut session, &noise);
        }
        let mut bytes = greeting().concat();
        bytes.extend(delivered(1, br#"{"serviceRequest":{}}"#, 21));
        let at = spoilt % bytes.len();
        bytes[at] = with;
        let mut session = Session::new(&config());
        let _ = hear(&mut session, &bytes);
        prop_assert!(session.coming.is_none_or(|coming| coming.body.len() <= 1024));
        let _ = request::read(Properties::default(), &noise);
        let _ = super::super::wire::content(&noise);
    }

    #[test]
    fn a_published_reply_comes_apart_as_it_was_put_together(body in proptest::collection::vec(any::<u8>(), 0..9000)) {
        let mut session = ready();
        prop_assert_eq!(session.publish("answers", Some("c"), false, &body), 1);
        let (sent, mut done, mut back) = (session.out.clone(), 0, Vec::new());
        while let Some((frame, length)) = split(&sent[done..], session.frame_max()).unwrap() {
            prop_assert!(frame.kind != HEARTBEAT);
            if frame.kind == BODY {
                back.extend(frame.payload);
            }
            done += length;
        }
        prop_assert_eq!((back, done), (body, sent.len()));
    }
}
