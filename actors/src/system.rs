//! The wiring: one straight line, started from its end.
//!
//! ```text
//! connector → ingress → node → region → DOMS → matcher → aggregator → FOA → egress → connector
//!                          └→ metering → settlement
//! ```
//!
//! Every stage is born holding the address of the next. The loop closes through physics. What travels against
//! the line (an offer to the aggregator, an aggregate to the matcher) carries the address for the answer. Every
//! fact that moves money or devices passes the journal; the observer sees everything and is waited for by nobody.

use crate::area::Area;
use crate::beats::Beats;
use crate::door::OfferDoor;
use crate::egress::Egress;
use crate::figures::{Durations, Elsewhere, Operations};
use crate::forecasts::Forecasts;
use crate::grid_side::region::{Learnt, Made};
use crate::grid_side::{Doms, Ingress, Node, Region, Routes, pump};
use crate::historian::Historian;
use crate::journal::stage::JournalCounters;
use crate::journal::{Books, Fact, Journal, JournalStage, JournalWriter};
use crate::market_side::{Aggregator, Billing, Foa, Matcher, Metering, SettlementStage, foa::Exits};
use crate::observer::{OBSERVER, Observer, Seen, Sources};
use crate::picture::Picture;
use crate::refusals::Refusals;
use crate::runtime::supervisor::SpawnError;
use crate::runtime::{Address, Environment, Escalation, Incidents, Supervisor};
use crate::weather::Weather;
use connectors::{Link, Source};
use grid::{ProsumerId, Timestamp};
use history::History;
use market::Ledger;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What a system is started with.
pub struct Parts {
    /// The market area.
    pub area: Arc<Area>,
    /// Clock and compute policy.
    pub environment: Environment,
    /// The connection to the field.
    pub link: Link,
    /// Connections that only bring measurements.
    pub sources: Vec<Source>,
    /// What the forecast has learnt of the time before.
    pub learnt: Learnt,
    /// An open journal.
    pub journal: Journal,
    /// The journal's facts, folded.
    pub ledger: Ledger,
    /// Records in the journal.
    pub records: u64,
    /// Facts the journal had no room for; they are recorded before all others.
    pub owed: Vec<(Timestamp, Fact)>,
    /// Where telemetry and estimates are kept; nowhere when absent.
    pub history: Option<History>,
    /// Where it is known how warm it is; nowhere when absent.
    pub weather: Option<Weather>,
    /// Time zone of the page (IANA name).
    pub zone: String,
    /// How often the picture is published, by the system's clock.
    pub publish_period: Duration,
}

/// A running system.
pub struct System {
    supervisor: Supervisor,
    picture: watch::Receiver<Arc<Picture>>,
    books: Books,
    operations: Operations,
    door: OfferDoor,
    pumps: Vec<tokio::task::JoinHandle<()>>,
}

impl System {
    /// Starts every stage, the last one first.
    pub async fn start(parts: Parts) -> Result<System, SpawnError> {
        let supervisor = Supervisor::start(parts.environment.clone()).await?;
        let historian = parts.history.map(|history| {
            let area = parts.area.clone();
            let knows = move |point| area.plausibility.knows(point);
            let (historian, tap) =
                Historian::start(history, knows, parts.environment.clone(), supervisor.escalator());
            let inboxes = parts.sources.iter().map(|source| &source.inbox).chain([&parts.link.inbox]);
            inboxes.for_each(|inbox| inbox.tap_into(tap.clone()));
            historian
        });
        let books =
            Books::new(parts.ledger, parts.environment.now()).held_up_by(supervisor.hold_ups().clone());
        let area = parts.area;
        let counters = JournalCounters::starting_at(parts.records);
        let beats = Beats::default();
        let operations = Operations {
            quarantine: supervisor.quarantine().clone(),
            incidents: supervisor.incidents().clone(),
            depths: supervisor.depths().clone(),
            hold_ups: supervisor.hold_ups().clone(),
            journal: counters.clone(),
            books: books.clone(),
            estimates: Durations::default(),
            rounds: Durations::default(),
            historian,
            forecasts: Forecasts::default(),
            refusals: Refusals::default(),
            beats: beats.clone(),
            elsewhere: Elsewhere::default(),
        };
        let (publish, picture) = watch::channel(Arc::new(Picture::default()));
        let sources = Sources {
            books: books.clone(),
            incidents: supervisor.incidents().clone(),
            journal: counters.clone(),
            speed: parts.environment.clock().speed(),
            zone: parts.zone,
            publish_period: parts.publish_period,
            refusals: operations.refusals.clone(),
        };
        let observer = {
            let area = area.clone();
            supervisor
                .spawn(OBSERVER, move || Observer::new(area.clone(), sources.clone(), publish.clone()))
                .await?
        };
        let journal = {
            let (file, books, observer) =
                (Arc::new(Mutex::new(parts.journal)), books.clone(), observer.clone());
            let owed: Vec<_> = parts.owed.into_iter().map(|(at, fact)| (at, Arc::new(fact))).collect();
            let build = move || {
                let (file, books, counters) = (file.clone(), books.clone(), counters.clone());
                JournalStage::new(file, books, counters, observer.clone()).owing(owed.clone())
            };
            JournalWriter(supervisor.spawn_vital("journal", build).await?)
        };
        let (durations, forecasts) = (operations.estimates.clone(), operations.forecasts.clone());
        let made = Made { durations, historian: operations.historian.clone(), forecasts };
        let (rounds, weather) = (operations.rounds.clone(), parts.weather);
        let start = Start {
            supervisor: &supervisor,
            area,
            books: books.clone(),
            journal,
            observer,
            made,
            rounds,
            weather,
            beats,
        };
        let market = start.market_side(&parts.link).await?;
        let ingress = start.grid_side(&market, parts.learnt).await?;
        let (to, observer) = (ingress.clone(), start.observer.clone());
        let mut pumps = vec![tokio::spawn(pump(parts.link.inbox, parts.link.counters, None, to, observer))];
        for Source { name, inbox, counters } in parts.sources {
            let (name, to, observer) = (Some(name.into()), ingress.clone(), start.observer.clone());
            pumps.push(tokio::spawn(pump(inbox, counters, name, to, observer)));
        }
        let door = OfferDoor::new(market.aggregator);
        let (refusing, waiting) = (door.clone(), door.clone());
        operations.elsewhere.add(move || refusing.refused());
        operations.elsewhere.add(move || waiting.waiting());
        for (kind, of_kind) in supervisor.depths().by_kind() {
            tracing::info!(%kind, stages = of_kind.stages, "under the supervisor");
        }
        Ok(System { supervisor, picture, books, operations, door, pumps })
    }

    /// What people look at, newest first out.
    pub fn picture(&self) -> watch::Receiver<Arc<Picture>> {
        self.picture.clone()
    }

    /// The ledger.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Where outsiders hand in offers.
    pub fn door(&self) -> &OfferDoor {
        &self.door
    }

    /// Restarts and quarantined messages so far.
    pub fn incidents(&self) -> &Incidents {
        self.supervisor.incidents()
    }

    /// Figures, and messages that were set aside.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Tells when a stage was given up and the process must end.
    pub fn escalation(&self) -> Escalation {
        self.supervisor.escalation()
    }

    /// Takes nothing more from the connectors; to be called before the other end is told to go.
    pub fn stop_listening(&self) {
        self.pumps.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// Stops all stages. What was acknowledged is durable already.
    pub async fn stop(self) {
        self.stop_listening();
        self.supervisor.stop().await;
    }
}

struct Start<'a> {
    supervisor: &'a Supervisor,
    area: Arc<Area>,
    books: Books,
    journal: JournalWriter,
    observer: Address<Seen>,
    made: Made,
    rounds: Durations,
    weather: Option<Weather>,
    beats: Beats,
}

struct MarketSide {
    metering: Address<crate::market_side::MeteringMsg>,
    matcher: Address<crate::market_side::MatcherMsg>,
    aggregator: Address<crate::market_side::AggregatorMsg>,
    agents: BTreeMap<ProsumerId, Address<crate::market_side::FoaMsg>>,
}

impl Start<'_> {
    async fn market_side(&self, link: &Link) -> Result<MarketSide, SpawnError> {
        let (area, books, journal, observer) =
            (self.area.clone(), self.books.clone(), self.journal.clone(), self.observer.clone());
        let outbound = link.outbound.clone();
        let egress = self.supervisor.spawn("egress", move || Egress::new(outbound.clone())).await?;
        let settlement = {
            let (books, journal) = (books.clone(), journal.clone());
            let build = move || SettlementStage::new(books.clone(), journal.clone());
            self.supervisor.spawn("settlement", build).await?
        };
        {
            let (area, books, journal) = (area.clone(), books.clone(), journal.clone());
            let build = move || Billing::new(area.clone(), books.clone(), journal.clone());
            self.supervisor.spawn("billing", build).await?;
        }
        let metering = {
            let (books, journal, observer) = (books.clone(), journal.clone(), observer.clone());
            let build =
                move || Metering::new(books.clone(), journal.clone(), settlement.clone(), observer.clone());
            self.supervisor.spawn("metering", build).await?
        };
        let matcher = {
            let (area, books, journal, observer) =
                (area.clone(), books.clone(), journal.clone(), observer.clone());
            let rounds = self.rounds.clone();
            let build =
                move || Matcher::new(area.clone(), &books, journal.clone(), observer.clone(), rounds.clone());
            self.supervisor.spawn("matcher", build).await?
        };
        let aggregator = {
            let (area, books, journal, matcher, observer) =
                (area.clone(), books.clone(), journal.clone(), matcher.clone(), observer.clone());
            let beats = self.beats.clone();
            let build = move || {
                Aggregator::new(
                    area.clone(),
                    books.clone(),
                    journal.clone(),
                    matcher.clone(),
                    observer.clone(),
                )
                .hearing(beats.clone())
            };
            self.supervisor.spawn("aggregator", build).await?
        };
        let historian = self.made.historian.clone();
        let weather = self.weather.clone();
        let exits = Exits { journal, aggregator: aggregator.clone(), egress, observer, historian, weather };
        let mut agents = BTreeMap::new();
        for device in area.devices.values() {
            let prosumer = device.prosumer;
            if agents.contains_key(&prosumer) {
                continue;
            }
            let (area, books, exits) = (area.clone(), books.clone(), exits.clone());
            let build = move || Foa::new(prosumer, area.clone(), books.clone(), exits.clone());
            agents.insert(prosumer, self.supervisor.spawn(format!("foa {prosumer}"), build).await?);
        }
        Ok(MarketSide { metering, matcher, aggregator, agents })
    }

    async fn grid_side(
        &self,
        market: &MarketSide,
        learnt: Learnt,
    ) -> Result<Address<crate::grid_side::IngressMsg>, SpawnError> {
        let (area, books, observer) = (self.area.clone(), self.books.clone(), self.observer.clone());
        let doms = {
            let (area, books, journal) = (area.clone(), books.clone(), self.journal.clone());
            let (matcher, observer) = (market.matcher.clone(), observer.clone());
            let build = move || {
                Doms::new(area.clone(), books.clone(), journal.clone(), matcher.clone(), observer.clone())
            };
            self.supervisor.spawn("doms", build).await?
        };
        let region = {
            let (area, observer, made) = (area.clone(), observer.clone(), self.made.clone());
            let build = move || {
                let (area, books, doms) = (area.clone(), books.clone(), doms.clone());
                Region::new(area, learnt.clone(), books, doms, observer.clone(), made.clone())
            };
            self.supervisor.spawn("region", build).await?
        };
        let plausibility = Arc::new(area.plausibility.clone());
        let mut nodes = BTreeMap::new();
        for bus in area.feeder.network().buses() {
            let (rules, region, metering, observer) =
                (plausibility.clone(), region.clone(), market.metering.clone(), observer.clone());
            let (historian, listed) = (self.made.historian.clone(), area.ranks.listed.clone());
            let build = move || {
                let (listed, metering, observer) = (listed.clone(), metering.clone(), observer.clone());
                Node::new(rules.clone(), listed, region.clone(), metering, observer, historian.clone())
            };
            nodes.insert(bus.id, self.supervisor.spawn(format!("node {}", bus.id), build).await?);
        }
        let routes = Routes { nodes, agents: market.agents.clone(), observer };
        self.supervisor.spawn("ingress", move || Ingress::new(area.clone(), routes.clone())).await
    }
}
