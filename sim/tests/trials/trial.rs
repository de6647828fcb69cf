//! One trial: a street, its field and its wires live through an evening; the system lives, dies and starts again.

use crate::checks;
use crate::disk::{Random, State, Survives, TestDisk};
use crate::plan::{End, FAULTS_UNTIL, LENGTH, Mishap, Plan};
use crate::trace::Trace;
use crate::wire::Wire;
use actors::grid_side::region::learnt;
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Parts, System};
use grid::defect::{Defect, plant, stumble_after};
use grid::{Clock, Timestamp};
use journal::{Durability, Fact, Journal, Options};
use sim::Plant;
use sim::field::{self, FieldLog};
use sim::run::{Setup, setup::AREA};
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::task::yield_now;

/// What a trial came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// Everything that happened, as one number.
    pub trace: u64,
    /// What a check objects to; the trial ends with the first.
    pub objections: Vec<String>,
    /// How often the system started.
    pub lives: u32,
    /// How often it started from a snapshot.
    pub from_snapshot: u32,
    /// Contracts, orders answered, and settlements in the end.
    pub contracts: u64,
    pub answered: usize,
    pub settlements: usize,
}

/// Lives through the evening that a seed decides, with a defect or without.
pub fn run(seed: u64, defect: Option<Defect>) -> Ran {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str().is_none_or(|words| words != "stumbled on purpose") {
                usual(panic);
            }
        }));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    plant(defect);
    let ran = runtime.expect("a runtime").block_on(async { Trial::new(seed).live().await });
    plant(None);
    ran
}

struct Trial {
    seed: u64,
    plan: Plan,
    setup: Setup,
    truth: Arc<ScaledClock>,
    random: Random,
    trace: Trace,
    /// How many stages were made to panic.
    stumbles: u64,
    ran: Ran,
}

/// What follows when a process has ended by itself.
const STARTED_AGAIN: Mishap =
    Mishap { after: Duration::ZERO, turns: 0, end: End::Kill, away: Duration::from_secs(5), skew_s: 0 };

type Mishaps = std::vec::IntoIter<Mishap>;

/// How long a fault of the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why a life ended.
#[allow(clippy::large_enum_variant)] // there are a few of them
enum Ended {
    /// Of a mishap: the disk as the next life finds it.
    Died(State, Mishap),
    /// The trial is over.
    Over,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let plan = Plan::of(seed);
        let setup = Setup::new(plan.scenario.clone()).expect("the street can be set up");
        let truth = Arc::new(ScaledClock::start(plan.scenario.start, 1));
        let random = Random(seed ^ 0x6c69_7665);
        Self { seed, plan, setup, truth, random, trace: Trace::default(), stumbles: 0, ran: Ran::default() }
    }

    async fn live(mut self) -> Ran {
        let area = connectors::Area::new(AREA).expect("a name");
        let (wire, link) = Wire::new(area, self.truth.clone(), self.plan.wires, self.seed);
        let street = Plant::new(&self.plan.scenario, self.setup.feeder.clone()).expect("a street");
        let (pace, log, scenario) = (self.truth.clone(), FieldLog::default(), self.plan.scenario.clone());
        let field = tokio::spawn(field::run(street, link, pace, log, scenario));
        let mender = wire.clone();
        tokio::spawn(async move {
            tokio::time::sleep(FAULTS_UNTIL).await;
            mender.mend();
        });
        let (mut disk, mut mishaps) = (State::default(), self.plan.mishaps.clone().into_iter());
        let mut skew_s = 0;
        while let Ended::Died(found, of) = self.life(&wire, disk, &mut mishaps, skew_s).await {
            if !self.ran.objections.is_empty() {
                break;
            }
            let mended = self.plan.scenario.start.plus(FAULTS_UNTIL).since(self.truth.now());
            tokio::time::sleep(of.away.min(mended.max(STARTED_AGAIN.away))).await;
            (disk, skew_s) = (found, of.skew_s);
        }
        field.abort();
        self.trace.note(wire.trace());
        self.ran.trace = self.trace.value();
        self.ran
    }

    fn object(&mut self, objections: impl IntoIterator<Item = String>) {
        let at = self.truth.now();
        self.ran.objections.extend(objections.into_iter().map(|words| format!("{at}: {words}")));
    }

    /// One life of the system, from what is on the disk to the next mishap.
    async fn life(&mut self, wire: &Wire, mut found: State, mishaps: &mut Mishaps, skew_s: i64) -> Ended {
        self.ran.lives += 1;
        found.operations = 0;
        let disk = Arc::new(TestDisk::new(found));
        let Some(system) = self.start(wire, &disk, skew_s).await else { return Ended::Over };
        let ended = self.until(&system, wire, &disk, mishaps).await;
        stumble_after(None);
        if let Ended::Over = ended {
            self.check_the_end(&system, wire, &disk);
        }
        // What it does from here on reaches nobody and nothing.
        wire.cut();
        system.stop().await;
        ended
    }

    /// Opens what is on the disk, holds it against what the outside knows, and starts the system with it.
    async fn start(&mut self, wire: &Wire, disk: &Arc<TestDisk>, skew_s: i64) -> Option<System> {
        let options =
            Options { durability: Durability::Synced, segment_bytes: 4 << 10, snapshot_bytes: 8 << 10 };
        let opened = match Journal::open_on(disk.clone(), options) {
            Ok(opened) => opened,
            Err(error) => {
                self.object([format!("the journal does not open: {error}")]);
                return None;
            }
        };
        let (mut journal, standing) = (opened.journal, opened.standing);
        self.ran.from_snapshot += u32::from(opened.replayed < standing.records);
        let report = match Journal::verify_on(disk.as_ref()) {
            Ok(report) => report,
            Err(error) => {
                self.object([format!("the journal opens and cannot be read: {error}")]);
                return None;
            }
        };
        let objections = wire.known(|known| checks::recovered(&report.entries, &standing, known));
        self.object(objections);
        let now = Timestamp::from_seconds(self.truth.now().seconds() + skew_s);
        // A clock that is behind the journal waits for it.
        let now = standing.reached.map_or(now, |reached| now.max(reached));
        let configuration = format!("trial {}", self.seed);
        let records = journal.append([(now, &Fact::Opened { configuration })]);
        let records = records.expect("the disk works at the start of a life");
        let parts = Parts {
            area: self.setup.area.clone(),
            environment: Environment::new(ScaledClock::start(now, 1), Compute::Inline),
            link: wire.connect(),
            sources: Vec::new(),
            learnt: learnt(&self.setup.area, &self.setup.archive),
            journal,
            ledger: standing.ledger,
            records,
            owed: Vec::new(),
            history: None,
            weather: None,
            zone: "UTC".to_owned(),
            publish_period: Duration::from_secs(20),
        };
        Some(System::start(parts).await.expect("actors start"))
    }

    /// Lives on until something ends it or the trial is over.
    async fn until(
        &mut self,
        system: &System,
        wire: &Wire,
        disk: &Arc<TestDisk>,
        mishaps: &mut Mishaps,
    ) -> Ended {
        let start = self.plan.scenario.start;
        loop {
            let next = mishaps.next();
            let at = start.plus(next.map_or(LENGTH, |mishap| mishap.after));
            if self.wait(system, at).await {
                return self.gave_up(system, disk, next);
            }
            let Some(mishap) = next.filter(|_| self.ran.objections.is_empty()) else { return Ended::Over };
            for _ in 0..mishap.turns {
                yield_now().await;
            }
            if let Some(found) = self.suffer(system, wire, disk, mishap).await {
                return Ended::Died(found, mishap);
            }
        }
    }

    /// What happens; the disk as it is found afterwards, when it ends the life.
    async fn suffer(
        &mut self,
        system: &System,
        wire: &Wire,
        disk: &Arc<TestDisk>,
        mishap: Mishap,
    ) -> Option<State> {
        let patience = match mishap.end {
            End::Kill => {
                wire.cut();
                return Some(disk.state().after_kill());
            }
            End::Crash(survives) => {
                wire.cut();
                return Some(disk.state().after_power_cut(survives, &mut self.random));
            }
            End::Stumble(messages) => {
                self.stumbles += 1;
                stumble_after(Some(messages));
                return None;
            }
            End::PowerAt(count) => {
                let mut state = disk.state();
                state.power_until = Some(state.operations + count);
                PATIENCE
            }
            End::Fault(count, fault) => {
                let mut state = disk.state();
                state.fault = Some((state.operations + count, fault));
                PATIENCE
            }
            End::Full => {
                disk.state().room = Some(0);
                mishap.away
            }
        };
        let until = self.truth.now().plus(patience).min(self.plan.scenario.start.plus(FAULTS_UNTIL));
        if !self.wait(system, until).await {
            let mut state = disk.state();
            (state.room, state.fault, state.power_until) = (None, None, None);
            return None;
        }
        Some(match mishap.end {
            // The process stopped, the machine did not.
            End::Fault(..) => disk.state().after_kill(),
            _ => disk.state().after_power_cut(Survives::Some, &mut self.random),
        })
    }

    /// It gave up without a fault of the disk: only a stumbling journal may.
    fn gave_up(&mut self, system: &System, disk: &Arc<TestDisk>, next: Option<Mishap>) -> Ended {
        let reason = system.escalation().borrow().clone().unwrap_or_default();
        if reason.contains("journal") && reason.contains("stumbled on purpose") {
            let found = disk.state().after_kill();
            return Ended::Died(found, next.unwrap_or(STARTED_AGAIN));
        }
        self.object([format!("the system gave up: {reason}")]);
        Ended::Over
    }

    /// Waits for an instant, with a look at the system each minute; whether it gave up before.
    async fn wait(&mut self, system: &System, until: Timestamp) -> bool {
        let mut escalation = system.escalation();
        // In the turns since the last look.
        if escalation.borrow().is_some() {
            return true;
        }
        while self.truth.now() < until {
            let minute = self.truth.now().plus(Duration::from_secs(60)).min(until);
            tokio::select! {
                biased;
                changed = escalation.changed() => {
                    if changed.is_ok() {
                        return true;
                    }
                }
                () = self.truth.sleep_until(minute) => {}
            }
            let objections = system.books().read(checks::running);
            self.object(objections);
            if minute.seconds() % 600 == 0 {
                let picture = system.picture().borrow().clone();
                self.trace.note(serde_json::to_string(picture.as_ref()).expect("a picture can be written"));
            }
            if !self.ran.objections.is_empty() {
                return false;
            }
        }
        false
    }

    fn check_the_end(&mut self, system: &System, wire: &Wire, disk: &Arc<TestDisk>) {
        if !self.ran.objections.is_empty() {
            return;
        }
        let quiet = self.plan.scenario.start.plus(FAULTS_UNTIL);
        let (picture, now) = (system.picture().borrow().clone(), self.truth.now());
        let ledger = system.books().read(Clone::clone);
        let objections = wire.known(|known| checks::settled_down(&ledger, &picture, known, quiet, now));
        self.object(objections);
        let incidents = system.incidents().snapshot();
        if incidents.restarts > self.stumbles || incidents.quarantined > 0 {
            self.object([format!("stages failed: {:?}", incidents.newest)]);
        }
        // Nothing is under way in the middle of a quiet minute.
        match Journal::verify_on(disk.as_ref()) {
            Ok(report) => {
                let standing = journal::Standing { ledger: ledger.clone(), ..Default::default() };
                let objections = wire.known(|known| checks::recovered(&report.entries, &standing, known));
                self.object(objections);
                self.trace.note(format!("{:?}", report.entries));
            }
            Err(error) => self.object([format!("the journal cannot be read: {error}")]),
        }
        self.ran.contracts = ledger.contract_count();
        self.ran.answered = ledger.activations().filter(|(_, answer)| answer.is_some()).count();
        self.ran.settlements = ledger.settlements().count();
    }
}
