//! A storm of poison in wall time: one feeder's stage is sent ten thousand messages a second that make it panic, while other feeders'
//! stages of the same system are asked how long a message takes them, by turns with and without the storm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // wall time is what is measured, and told

#[path = "../../tests/harness/soak.rs"]
mod soak;

use actors::runtime::{Address, Compute, Context, Environment, ScaledClock, Stage, Supervisor};
use grid::Timestamp;
use soak::{sized, soak_row};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const POISON_PER_MS: usize = 10;
const OTHER_FEEDERS: usize = 4;
/// What a good message asks of its stage: about what a batch of a meter's values does.
const ROUNDS: u64 = 20_000;

#[derive(Debug, Clone)]
enum Word {
    Poison,
    Work(Instant, Arc<Mutex<Vec<Duration>>>),
}

struct Feeder;

impl Stage for Feeder {
    type Msg = Word;

    fn kin(msg: &Word) -> Option<String> {
        matches!(msg, Word::Poison).then(|| "from 1".to_owned())
    }

    fn handle(&mut self, msg: Word, _: &mut Context<Word>) {
        match msg {
            Word::Poison => panic!("poison"),
            Word::Work(sent, took) => {
                let work =
                    (0..ROUNDS).fold(0_u64, |sum, round| std::hint::black_box(sum.rotate_left(7) ^ round));
                std::hint::black_box(work);
                took.lock().unwrap().push(sent.elapsed());
            }
        }
    }
}

/// Asks all for a while, each millisecond one of them.
async fn ask(
    feeders: &[Address<Word>],
    storm: Option<&Address<Word>>,
    took: &Arc<Mutex<Vec<Duration>>>,
    seconds: u64,
) {
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for ms in 0..seconds * 1_000 {
        tick.tick().await;
        if let Some(stormy) = storm {
            (0..POISON_PER_MS).for_each(|_| stormy.deliver(Word::Poison));
        }
        feeders[ms as usize % feeders.len()].deliver(Word::Work(Instant::now(), took.clone()));
    }
    eprintln!(
        "{seconds} s in {:.1?}{}",
        begun.elapsed(),
        if storm.is_some() { ", with the storm" } else { "" }
    );
}

fn p99(took: &Mutex<Vec<Duration>>) -> Duration {
    let mut took = took.lock().unwrap();
    took.sort_unstable();
    took[(took.len() - 1) * 99 / 100]
}

/// Restarts in the worst ten seconds, as seen each tenth of a second.
async fn most_restarts(supervisor: &Supervisor, seconds: u64) -> u64 {
    let (mut seen, mut most) = (Vec::new(), 0);
    for _ in 0..seconds * 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen.push(supervisor.incidents().snapshot().restarts);
        let before = seen.len().checked_sub(101).and_then(|at| seen.get(at)).copied().unwrap_or_default();
        most = most.max(seen.last().unwrap() - before);
    }
    most
}

async fn storm(turns: u64, seconds: u64) -> (bool, String) {
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Arc::new(Supervisor::start(Environment::new(clock, Compute::Blocking)).await.unwrap());
    let stormy = supervisor.spawn("feeder in a storm", || Feeder).await.unwrap();
    let mut feeders = Vec::new();
    for nth in 0..OTHER_FEEDERS {
        feeders.push(supervisor.spawn(format!("feeder {nth}"), || Feeder).await.unwrap());
    }
    let watched = supervisor.clone();
    let restarts = tokio::spawn(async move { most_restarts(&watched, turns * seconds * 2).await });
    let (calm, storm) = (Arc::default(), Arc::default());
    for _ in 0..turns {
        ask(&feeders, None, &calm, seconds).await;
        ask(&feeders, Some(&stormy), &storm, seconds).await;
        while supervisor.depths().by_kind().values().any(|depth| depth.waiting > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (restarts, escalation) = (restarts.await.unwrap(), supervisor.escalation().borrow().clone());
    let deliveries =
        supervisor.quarantine().kept().iter().map(|kept| kept.deliveries).max().unwrap_or_default();
    let total = supervisor.quarantine().counts().total;
    supervisor.stop().await;
    let (calm, storm) = (p99(&calm), p99(&storm));
    let slower = storm.as_secs_f64() / calm.as_secs_f64() - 1.0;
    let reached = format!(
        "{total} set aside, {restarts} restarts, {deliveries} deliveries; p99 {calm:.0?} calm, {storm:.0?} in the storm \
         ({:+.0} %)",
        slower * 100.0
    );
    let sent = turns * seconds * 1_000 * POISON_PER_MS as u64;
    let held = restarts <= 5
        && (1..=3).contains(&deliveries)
        && total == sent
        && escalation.is_none()
        && slower <= 0.2;
    (held, reached)
}

#[test]
#[ignore = "minutes of wall time; `make soak` runs it"]
fn a_storm_of_poison_leaves_other_feeders_as_fast_as_they_were() {
    std::panic::set_hook(Box::new(|_| ())); // hundreds of panics on purpose
    let seconds: u64 = sized("SOAK_STORM_SECONDS", 60);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (held, reached) = runtime.block_on(storm(seconds.div_ceil(10), seconds.min(10)));
    let asked = "10,000/s: 5 restarts in 10 s, 3 deliveries, others' p99 +20 %";
    soak_row("poison", asked, &reached, held);
    assert!(held, "{reached}");
}
