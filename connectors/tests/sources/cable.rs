//! A serial line without wires: terminals of the operating system, and a thread in the middle that may spoil what passes.

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One end: what is written to the device is read here, and the other way round.
pub struct End {
    inside: OwnedFd,
    /// Without somebody at the device reading here fails.
    _held: OwnedFd,
    device: PathBuf,
}

impl End {
    /// A new one; `None`, loudly, where the operating system gives none.
    pub fn new() -> Option<Self> {
        let made = Self::make();
        if let Err(error) = &made {
            println!("SKIPPED: no pseudo-terminal here: {error}");
        }
        made.ok()
    }

    fn make() -> rustix::io::Result<Self> {
        let inside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&inside)?;
        unlockpt(&inside)?;
        let device = PathBuf::from(ptsname(&inside, Vec::new())?.into_string().unwrap());
        let held = open(&device, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
        let mut raw = tcgetattr(&held)?;
        raw.make_raw();
        tcsetattr(&held, OptionalActions::Now, &raw)?;
        rustix::fs::fcntl_setfl(&inside, OFlags::NONBLOCK)?;
        Ok(Self { inside, _held: held, device })
    }

    /// The path that a program opens.
    pub fn device(&self) -> &Path {
        &self.device
    }

    fn read(&self) -> Vec<u8> {
        let mut bytes = [0; 512];
        let count = rustix::io::read(&self.inside, &mut bytes).unwrap_or(0);
        bytes[..count].to_vec()
    }

    fn write(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::write(&self.inside, bytes), Ok(bytes.len()));
    }
}

/// A thread at one end, or between two, that ends when this is dropped; the devices are gone then.
pub struct Cable {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    #[allow(clippy::disallowed_methods)] // the line is a place of its own
    fn run(mut turn: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                turn();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { stop, thread: Some(thread) }
    }

    /// Joins two ends; what comes from the second one passes through `spoil`.
    pub fn between(
        asking: End,
        asked: End,
        mut spoil: impl FnMut(Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Self {
        Self::run(move || {
            let question = asking.read();
            if !question.is_empty() {
                asked.write(&question);
            }
            let answer = asked.read();
            if !answer.is_empty() {
                asking.write(&spoil(answer));
            }
        })
    }

    /// Answers at an end: `say` is given each question, 8 bytes, and returns what to do then.
    pub fn answering(end: End, mut say: impl FnMut([u8; 8]) -> Vec<Then> + Send + 'static) -> Self {
        let mut heard = Vec::new();
        Self::run(move || {
            heard.extend(end.read());
            while let Some((question, rest)) = heard.split_first_chunk::<8>() {
                let (question, rest) = (*question, rest.to_vec());
                heard = rest;
                for then in say(question) {
                    match then {
                        Then::Wait(millis) => std::thread::sleep(Duration::from_millis(millis)),
                        Then::Say(bytes) => end.write(&bytes),
                    }
                }
            }
        })
    }
}

/// What a hand-made unit does.
pub enum Then {
    /// Milliseconds.
    Wait(u64),
    /// Bytes at once.
    Say(Vec<u8>),
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
