//! Figures about the running system for whoever watches it from outside: families of numbers with labels, in no
//! particular notation.

use crate::beats::Beats;
use crate::forecasts::Forecasts;
use crate::historian::Historian;
use crate::journal::Books;
use crate::journal::stage::JournalCounters;
use crate::observer::{NO_ROOM, NO_ROOM_REPORT, OVERTAKEN_REPORT};
use crate::picture::Picture;
use crate::refusals::Refusals;
use crate::runtime::cause::exports;
use crate::runtime::{Depths, HoldUps, Incidents, Quarantine};
use estimation::Rule;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of a histogram's buckets, s.
pub const BUCKETS_S: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How often something took how long. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Durations(Arc<Mutex<Counted>>);

/// What a [`Durations`] has counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counted {
    /// Up to each bound of [`BUCKETS_S`], those below included.
    pub up_to: [u64; BUCKETS_S.len()],
    /// All.
    pub count: u64,
    /// Together, s.
    pub sum_s: f64,
}

impl Durations {
    /// Counts one.
    pub fn count(&self, took: Duration) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let took = took.as_secs_f64();
        for (bound, count) in BUCKETS_S.iter().zip(&mut counted.up_to) {
            *count += u64::from(took <= *bound);
        }
        counted.count += 1;
        counted.sum_s += took;
    }

    /// So far.
    pub fn counted(&self) -> Counted {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that several threads count.
#[derive(Debug, Clone, Default)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// One more.
    pub fn more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Another number.
    pub fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// Now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a family's numbers are.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Counters since the process began, by label.
    Totals(Vec<(Labels, u64)>),
    /// What is now, by label.
    Now(Vec<(Labels, f64)>),
    /// Durations, s.
    Durations(Counted),
}

/// Name and value of each label.
pub type Labels = Vec<(&'static str, String)>;

/// Numbers of one name: `<area>_<noun>_<unit>[_total]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// The numbers.
    pub values: Values,
}

/// What operators see and do besides the picture: figures, and what is in quarantine.
#[derive(Debug, Clone, Default)]
pub struct Operations {
    /// Messages that were set aside.
    pub quarantine: Quarantine,
    /// Restarts.
    pub incidents: Incidents,
    /// What waits in the mailboxes.
    pub depths: Depths,
    /// Stages that waited to be made anew.
    pub hold_ups: HoldUps,
    /// The journal's counters.
    pub journal: JournalCounters,
    /// The ledger.
    pub books: Books,
    /// How long the estimator took.
    pub estimates: Durations,
    /// How long rounds of the market took, from the need and the offers to what is bought.
    pub rounds: Durations,
    /// Who keeps telemetry and estimates, where a history is kept.
    pub historian: Option<Historian>,
    /// What is expected.
    pub forecasts: Forecasts,
    /// Why offers were not bought.
    pub refusals: Refusals,
    /// Which parties are heard of.
    pub beats: Beats,
    /// What parts outside the actors count.
    pub elsewhere: Elsewhere,
}

/// Families that parts outside the actors count, asked anew each time. Clones speak of the same.
#[derive(Clone, Default)]
pub struct Elsewhere(Arc<Mutex<Vec<Counting>>>);

type Counting = Box<dyn Fn() -> Family + Send>;

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elsewhere")
    }
}

impl Elsewhere {
    /// One more family.
    pub fn add(&self, family: impl Fn() -> Family + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(family));
    }

    fn families(&self) -> Vec<Family> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|family| family()).collect()
    }
}

/// Who does not trade because it is silent.
fn suspended(beats: &Beats) -> [Family; 2] {
    let (suspensions, resumptions) = beats.changes();
    [
        Family {
            name: "market_suspended_parties",
            help: "Parties whose offers are suspended because their heartbeats do not come.",
            values: now(beats.suspended().len() as f64),
        },
        Family {
            name: "market_suspensions_total",
            help: "Times that parties were suspended, and traded again.",
            values: Values::Totals(by("change", [("suspended", suspensions), ("resumed", resumptions)])),
        },
    ]
}

/// Figures of the history.
fn kept(historian: &Historian) -> Vec<Family> {
    let family = |name, help, values| Family { name, help, values };
    let figures = historian.figures();
    let by_kind = |of: fn(&history::Figures) -> u64| {
        let each = figures
            .iter()
            .map(|(kind, figures)| (vec![("kind", kind.word().to_owned())], of(figures) as f64));
        Values::Now(each.collect())
    };
    vec![
        family("history_kept_values_total", "Values appended to the history.", plain(historian.kept.get())),
        family(
            "history_lost_values_total",
            "Values that could not be kept and do not come again, by why.",
            Values::Totals(by("reason", historian.lost.by_reason())),
        ),
        family(
            "history_postponed_values_total",
            "Values that could not be kept and whose senders send them again, by why.",
            Values::Totals(by("reason", historian.postponed.by_reason())),
        ),
        family(
            "history_unfit_values_total",
            "Values that are no finite number, not kept.",
            plain(historian.unfit.get()),
        ),
        family(
            "history_torn_bytes",
            "Bytes of torn, never acknowledged groups that were cut off at the start.",
            now(historian.torn_bytes.get() as f64),
        ),
        family(
            "history_unknown_values_total",
            "Values of points that the network does not have, not kept.",
            plain(historian.unknown.get()),
        ),
        family(
            "history_failed_sealings_total",
            "Times that values could not be sealed; each time is tried again.",
            plain(historian.unsealable.get()),
        ),
        family(
            "history_failed",
            "1 when the history cannot be written and the system starts again.",
            now(historian.failed.get() as f64),
        ),
        family(
            "history_sync_seconds",
            "Time to write and sync a group of values.",
            Values::Durations(historian.syncs.counted()),
        ),
        family(
            "history_removed_values_total",
            "Values that went because they were kept long enough, by kind.",
            Values::Totals(by("kind", historian.removals.values().map(|(kind, count)| (kind.word(), count)))),
        ),
        family(
            "history_failed_removals_total",
            "Times that values kept long enough could not be removed; each time is tried again.",
            plain(historian.removals.failed.get()),
        ),
        family("history_unsealed_values", "Values in the log, by kind.", by_kind(|figures| figures.unsealed)),
        family(
            "history_sealed_values",
            "Values in sealed files, by kind.",
            by_kind(|figures| figures.sealed),
        ),
        family("history_sealed_bytes", "Bytes of sealed files, by kind.", by_kind(|figures| figures.bytes)),
    ]
}

fn spans() -> Values {
    let exports = exports();
    let outcomes = [("made", &exports.made), ("sent", &exports.sent), ("failed", &exports.failed)];
    Values::Totals(by("outcome", outcomes.map(|(outcome, count)| (outcome, count.get()))))
}

fn plain(value: u64) -> Values {
    Values::Totals(vec![(Vec::new(), value)])
}

fn now(value: f64) -> Values {
    Values::Now(vec![(Vec::new(), value)])
}

fn by<'a>(label: &'static str, counts: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<(Labels, u64)> {
    counts.into_iter().map(|(value, count)| (vec![(label, value.to_owned())], count)).collect()
}

impl Operations {
    /// All figures; those that the picture has are taken from it.
    pub fn families(&self, picture: &Picture) -> Vec<Family> {
        let family = |name, help, values| Family { name, help, values };
        let mut families = self.outside(picture);
        families.extend(self.stages());
        families.extend(self.recorded());
        families.extend(suspended(&self.beats));
        families.extend(self.elsewhere.families());
        families.extend(self.historian.as_ref().map(kept).into_iter().flatten());
        let offers = picture.health.offers_open as f64;
        families.extend([
            family(
                "estimate_solve_seconds",
                "Time to estimate the state once.",
                Values::Durations(self.estimates.counted()),
            ),
            family(
                "market_round_seconds",
                "Time of one round of the market, from the need and the offers to what is bought.",
                Values::Durations(self.rounds.counted()),
            ),
            family("market_open_offers", "FlexOffers that may still be assigned.", now(offers)),
            family(
                "trace_spans_total",
                "Spans made for a trace collector, taken by it, and lost on the way.",
                spans(),
            ),
        ]);
        families
    }

    fn outside(&self, picture: &Picture) -> Vec<Family> {
        let health = &picture.health;
        let rejected = health.rejections.iter().map(|row| (row.code.as_str(), row.count));
        let skips = |code| health.skips.iter().find(|row| row.code == code).map_or(0, |row| row.count);
        let left =
            Rule::ALL.into_iter().filter(|rule| !rule.doubts()).map(|rule| (rule.name(), skips(rule.name())));
        let left = left.chain([(NO_ROOM, skips(NO_ROOM))]);
        let reports = [("overtaken", skips(OVERTAKEN_REPORT)), (NO_ROOM, skips(NO_ROOM_REPORT))];
        let link = u8::from(health.link == crate::picture::Link::Up);
        vec![
            Family {
                name: "field_link_up",
                help: "1 while the connection to the field is up.",
                values: now(f64::from(link)),
            },
            Family {
                name: "field_received_messages_total",
                help: "Messages received from the field.",
                values: plain(health.received),
            },
            Family {
                name: "outside_rejected_messages_total",
                help: "What came from outside and was refused, by the code of the rule.",
                values: Values::Totals(by("reason", rejected)),
            },
            Family {
                name: "estimate_alarms_total",
                help: "Estimates that did not fit their measurements, by the test that said so.",
                values: Values::Totals(by(
                    "reason",
                    [
                        ("chi-square", health.estimator.alarms.chi_square),
                        ("largest-residual", health.estimator.alarms.largest_residual),
                        ("expectation", health.estimator.alarms.expectation),
                    ]
                    .into_iter(),
                )),
            },
            Family {
                name: "telemetry_skipped_values_total",
                help: "Values that were not used although nothing is wrong with them, by the rule.",
                values: Values::Totals(by("reason", left)),
            },
            Family {
                name: "device_skipped_reports_total",
                help: "Reports of devices that gave way to others before they were looked at, by why.",
                values: Values::Totals(by("reason", reports)),
            },
        ]
    }

    fn stages(&self) -> Vec<Family> {
        let (record, counts) = (self.incidents.snapshot(), self.quarantine.counts());
        let restarts = record.restarts_by_kind.iter().map(|(kind, count)| (kind.as_str(), *count));
        let depths = self.depths.by_kind();
        let queue = |value: fn(&crate::runtime::depths::OfKind) -> u64| {
            let labelled = |(kind, of): (&String, &_)| (vec![("stage", kind.clone())], value(of) as f64);
            Values::Now(depths.iter().map(labelled).collect())
        };
        let outcomes = [("tried", counts.total.saturating_sub(counts.unseen)), ("unseen", counts.unseen)];
        let ended = [
            ("released", counts.released),
            ("discarded", counts.discarded),
            ("quarantine_full", counts.dropped),
        ];
        vec![
            Family {
                name: "stage_restarts_total",
                help: "Stages started anew after a panic.",
                values: Values::Totals(by("stage", restarts)),
            },
            Family {
                name: "stage_escalations_total",
                help: "Stages given up; the process ends.",
                values: plain(record.escalations),
            },
            Family {
                name: "stage_waiting_messages",
                help: "Messages in the mailboxes of the stages of a kind.",
                values: queue(|of| of.waiting),
            },
            Family {
                name: "stage_fullest_mailbox_messages",
                help: "Messages in the fullest mailbox of a kind of stage.",
                values: queue(|of| of.fullest),
            },
            Family {
                name: "quarantine_messages",
                help: "Messages set aside and kept.",
                values: now(counts.kept as f64),
            },
            Family {
                name: "quarantine_messages_total",
                help: "Messages set aside, after they were tried or unseen because their like had failed.",
                values: Values::Totals(by("reason", outcomes)),
            },
            Family {
                name: "quarantine_left_messages_total",
                help: "Messages that left the quarantine or found it full.",
                values: Values::Totals(by("reason", ended)),
            },
        ]
    }

    fn recorded(&self) -> Vec<Family> {
        let (durable, refused) = self.journal.durable_and_refused();
        let snapshots =
            [("made", self.journal.snapshots.get()), ("failed", self.journal.snapshots_failed.get())];
        let read_only = f64::from(u8::from(self.books.read_only().is_some()));
        vec![
            Family {
                name: "journal_records_total",
                help: "Durable records, those of earlier runs included.",
                values: plain(durable),
            },
            Family {
                name: "journal_refused_facts_total",
                help: "Facts that were not recorded.",
                values: Values::Totals(by(
                    "reason",
                    [
                        ("contradiction", refused),
                        ("journal_full", self.journal.full.get()),
                        ("stale_need", self.journal.stale.get()),
                        ("too_large", self.journal.too_large.get()),
                    ],
                )),
            },
            Family {
                name: "journal_waiting_facts",
                help: "Facts taken in and not durable yet.",
                values: now(self.journal.waiting.get() as f64),
            },
            Family {
                name: "journal_read_only",
                help: "1 while nothing can be recorded because the disk is full.",
                values: now(read_only),
            },
            Family {
                name: "journal_sync_seconds",
                help: "Time to write and sync one group of records.",
                values: Values::Durations(self.journal.syncs.counted()),
            },
            Family {
                name: "journal_snapshots_total",
                help: "Snapshots.",
                values: Values::Totals(by("result", snapshots)),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_every_bucket_they_fit_in() {
        let durations = Durations::default();
        for ms in [1, 20, 9_000] {
            durations.count(Duration::from_millis(ms));
        }
        let counted = durations.counted();
        assert_eq!((counted.count, counted.up_to[0], counted.up_to[1], counted.up_to[11]), (3, 0, 1, 2));
        assert!((counted.sum_s - 9.021).abs() < 1e-9);
    }

    #[test]
    fn every_family_has_a_name_of_its_own_and_counters_end_in_total() {
        let families = Operations::default().families(&Picture::default());
        let names: std::collections::BTreeSet<_> = families.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), families.len());
        for family in &families {
            let counts = matches!(family.values, Values::Totals(_));
            assert_eq!(family.name.ends_with("_total"), counts, "{}", family.name);
        }
    }
}
