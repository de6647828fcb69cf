//! Sequence numbers, windows and timers, without a socket and in virtual time.

use crate::iec104::apci::{Control, Frame, MODULUS, Split, split};
use crate::iec104::config::Timers;
use crate::iec104::session::{Broken, Brought, Session};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;

const S: fn(u64) -> Duration = Duration::from_secs;

/// The frames waiting to be sent, written down.
fn sent(session: &mut Session) -> Vec<String> {
    let bytes = std::mem::take(&mut session.out);
    let (mut rest, mut frames) = (&bytes[..], Vec::new());
    while let Split::Frame(frame, length) = split(rest).unwrap() {
        frames.push(match frame {
            Frame::I { send, receive, .. } => format!("I {send} {receive}"),
            Frame::S { receive } => format!("S {receive}"),
            Frame::U(control) => format!("{control:?}"),
        });
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    frames
}

fn data(send: u16, receive: u16) -> Frame<'static> {
    Frame::I { send, receive, asdu: &[0] }
}

/// A session whose transfer is started, and when.
fn started() -> (Session, Instant) {
    let now = Instant::now();
    let mut session = Session::start(Timers::default(), now);
    assert_eq!(sent(&mut session), ["StartAct"]);
    assert_eq!(session.take(Frame::U(Control::StartCon), now), Ok(Brought::Started));
    (session, now)
}

#[test]
fn eight_frames_are_acknowledged_at_once_and_fewer_after_t2() {
    let (mut session, now) = started();
    for send in 0..7 {
        assert_eq!(session.take(data(send, 0), now), Ok(Brought::Data(&[0])));
        session.passed_on();
    }
    assert_eq!(sent(&mut session), [""; 0]);
    session.take(data(7, 0), now).unwrap();
    // Not before it was passed on.
    assert_eq!(sent(&mut session), [""; 0]);
    session.passed_on();
    assert_eq!(sent(&mut session), ["S 8"]);
    session.take(data(8, 0), now + S(1)).unwrap();
    session.passed_on();
    assert_eq!(session.due(), now + S(11));
    session.on_time(now + S(11)).unwrap();
    assert_eq!(sent(&mut session), ["S 9"]);
}

#[test]
fn what_we_send_acknowledges_too_and_waits_for_room_in_the_window() {
    let (mut session, now) = started();
    session.take(data(0, 0), now).unwrap();
    for _ in 0..12 {
        assert!(session.has_room());
        session.send(&[1], now);
    }
    assert!(!session.has_room());
    assert_eq!(sent(&mut session)[..2], ["I 0 1", "I 1 1"]);
    session.take(Frame::S { receive: 5 }, now).unwrap();
    assert!(session.has_room());
    session.on_time(now + S(10)).unwrap();
    assert_eq!(sent(&mut session), [""; 0], "nothing is left to acknowledge");
    assert_eq!(
        session.on_time(now + S(15)),
        Err(Broken::Unanswered { what: "a frame of ours", seconds: 15.0 })
    );
}

#[test]
fn a_number_that_is_not_the_next_one_breaks_the_connection() {
    for send in [1, 5, MODULUS - 1] {
        let (mut session, now) = started();
        assert_eq!(session.take(data(send, 0), now), Err(Broken::Sequence { expected: 0, found: send }));
    }
    let (mut session, now) = started();
    session.take(data(0, 0), now).unwrap();
    assert_eq!(session.take(data(0, 0), now), Err(Broken::Sequence { expected: 1, found: 0 }));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_breaks_the_connection() {
    let (mut session, now) = started();
    session.send(&[1], now);
    let broken = Broken::Acknowledged { found: 2, first: 0, last: 1 };
    assert_eq!(session.take(Frame::S { receive: 2 }, now), Err(broken));
    session.take(Frame::S { receive: 1 }, now).unwrap();
    // Going back over what was acknowledged.
    assert!(session.take(data(0, 0), now).is_err());
}

#[test]
fn silence_is_asked_about_after_t3_and_ends_the_connection_after_t1_more() {
    let (mut session, now) = started();
    assert_eq!(session.due(), now + S(20));
    session.on_time(now + S(20)).unwrap();
    assert_eq!(sent(&mut session), ["TestAct"]);
    session.take(Frame::U(Control::TestCon), now + S(21)).unwrap();
    assert_eq!(session.due(), now + S(41));
    session.on_time(now + S(41)).unwrap();
    // Data is no answer to the question.
    session.take(data(0, 0), now + S(42)).unwrap();
    assert_eq!(session.on_time(now + S(56)), Err(Broken::Unanswered { what: "TESTFR", seconds: 15.0 }));
}

#[test]
fn a_station_that_asks_is_answered_and_one_that_commands_is_none() {
    let (mut session, now) = started();
    session.take(Frame::U(Control::TestAct), now).unwrap();
    assert_eq!(sent(&mut session), ["TestCon"]);
    session.take(Frame::U(Control::TestCon), now).unwrap();
    for control in [Control::StartAct, Control::StopAct, Control::StartCon, Control::StopCon] {
        assert_eq!(session.take(Frame::U(control), now), Err(Broken::Control(control)));
    }
}

#[test]
fn nothing_comes_before_the_transfer_is_started_nor_after_t1_without() {
    let now = Instant::now();
    let mut session = Session::start(Timers::default(), now);
    assert_eq!(session.take(data(0, 0), now), Err(Broken::NotStarted));
    assert!(!session.has_room());
    assert_eq!(session.on_time(now + S(15)), Err(Broken::Unanswered { what: "STARTDT", seconds: 15.0 }));
}

#[test]
fn at_the_end_everything_received_is_acknowledged_before_the_transfer_is_stopped() {
    let (mut session, now) = started();
    session.take(data(0, 0), now).unwrap();
    session.stop(now);
    assert_eq!(sent(&mut session), ["S 1", "StopAct"]);
    assert_eq!(session.take(Frame::U(Control::StopCon), now), Ok(Brought::Stopped));
}

proptest! {
    #[test]
    fn two_sessions_worth_of_numbers_go_around_without_a_break(frames in proptest::collection::vec(any::<bool>(), 1..200), before in 0..MODULUS) {
        // The numbers are brought near their end first.
        let (mut session, now) = started();
        let (mut theirs, mut ours) = (0, 0);
        for _ in 0..before {
            session.take(data(theirs, ours), now).unwrap();
            session.passed_on();
            theirs = (theirs + 1) % MODULUS;
        }
        for is_ours in frames {
            if is_ours && session.has_room() {
                session.send(&[1], now);
                ours = (ours + 1) % MODULUS;
            } else {
                prop_assert!(session.take(data(theirs, ours), now).is_ok());
                session.passed_on();
                theirs = (theirs + 1) % MODULUS;
            }
        }
    }

    #[test]
    fn whatever_frames_come_whenever_what_is_left_to_send_stays_small(frames in proptest::collection::vec((0..9_u8, 0..4_u16, 0..4_u16, 0..30_u64), 0..80)) {
        let (mut session, mut now) = started();
        for (kind, send, receive, seconds) in frames {
            now += S(seconds);
            let frame = match kind {
                0..=2 => data(send, receive),
                3 => Frame::S { receive },
                4 => Frame::U(Control::StartAct),
                5 => Frame::U(Control::StopCon),
                6 => Frame::U(Control::TestAct),
                _ => Frame::U(Control::TestCon),
            };
            if session.on_time(now).is_err() || session.take(frame, now).is_err() {
                break;
            }
            session.passed_on();
            prop_assert!(session.out.len() <= 12, "{:02x?}", session.out);
            session.out.clear();
        }
    }
}
