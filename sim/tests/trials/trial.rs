//! One trial: a street, its field and its wires live through an evening; the system lives, dies and starts again.

mod suffering;

use crate::checks::{self, Clearings};
use crate::deadlines;
use crate::disk::{Random, State, TestDisk};
use crate::lives::{Lives, Machine};
use crate::minute::Watched;
use crate::party::{self, Party};
use crate::plan::{FAULTS_UNTIL, LENGTH, Mishap, Plan};
use crate::trace::Trace;
use crate::wire::{Known, Wire};
use actors::grid_side::region::learnt;
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Area, Parts, System};
use grid::defect::{Defect, plant, stumble_after};
use grid::{Clock, Timestamp};
use journal::{Durability, Entry, Fact, Journal, Opened, Options};
use market::Ledger;
use sim::Plant;
use sim::field::{self, FieldLog};
use sim::run::{Setup, setup::AREA};
use site::running::clock::{origin, was_set};
use std::iter::Peekable;
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};

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
    /// How often a life ended because the machine's clock was set, and how often it was not believed at a start.
    pub clocks_set: u32,
    pub clocks_refused: u32,
    /// What the party at the door was answered.
    pub party: u64,
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
    /// The area, the party's device in it.
    area: Arc<Area>,
    truth: Arc<ScaledClock>,
    machine: Machine,
    random: Random,
    trace: Trace,
    lives: Lives,
    watched: Watched,
    /// How many stages were made to panic.
    stumbles: u64,
    ran: Ran,
}

/// How it goes on after a life.
#[derive(Clone, Copy)]
struct Again {
    away: Duration,
    /// How far the clock is off then, unless it is as before.
    skew_s: Option<i64>,
}

/// A process that ended by itself is started again.
const STARTED_AGAIN: Again = Again { away: Duration::from_secs(5), skew_s: None };
/// How often the journal is read while it is written.
const READ_EACH: Duration = Duration::from_secs(20 * 60);
/// How often a start is tried.
const TRIED_EACH: Duration = Duration::from_secs(5);

type Mishaps = Peekable<std::vec::IntoIter<Mishap>>;

/// Why a life ended.
#[allow(clippy::large_enum_variant)] // there are a few of them
enum Ended {
    /// The disk as the next life finds it.
    Died(State, Again),
    /// The trial is over.
    Over,
}

/// A life of the system.
struct Life {
    system: System,
    disk: Arc<TestDisk>,
    /// Resolves when the machine's clock was set.
    clock: JoinHandle<i64>,
    ours: ScaledClock,
    /// How far ours was ahead of the machine's at the start.
    ahead: Duration,
    /// At which look the two were found to differ otherwise.
    drifted: Option<Timestamp>,
    /// When its journal was read last.
    read: Timestamp,
}

/// What waiting came to.
#[derive(PartialEq, Eq)]
enum Waited {
    /// The instant is there, or a check objects.
    Reached,
    /// The system gave up.
    GaveUp,
    /// It ended because the machine's clock was set.
    ClockSet,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let plan = Plan::of(seed);
        let setup = Setup::new(plan.scenario.clone()).expect("the street can be set up");
        let truth = Arc::new(ScaledClock::start(plan.scenario.start, 1));
        let mut area = party::joined(&setup.area);
        area.know_generators(setup.plant.generators());
        Self {
            seed,
            plan,
            area: Arc::new(area),
            setup,
            machine: Machine::new(truth.clone()),
            truth,
            random: Random(seed ^ 0x6c69_7665),
            trace: Trace::default(),
            lives: Lives::default(),
            watched: Watched::default(),
            stumbles: 0,
            ran: Ran::default(),
        }
    }

    /// When nothing goes wrong any more.
    fn quiet(&self) -> Timestamp {
        self.plan.scenario.start.plus(FAULTS_UNTIL)
    }

    async fn live(mut self) -> Ran {
        let area = connectors::Area::new(AREA).expect("a name");
        let (wire, link) = Wire::new(area, self.truth.clone(), self.plan.wires, self.seed);
        let street = Plant::new(&self.plan.scenario, self.setup.feeder.clone()).expect("a street");
        let (pace, log, scenario) = (self.truth.clone(), FieldLog::default(), self.plan.scenario.clone());
        let field = tokio::spawn(field::run(street, link, pace, log, scenario));
        let party = Party::new(wire.clone(), self.area.clone(), self.truth.clone(), self.seed);
        let party = tokio::spawn(party.trade());
        let mender = wire.clone();
        tokio::spawn(async move {
            tokio::time::sleep(FAULTS_UNTIL).await;
            mender.mend();
        });
        let (mut disk, mut mishaps) = (State::default(), self.plan.mishaps.clone().into_iter().peekable());
        let mut died = self.truth.now();
        while let Ended::Died(found, again) = self.life(&wire, disk, &mut mishaps, died).await {
            if !self.ran.objections.is_empty() {
                break;
            }
            died = self.truth.now();
            let mended = self.quiet().since(died);
            tokio::time::sleep(again.away.min(mended.max(STARTED_AGAIN.away))).await;
            again.skew_s.iter().for_each(|seconds| self.machine.skew(*seconds));
            disk = found;
        }
        field.abort();
        party.abort();
        self.trace.note(wire.trace());
        (self.ran.trace, self.ran.party) = (self.trace.value(), wire.known(|known| known.party.answers));
        self.ran
    }

    fn object(&mut self, objections: impl IntoIterator<Item = String>) {
        let at = self.truth.now();
        self.ran.objections.extend(objections.into_iter().map(|words| format!("{at}: {words}")));
    }

    /// One life of the system, from what is on the disk to the next mishap; the one before ended at `died`.
    async fn life(&mut self, wire: &Wire, mut found: State, mishaps: &mut Mishaps, died: Timestamp) -> Ended {
        self.ran.lives += 1;
        found.operations = 0;
        let disk = Arc::new(TestDisk::new(found));
        let Some(mut life) = self.start(wire, &disk, died).await else { return Ended::Over };
        let ended = self.until(&mut life, wire, mishaps).await;
        stumble_after(None);
        if let Ended::Over = ended {
            self.check_the_end(&life.system, wire, &disk);
        }
        // What it does from here on reaches nobody and nothing.
        wire.cut();
        life.clock.abort();
        life.system.stop().await;
        ended
    }

    /// Opens what is on the disk, waits for a clock that can be believed, holds everything against what the outside knows, and
    /// starts the system with it.
    async fn start(&mut self, wire: &Wire, disk: &Arc<TestDisk>, died: Timestamp) -> Option<Life> {
        let options =
            Options { durability: Durability::Synced, segment_bytes: 4 << 10, snapshot_bytes: 8 << 10 };
        let opened = match Journal::open_on(disk.clone(), options) {
            Ok(opened) => opened,
            Err(error) => {
                self.object([format!("the journal does not open: {error}")]);
                return None;
            }
        };
        self.ran.from_snapshot += u32::from(opened.replayed < opened.standing.records);
        let began = self.believed_clock(&opened).await?;
        let Opened { mut journal, standing, .. } = opened;
        let report = match Journal::verify_on(disk.as_ref()) {
            Ok(report) => report,
            Err(error) => {
                self.object([format!("the journal opens and cannot be read: {error}")]);
                return None;
            }
        };
        self.lives.outage(died, self.truth.now());
        let objections =
            wire.known(|known| self.judged(&report.entries, &standing.ledger, known, Clearings::Repeated));
        self.object(objections);
        self.lives.begin(self.truth.now(), began);
        let configuration = format!("trial {}", self.seed);
        let records = journal.append([(began, &Fact::Opened { configuration })]);
        let records = records.expect("the disk works at the start of a life");
        let (ours, machine) = (ScaledClock::start(began, 1), self.machine.clone());
        let ahead = began.since(machine.now());
        let parts = Parts {
            area: self.area.clone(),
            environment: Environment::new(ours, Compute::Inline),
            link: wire.connect(),
            sources: Vec::new(),
            learnt: learnt(&self.setup.area, &self.setup.archive),
            journal,
            ledger: standing.ledger,
            records,
            owed: Vec::new(),
            history: None,
            weather: None,
            zone: self.plan.zone.to_owned(),
            publish_period: Duration::from_secs(20),
        };
        let system = System::start(parts).await.expect("actors start");
        wire.open(system.door().clone());
        let clock = tokio::spawn(was_set(move || machine.now(), ours, ahead));
        Some(Life { system, disk: disk.clone(), clock, ours, ahead, drifted: None, read: self.truth.now() })
    }

    /// A clock that was set and goes on being off is noticed within seconds, and ends the life.
    fn look_at_the_clock(&mut self, life: &mut Life) {
        let (machine, ours, now) = (self.machine.now().plus(life.ahead), life.ours.now(), self.truth.now());
        if machine.since(ours).max(ours.since(machine)) <= Duration::from_secs(6) {
            life.drifted = None;
        } else if now.since(*life.drifted.get_or_insert(now)) > Duration::from_secs(20) {
            self.object([format!("the machine's clock says {machine}, ours {ours}, and nobody noticed")]);
        }
    }

    /// Reads the journal that is being written; not while something is under way.
    fn look_at_the_journal(&mut self, life: &Life, wire: &Wire) {
        let books = life.system.books();
        let ledger = books.read(|ledger| (ledger.newest_record() == books.durable()).then(|| ledger.clone()));
        let Some(ledger) = ledger else { return };
        let objections = match Journal::verify_on(life.disk.as_ref()) {
            Ok(report) => {
                wire.known(|known| self.judged(&report.entries, &ledger, known, Clearings::Believed))
            }
            Err(error) => vec![format!("the journal that is written cannot be read: {error}")],
        };
        self.object(objections);
    }

    /// What is wrong with a journal and what was read of it.
    fn judged(
        &mut self,
        entries: &[Entry],
        ledger: &Ledger,
        known: &Known,
        clearings: Clearings,
    ) -> Vec<String> {
        let mut wrong = self.watched.look(ledger, known, true);
        wrong.extend(checks::recovered(entries, ledger, known, &self.lives, clearings));
        let (wires, quiet, now) = (self.plan.wires, self.quiet(), self.truth.now());
        wrong.extend(deadlines::judge(entries, &self.lives, wires, quiet, now));
        wrong
    }

    /// By which clock a life begins. While the machine's cannot be right, the process ends at once and is started again.
    async fn believed_clock(&mut self, opened: &Opened) -> Option<Timestamp> {
        loop {
            match origin(&opened.standing, self.machine.now(), Path::new("trial"), false) {
                Ok(origin) => return Some(origin),
                Err(error) if self.truth.now() > self.quiet() => {
                    self.object([format!("it does not start although all is well: {error}")]);
                    return None;
                }
                Err(_) => self.ran.clocks_refused += 1,
            }
            tokio::time::sleep(TRIED_EACH).await;
        }
    }

    /// Lives on until something ends it or the trial is over.
    async fn until(&mut self, life: &mut Life, wire: &Wire, mishaps: &mut Mishaps) -> Ended {
        let start = self.plan.scenario.start;
        loop {
            let at = start.plus(mishaps.peek().map_or(LENGTH, |mishap| mishap.after));
            match self.wait(life, wire, at).await {
                Waited::Reached => {}
                Waited::GaveUp => return self.gave_up(life),
                Waited::ClockSet => return self.clock_set(life),
            }
            let next = mishaps.next().filter(|_| self.ran.objections.is_empty());
            let Some(mishap) = next else { return Ended::Over };
            for _ in 0..mishap.turns {
                yield_now().await;
            }
            if let Some(ended) = self.suffer(life, wire, mishap).await {
                return ended;
            }
        }
    }

    /// Waits for an instant, with a look at the system each minute.
    async fn wait(&mut self, life: &mut Life, wire: &Wire, until: Timestamp) -> Waited {
        let mut escalation = life.system.escalation();
        // In the turns since the last look.
        if escalation.borrow().is_some() {
            return Waited::GaveUp;
        }
        while self.truth.now() < until {
            let minute = self.truth.now().plus(Duration::from_secs(60)).min(until);
            tokio::select! {
                biased;
                changed = escalation.changed() => {
                    if changed.is_ok() {
                        return Waited::GaveUp;
                    }
                }
                _ = &mut life.clock => return Waited::ClockSet,
                () = self.truth.sleep_until(minute) => {}
            }
            let books = life.system.books();
            let durable = books.durable();
            let objections = wire.known(|known| {
                books.read(|ledger| self.watched.look(ledger, known, durable == ledger.newest_record()))
            });
            self.object(objections);
            self.look_at_the_clock(life);
            if self.truth.now().since(life.read) >= READ_EACH {
                life.read = self.truth.now();
                self.look_at_the_journal(life, wire);
            }
            if minute.seconds() % 600 == 0 {
                let picture = life.system.picture().borrow().clone();
                self.trace.note(serde_json::to_string(picture.as_ref()).expect("a picture can be written"));
            }
            if !self.ran.objections.is_empty() {
                return Waited::Reached;
            }
        }
        Waited::Reached
    }

    fn check_the_end(&mut self, system: &System, wire: &Wire, disk: &Arc<TestDisk>) {
        if !self.ran.objections.is_empty() {
            return;
        }
        let quiet = self.quiet();
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
                let objections =
                    wire.known(|known| self.judged(&report.entries, &ledger, known, Clearings::Repeated));
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
