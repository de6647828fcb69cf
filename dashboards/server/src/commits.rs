//! Readings of meters that count on their way to the disk: whatever waits is written and synced together, so that ten thousand
//! meters at a quarter-hour's end wait for a few syncs and not for ten thousand.

use crate::deposit::{SharedRegister, locked, refused, unkept};
use crate::guard::stopped;
use crate::problem::Problem;
use grid::{PointId, Timestamp};
use register::meters::Registers;
use std::io;
use tokio::sync::{mpsc, oneshot};

/// Readings that may wait; whoever sends more waits before that.
const WAITING_MAX: usize = 4_096;

type Reading = (PointId, Timestamp, Registers);

struct Waiting {
    reading: Reading,
    now: Timestamp,
    done: oneshot::Sender<Result<(), Problem>>,
}

/// The way to the thread that writes them. It ends when this and its clones are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Commits(mpsc::Sender<Waiting>);

impl Commits {
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(register: SharedRegister) -> io::Result<Self> {
        let (sender, mut waiting) = mpsc::channel::<Waiting>(WAITING_MAX);
        let run = move || {
            let mut group = Vec::new();
            while waiting.blocking_recv_many(&mut group, WAITING_MAX) > 0 {
                commit(&register, std::mem::take(&mut group));
            }
        };
        std::thread::Builder::new().name("register-readings".to_owned()).spawn(run)?;
        Ok(Self(sender))
    }

    /// Remembers a reading; it is on the disk when this returns.
    pub async fn remember(&self, reading: Reading, now: Timestamp) -> Result<(), Problem> {
        let (done, outcome) = oneshot::channel();
        self.0.send(Waiting { reading, now, done }).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}

fn commit(register: &SharedRegister, group: Vec<Waiting>) {
    let Some(now) = group.iter().map(|waiting| waiting.now).max() else { return };
    let readings: Vec<Reading> = group.iter().map(|waiting| waiting.reading).collect();
    let outcome = locked(register).remember_all(&readings, now);
    match outcome {
        Ok(looked) => {
            for (waiting, looked) in group.into_iter().zip(looked) {
                let _ = waiting.done.send(looked.map_err(|refusal| refused(&refusal)));
            }
        }
        Err(error) => {
            let problem = unkept(&error);
            for waiting in group {
                let _ = waiting.done.send(Err(problem.clone()));
            }
        }
    }
}
