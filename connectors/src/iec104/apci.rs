//! Frames of the transport (IEC 60870-5-104, clause 5): bytes ⇄ I, S and U frames. Total, and never more than 255 bytes.

use thiserror::Error;

/// First byte of every frame.
const START: u8 = 0x68;
/// The control field, bytes.
const CONTROL: usize = 4;
/// Most bytes after the length.
const LENGTH_MAX: usize = 253;
/// Sequence numbers start anew at this.
pub const MODULUS: u16 = 1 << 15;

/// What a frame of format U says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Start the transfer of data.
    StartAct,
    /// It is started.
    StartCon,
    /// Stop it.
    StopAct,
    /// It is stopped.
    StopCon,
    /// Are you there?
    TestAct,
    /// I am.
    TestCon,
}

impl Control {
    const ALL: [(u8, Control); 6] = [
        (0x07, Control::StartAct),
        (0x0b, Control::StartCon),
        (0x13, Control::StopAct),
        (0x23, Control::StopCon),
        (0x43, Control::TestAct),
        (0x83, Control::TestCon),
    ];
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Numbered, with an ASDU.
    I {
        /// Its number.
        send: u16,
        /// The number that the sender expects next: all before it have arrived.
        receive: u16,
        /// What it carries.
        asdu: &'a [u8],
    },
    /// An acknowledgement.
    S {
        /// The number that the sender expects next.
        receive: u16,
    },
    /// Control of the connection.
    U(Control),
}

/// Bytes that are no frame; after them nobody knows where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Something else than 68h.
    #[error("a frame begins with {0:02x}h instead of 68h")]
    Start(u8),
    /// Shorter than a control field, or longer than the standard has it.
    #[error("a frame says it is {0} bytes long, 4 to 253 is possible")]
    Length(u8),
    /// A control field that is none of the three formats.
    #[error("a frame of {length} bytes has the control field {control:02x?}, which is of no format")]
    Control {
        /// As received.
        control: [u8; CONTROL],
        /// As received.
        length: usize,
    },
}

/// What stands at the beginning of bytes received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split<'a> {
    /// A frame, and how many bytes it takes.
    Frame(Frame<'a>, usize),
    /// The beginning of one.
    More,
}

/// The first frame of what was received.
///
/// # Errors
/// [`FrameError`]: the connection is of no more use.
pub fn split(bytes: &[u8]) -> Result<Split<'_>, FrameError> {
    let Some(&start) = bytes.first() else { return Ok(Split::More) };
    if start != START {
        return Err(FrameError::Start(start));
    }
    let Some(&said) = bytes.get(1) else { return Ok(Split::More) };
    let length = usize::from(said);
    if !(CONTROL..=LENGTH_MAX).contains(&length) {
        return Err(FrameError::Length(said));
    }
    let Some((control, asdu)) = bytes.get(2..2 + length).and_then(<[u8]>::split_first_chunk) else {
        return Ok(Split::More);
    };
    let frame = frame(*control, asdu).ok_or(FrameError::Control { control: *control, length })?;
    Ok(Split::Frame(frame, 2 + length))
}

fn frame(control: [u8; CONTROL], asdu: &[u8]) -> Option<Frame<'_>> {
    let [a, b, c, d] = control;
    let (send, receive) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    if a & 1 == 0 && c & 1 == 0 && !asdu.is_empty() {
        return Some(Frame::I { send: send >> 1, receive: receive >> 1, asdu });
    }
    if !asdu.is_empty() {
        return None;
    }
    match control {
        [0x01, 0, c, _] if c & 1 == 0 => Some(Frame::S { receive: receive >> 1 }),
        [a, 0, 0, 0] => {
            let known = Control::ALL.into_iter().find(|(byte, _)| *byte == a);
            known.map(|(_, control)| Frame::U(control))
        }
        _ => None,
    }
}

impl Frame<'_> {
    /// Appends the frame's bytes. An ASDU is at most 249 bytes; ours are ten or so.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (control, asdu): ([u8; CONTROL], &[u8]) = match *self {
            Frame::I { send, receive, asdu } => {
                let ([a, b], [c, d]) = ((send << 1).to_le_bytes(), (receive << 1).to_le_bytes());
                ([a, b, c, d], asdu)
            }
            Frame::S { receive } => {
                let [c, d] = (receive << 1).to_le_bytes();
                ([1, 0, c, d], &[])
            }
            Frame::U(control) => {
                let byte = Control::ALL.into_iter().find(|(_, known)| *known == control);
                ([byte.map_or(0, |(byte, _)| byte), 0, 0, 0], &[])
            }
        };
        let asdu = asdu.get(..LENGTH_MAX - CONTROL).unwrap_or(asdu);
        out.extend([START, (CONTROL + asdu.len()) as u8]);
        out.extend(control);
        out.extend(asdu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_frames_of_the_standard_are_read_and_written() {
        for (bytes, expected) in [
            (&[0x68, 4, 0x07, 0, 0, 0][..], Frame::U(Control::StartAct)),
            (&[0x68, 4, 0x0b, 0, 0, 0], Frame::U(Control::StartCon)),
            (&[0x68, 4, 0x13, 0, 0, 0], Frame::U(Control::StopAct)),
            (&[0x68, 4, 0x23, 0, 0, 0], Frame::U(Control::StopCon)),
            (&[0x68, 4, 0x43, 0, 0, 0], Frame::U(Control::TestAct)),
            (&[0x68, 4, 0x83, 0, 0, 0], Frame::U(Control::TestCon)),
            (&[0x68, 4, 0x01, 0, 0x7e, 0x14], Frame::S { receive: 2623 }),
            (&[0x68, 5, 0x5a, 0x14, 0x7c, 0, 9], Frame::I { send: 2605, receive: 62, asdu: &[9] }),
        ] {
            assert_eq!(split(bytes), Ok(Split::Frame(expected, bytes.len())), "{bytes:02x?}");
            let mut written = Vec::new();
            expected.write(&mut written);
            assert_eq!(written, bytes);
        }
    }

    #[test]
    fn what_is_no_frame_is_named() {
        assert_eq!(split(b"HTTP"), Err(FrameError::Start(b'H')));
        assert_eq!(split(&[0x68, 3, 7, 0, 0]), Err(FrameError::Length(3)));
        assert_eq!(split(&[0x68, 254]), Err(FrameError::Length(254)));
        // Two commands in one, an I frame without anything in it, an S frame with something.
        for bytes in [&[0x68, 4, 0x0f, 0, 0, 0][..], &[0x68, 4, 2, 0, 0, 0], &[0x68, 5, 1, 0, 0, 0, 9]] {
            assert!(matches!(split(bytes), Err(FrameError::Control { .. })), "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_and_a_frame_is_never_longer_than_what_is_there(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(Split::Frame(_, length)) = split(&bytes) {
                prop_assert!((6..=255).contains(&length) && length <= bytes.len());
            }
        }

        #[test]
        fn a_numbered_frame_is_read_back_however_it_is_cut(send in 0..MODULUS, receive in 0..MODULUS, asdu in proptest::collection::vec(any::<u8>(), 1..250), cut in 0..255_usize) {
            let frame = Frame::I { send, receive, asdu: &asdu };
            let mut bytes = Vec::new();
            frame.write(&mut bytes);
            prop_assert_eq!(split(&bytes), Ok(Split::Frame(frame, bytes.len())));
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(split(&bytes[..cut]), Ok(Split::More));
        }
    }
}
