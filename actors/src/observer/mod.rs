//! The observer: sees what happens in every stage and keeps the picture that people look at.
//!
//! It decides nothing and nobody waits for it.

mod grid_facts;
mod market_facts;

use crate::area::Area;
use crate::grid_side::Origin;
use crate::grid_side::doms::Ahead;
use crate::journal::{Books, stage::JournalCounters};
use crate::picture::{
    FEED_ENTRIES_MAX, FeedEntry, FeedKind, Link, Picture, RejectionCount, TransformerPicture,
};
use crate::refusals::Refusals;
use crate::runtime::{Context, Incidents, Stage};
use connectors::LinkState;
use connectors::exchange::Skips;
use estimation::{Implausible, Rule};
use grid::{BusId, Estimate, Measurement, PerPhase, PointId, Tested, Timestamp, Untestable};
use market::{Clearing, MarketEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The name of this stage.
pub const OBSERVER: &str = "observer";
/// The code of reports of devices that gave way to newer ones.
pub const OVERTAKEN_REPORT: &str = "overtaken-report";
/// The code of the newest values of points that gave way because values of more points waited than there is room for.
pub const NO_ROOM: &str = "no-room";
/// The same of reports of devices.
pub const NO_ROOM_REPORT: &str = "no-room-report";

/// Rejected values are fed to the list at most this often per code; the counters count every one.
const REJECTION_QUIET: Duration = Duration::from_secs(60);

/// Everything the observer can see.
#[derive(Debug, Clone)]
pub enum Seen {
    /// The connection to the field came up or broke.
    LinkChanged(bool),
    /// A connector beside the field connection reached the other side or lost it.
    SourceChanged {
        /// What people call it.
        name: Arc<str>,
        /// What it is now.
        state: LinkState,
    },
    /// Plausible values.
    Telemetry(Arc<Vec<Measurement>>),
    /// Something from outside was refused, by the rule with this code.
    Rejected {
        /// Stable code of the rule.
        code: &'static str,
        /// The facts, in words.
        reason: String,
    },
    /// Values that were not used, each with the rule that says so.
    Unused(Arc<Vec<Implausible>>),
    /// Points are taken from another source than before.
    SourceSwitched {
        /// Until now.
        from: Origin,
        /// From now on.
        to: Origin,
    },
    /// The door's own counters.
    DoorCounted {
        /// Whose counters, when they are not those of the field connection.
        source: Option<Arc<str>>,
        /// Messages received so far.
        received: u64,
        /// Values that gave way to others in a full queue.
        skipped: Skips,
        /// Reports of devices that gave way to others.
        skipped_reports: Skips,
        /// Messages refused so far by code.
        rejected: Vec<(&'static str, u64)>,
    },
    /// An estimate, or why there is none.
    Estimated(Result<Arc<Estimate>, String>),
    /// Voltage magnitudes, V by phase, of buses where new values have moved the last estimate.
    VoltagesMoved(Arc<Vec<(BusId, PerPhase<f64>)>>),
    /// The day ahead.
    LookedAhead(Arc<Ahead>),
    /// A clearing round with something in the book.
    Cleared(Arc<Clearing>),
    /// A market fact is durable.
    Recorded(Arc<MarketEvent>),
    /// Time to publish.
    PublishDue,
}

/// The state of the observer.
pub struct Observer {
    area: Arc<Area>,
    books: Books,
    incidents: Incidents,
    journal: JournalCounters,
    speed: u32,
    zone: String,
    publish_period: Duration,
    refusals: Refusals,
    picture: Picture,
    points: BTreeMap<PointId, Measurement>,
    /// What the newest estimate says of each measured point: the value, and what that says of the measurement.
    residuals: BTreeMap<PointId, (f64, Result<Tested, Untestable>)>,
    refused: BTreeMap<&'static str, u64>,
    /// What each connector has counted; the field connection has no name.
    counted: BTreeMap<Option<Arc<str>>, Counted>,
    quiet_until: BTreeMap<&'static str, Timestamp>,
    incidents_seen: u64,
    /// The newest value of each point, when a rule stopped it.
    doubted: BTreeMap<PointId, Implausible>,
    /// Values that were not used although nothing is wrong with them, by rule.
    left: BTreeMap<&'static str, u64>,
    switches_quiet_until: Option<Timestamp>,
    untold: market_facts::Untold,
    publish: watch::Sender<Arc<Picture>>,
}

/// The newest counters of one connector.
#[derive(Debug, Default)]
struct Counted {
    received: u64,
    skipped: Skips,
    skipped_reports: Skips,
    refused: Vec<(&'static str, u64)>,
}

/// What the observer needs besides the area.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The ledger.
    pub books: Books,
    /// Restarts and quarantined messages.
    pub incidents: Incidents,
    /// The journal's counters.
    pub journal: JournalCounters,
    /// Speed of the clock.
    pub speed: u32,
    /// Time zone of the page (IANA name).
    pub zone: String,
    /// How often the picture is published, by the system's clock.
    pub publish_period: Duration,
    /// Where it says why offers were not bought.
    pub refusals: Refusals,
}

impl Observer {
    /// An observer that has seen nothing.
    pub fn new(area: Arc<Area>, sources: Sources, publish: watch::Sender<Arc<Picture>>) -> Self {
        // A restarted observer goes on from what it last showed, so that counters, feed and history stay whole.
        let last = publish.borrow().clone();
        let mut picture = Picture::clone(&last);
        let rated = area.feeder.network().transformers().first();
        let empty = rated.map(|transformer| TransformerPicture {
            branch: transformer.id,
            rated_kva: transformer.s_rated_va / 1e3,
            loading: None,
            loading_std: None,
            estimated_kva: None,
            measured_kva: None,
            measured_at: None,
            history: Vec::new(),
            outlook: Vec::new(),
        });
        picture.transformer = picture.transformer.or(empty);
        Self {
            area,
            books: sources.books,
            incidents: sources.incidents,
            journal: sources.journal,
            speed: sources.speed,
            zone: sources.zone,
            publish_period: sources.publish_period,
            refusals: sources.refusals,
            picture,
            points: BTreeMap::new(),
            residuals: BTreeMap::new(),
            refused: BTreeMap::new(),
            counted: BTreeMap::new(),
            quiet_until: BTreeMap::new(),
            incidents_seen: 0,
            doubted: BTreeMap::new(),
            left: BTreeMap::new(),
            switches_quiet_until: None,
            untold: market_facts::Untold::default(),
            publish,
        }
    }

    fn feed(&mut self, at: Timestamp, kind: FeedKind, text: String) {
        let seq = self.picture.feed.last().map_or(0, |entry| entry.seq) + 1;
        self.picture.feed.push(FeedEntry { seq, at, kind, text });
        if self.picture.feed.len() > FEED_ENTRIES_MAX {
            self.picture.feed.remove(0);
        }
    }

    fn on_rejected(&mut self, code: &'static str, reason: String, now: Timestamp) {
        *self.refused.entry(code).or_default() += 1;
        if self.quiet_until.get(code).is_none_or(|until| *until <= now) {
            self.quiet_until.insert(code, now.plus(REJECTION_QUIET));
            self.feed(now, FeedKind::Rejected, reason);
        }
    }

    fn on_link(&mut self, up: bool, now: Timestamp) {
        self.picture.health.link = if up { Link::Up } else { Link::Down };
        let text = if up { "field connection up" } else { "field connection lost, trying again" };
        self.feed(now, FeedKind::Link, text.to_owned());
    }

    fn on_source(&mut self, name: &str, state: &LinkState, now: Timestamp) {
        let text = match state {
            LinkState::Up => format!("{name} connected"),
            LinkState::Down { reason } => format!("{name} lost, trying again: {reason}"),
        };
        self.feed(now, FeedKind::Link, text);
    }

    fn on_unused(&mut self, values: &[Implausible], now: Timestamp) {
        for value in values {
            let (rule, point) = (value.rule, value.measurement.point);
            if !rule.doubts() {
                *self.left.entry(rule.name()).or_default() += 1;
                continue;
            }
            if !matches!(rule, Rule::KnownPoint) {
                self.doubted.insert(point, *value);
            }
            self.on_rejected(rule.name(), value.to_string(), now);
        }
    }

    /// Points go over to another source together, so one of them speaks for all.
    fn on_switched(&mut self, from: &Origin, to: &Origin, now: Timestamp) {
        tracing::info!(from = from.words(), to = to.words(), "points are taken from another source");
        if self.switches_quiet_until.is_none_or(|until| until <= now) {
            self.switches_quiet_until = Some(now.plus(REJECTION_QUIET));
            let text = format!("points of {} are taken from {} now", from.words(), to.words());
            self.feed(now, FeedKind::Link, text);
        }
    }

    fn on_publish(&mut self, cx: &mut Context<Seen>) {
        cx.wake_at(cx.now().plus(self.publish_period), Seen::PublishDue);
        let record = self.incidents.snapshot();
        // The record counts all incidents and keeps the newest in words.
        let total = record.restarts + record.quarantined + record.escalations;
        let news =
            usize::try_from(total - self.incidents_seen).unwrap_or(usize::MAX).min(record.newest.len());
        for text in record.newest.iter().skip(record.newest.len() - news) {
            self.feed(cx.now(), FeedKind::Restart, text.clone());
        }
        self.incidents_seen = total;
        self.tell_untold(cx.now());
        let picture = &mut self.picture;
        picture.seq += 1;
        picture.clock.now = cx.now();
        picture.clock.speed = f64::from(self.speed);
        picture.clock.zone.clone_from(&self.zone);
        picture.health.restarts = record.restarts;
        picture.health.quarantined = record.quarantined + record.unseen;
        let (durable, refused_facts) = self.journal.durable_and_refused();
        picture.health.journal_records = durable;
        let mut by_code = self.refused.clone();
        for (code, count) in self.counted.values().flat_map(|counted| &counted.refused) {
            *by_code.entry(code).or_default() += count;
        }
        if refused_facts > 0 {
            by_code.insert("fact_refused", refused_facts);
        }
        picture.health.received = self.counted.values().map(|counted| counted.received).sum();
        let mut left = self.left.clone();
        for counted in self.counted.values() {
            let (values, reports) = (counted.skipped, counted.skipped_reports);
            *left.entry(Rule::Overtaken.name()).or_default() += values.overtaken;
            *left.entry(NO_ROOM).or_default() += values.no_room;
            *left.entry(OVERTAKEN_REPORT).or_default() += reports.overtaken;
            *left.entry(NO_ROOM_REPORT).or_default() += reports.no_room;
        }
        picture.health.skipped = left.values().sum();
        picture.health.skips = counts(left);
        picture.health.rejected = by_code.values().sum();
        picture.health.rejections = counts(by_code);
        self.fill_points();
        self.fill_totals();
        self.publish.send_replace(Arc::new(self.picture.clone()));
    }
}

/// Counts by code, ordered by it, without those that are nothing.
fn counts(by_code: BTreeMap<&'static str, u64>) -> Vec<RejectionCount> {
    let met = by_code.into_iter().filter(|(_, count)| *count > 0);
    met.map(|(code, count)| RejectionCount { code: code.to_owned(), count }).collect()
}

impl Stage for Observer {
    type Msg = Seen;

    fn kin(msg: &Seen) -> Option<String> {
        match msg {
            Seen::Telemetry(values) => values.first().map(|value| value.point.to_string()),
            Seen::Rejected { code, .. } => Some(format!("rejected by {code}")),
            Seen::Unused(values) => values.first().map(|one| one.measurement.point.to_string()),
            _ => None,
        }
    }

    fn started(&mut self, cx: &mut Context<Seen>) {
        let myself = cx.myself().clone();
        cx.send(&myself, Seen::PublishDue);
    }

    fn handle(&mut self, msg: Seen, cx: &mut Context<Seen>) {
        match msg {
            Seen::LinkChanged(up) => self.on_link(up, cx.now()),
            Seen::Telemetry(values) => self.on_telemetry(&values),
            Seen::Rejected { code, reason } => self.on_rejected(code, reason, cx.now()),
            Seen::Unused(values) => self.on_unused(&values, cx.now()),
            Seen::SourceSwitched { from, to } => self.on_switched(&from, &to, cx.now()),
            Seen::SourceChanged { name, state } => self.on_source(&name, &state, cx.now()),
            Seen::DoorCounted { source, received, skipped, skipped_reports, rejected } => {
                let refused = rejected;
                self.counted.insert(source, Counted { received, skipped, skipped_reports, refused });
            }
            Seen::Estimated(Ok(estimate)) => self.on_estimate(&estimate, cx.now()),
            Seen::Estimated(Err(reason)) => self.on_no_estimate(reason),
            Seen::VoltagesMoved(voltages) => self.on_voltages_moved(&voltages),
            Seen::LookedAhead(ahead) => self.on_outlook(&ahead),
            Seen::Cleared(clearing) => self.on_cleared(&clearing, cx.now()),
            Seen::Recorded(event) => self.on_recorded(&event),
            Seen::PublishDue => self.on_publish(cx),
        }
    }
}
