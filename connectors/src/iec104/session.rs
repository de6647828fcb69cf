//! The transport of one connection: sequence numbers, windows and timers (IEC 60870-5-104, clauses 5.1 to 5.3), without a
//! socket and without a clock: instants are handed in, bytes to be sent are left in `out`.

use super::apci::{Control, Frame, MODULUS};
use super::config::Timers;
use std::collections::VecDeque;
use thiserror::Error;
use tokio::time::Instant;

/// Why a connection is of no more use.
#[derive(Debug, Clone, PartialEq, Error)]
pub(super) enum Broken {
    #[error("frame {found} came instead of {expected}: frames were lost or repeated")]
    Sequence { expected: u16, found: u16 },
    #[error("frame {found} is acknowledged, and {first} to {last} were outstanding")]
    Acknowledged { found: u16, first: u16, last: u16 },
    #[error("data came before it was started")]
    NotStarted,
    #[error("a controlled station does not send {0:?}")]
    Control(Control),
    #[error("no answer to {what} within t1, {seconds} s")]
    Unanswered { what: &'static str, seconds: f64 },
}

/// What a frame brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought<'a> {
    Nothing,
    /// Data will come.
    Started,
    /// No more data will come.
    Stopped,
    Data(&'a [u8]),
}

pub(super) struct Session {
    timers: Timers,
    /// Bytes to be sent.
    pub out: Vec<u8>,
    started: bool,
    /// Number of the next frame we send.
    send: u16,
    /// Number of the next frame we expect.
    receive: u16,
    /// When each frame was sent that is not acknowledged; the last is `send` − 1.
    unacknowledged: VecDeque<Instant>,
    /// Frames received since we acknowledged.
    to_acknowledge: u16,
    /// Since when the oldest of them waits.
    waiting_since: Option<Instant>,
    /// The question that waits for its answer, and since when.
    asked: Option<(Control, Instant)>,
    heard_at: Instant,
}

impl Session {
    /// A new connection, which asks for the transfer to be started.
    pub fn start(timers: Timers, now: Instant) -> Self {
        let mut session = Self {
            timers,
            out: Vec::new(),
            started: false,
            send: 0,
            receive: 0,
            unacknowledged: VecDeque::new(),
            to_acknowledge: 0,
            waiting_since: None,
            asked: None,
            heard_at: now,
        };
        session.ask(Control::StartAct, now);
        session
    }

    fn ask(&mut self, control: Control, now: Instant) {
        Frame::U(control).write(&mut self.out);
        self.asked = Some((control, now));
    }

    /// Asks for the transfer to be stopped, everything received acknowledged.
    pub fn stop(&mut self, now: Instant) {
        self.acknowledge();
        self.ask(Control::StopAct, now);
    }

    /// Whether a frame may be sent now.
    pub fn has_room(&self) -> bool {
        self.started && self.unacknowledged.len() < usize::from(self.timers.k)
    }

    /// Sends data; only when [`has_room`](Self::has_room).
    pub fn send(&mut self, asdu: &[u8], now: Instant) {
        Frame::I { send: self.send, receive: self.receive, asdu }.write(&mut self.out);
        self.send = (self.send + 1) % MODULUS;
        self.unacknowledged.push_back(now);
        (self.to_acknowledge, self.waiting_since) = (0, None);
    }

    /// Acknowledges what was received, if that is due by its number. Called when it was passed on.
    pub fn passed_on(&mut self) {
        if self.to_acknowledge >= self.timers.w {
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        if self.to_acknowledge > 0 {
            Frame::S { receive: self.receive }.write(&mut self.out);
        }
        (self.to_acknowledge, self.waiting_since) = (0, None);
    }

    /// Takes a frame.
    pub fn take<'a>(&mut self, frame: Frame<'a>, now: Instant) -> Result<Brought<'a>, Broken> {
        self.heard_at = now;
        match frame {
            Frame::I { send, receive, asdu } => {
                if !self.started {
                    return Err(Broken::NotStarted);
                }
                if send != self.receive {
                    return Err(Broken::Sequence { expected: self.receive, found: send });
                }
                self.take_acknowledgement(receive)?;
                self.receive = (self.receive + 1) % MODULUS;
                self.to_acknowledge += 1;
                self.waiting_since.get_or_insert(now);
                Ok(Brought::Data(asdu))
            }
            Frame::S { receive } => self.take_acknowledgement(receive).map(|()| Brought::Nothing),
            Frame::U(control) => self.take_control(control),
        }
    }

    fn take_control(&mut self, control: Control) -> Result<Brought<'static>, Broken> {
        let asked = self.asked.map(|(asked, _)| asked);
        match control {
            Control::TestAct => {
                Frame::U(Control::TestCon).write(&mut self.out);
                Ok(Brought::Nothing)
            }
            Control::TestCon => {
                self.asked = self.asked.filter(|_| asked != Some(Control::TestAct));
                Ok(Brought::Nothing)
            }
            Control::StartCon if asked == Some(Control::StartAct) => {
                (self.asked, self.started) = (None, true);
                Ok(Brought::Started)
            }
            Control::StopCon if asked == Some(Control::StopAct) => {
                (self.asked, self.started) = (None, false);
                Ok(Brought::Stopped)
            }
            other => Err(Broken::Control(other)),
        }
    }

    /// All frames before `receive` have arrived.
    fn take_acknowledgement(&mut self, receive: u16) -> Result<(), Broken> {
        let outstanding = self.unacknowledged.len() as u16;
        let first = self.send.wrapping_sub(outstanding) % MODULUS;
        let done = receive.wrapping_sub(first) % MODULUS;
        if done > outstanding {
            return Err(Broken::Acknowledged { found: receive, first, last: self.send });
        }
        self.unacknowledged.drain(..usize::from(done));
        Ok(())
    }

    /// When [`on_time`](Self::on_time) is next to be called.
    pub fn due(&self) -> Instant {
        let Timers { t1, t2, t3, .. } = self.timers;
        let answers = [self.asked.map(|(_, at)| at + t1), self.unacknowledged.front().map(|at| *at + t1)];
        let test = self.asked.is_none().then_some(self.heard_at + t3);
        let dues = answers.into_iter().chain([self.waiting_since.map(|at| at + t2), test]);
        dues.flatten().min().unwrap_or(self.heard_at + t3)
    }

    /// Does what is due: acknowledges, asks whether the other side is there, or finds that it is not.
    pub fn on_time(&mut self, now: Instant) -> Result<(), Broken> {
        let Timers { t1, t2, t3, .. } = self.timers;
        let unanswered = |what| Broken::Unanswered { what, seconds: t1.as_secs_f64() };
        if let Some((control, at)) = self.asked
            && now >= at + t1
        {
            return Err(unanswered(match control {
                Control::StartAct => "STARTDT",
                Control::StopAct => "STOPDT",
                _ => "TESTFR",
            }));
        }
        if self.unacknowledged.front().is_some_and(|at| now >= *at + t1) {
            return Err(unanswered("a frame of ours"));
        }
        if self.waiting_since.is_some_and(|at| now >= at + t2) {
            self.acknowledge();
        }
        if self.asked.is_none() && now >= self.heard_at + t3 {
            self.ask(Control::TestAct, now);
        }
        Ok(())
    }
}
