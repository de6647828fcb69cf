//! Why offers were not bought in their last round, for whoever asks from outside.

use crate::picture::RefusedRow;
use grid::Timestamp;
use market::AggregateId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many are kept; of more, those of the oldest rounds go.
const KEPT_MAX: usize = 20_000;

/// The last refusal of every aggregate since the start. Clones speak of the same.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<AggregateId, (Timestamp, RefusedRow)>>>);

impl Refusals {
    /// When an aggregate was looked at last without being bought, and why it was not.
    pub fn last(&self, aggregate: &AggregateId) -> Option<(Timestamp, RefusedRow)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(aggregate).cloned()
    }

    /// Keeps those of a round; what it bought is refused no longer.
    pub fn keep<'a>(
        &self,
        at: Timestamp,
        bought: impl IntoIterator<Item = &'a AggregateId>,
        refused: impl IntoIterator<Item = RefusedRow>,
    ) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for aggregate in bought {
            kept.remove(aggregate);
        }
        kept.extend(refused.into_iter().map(|row| (row.aggregate.clone(), (at, row))));
        if kept.len() > KEPT_MAX {
            let mut times: Vec<Timestamp> = kept.values().map(|(at, _)| *at).collect();
            times.sort_unstable();
            // Everything of the round in which the limit falls goes with those before it, unless it is this one.
            let oldest = times.get(times.len() - KEPT_MAX).copied().unwrap_or(at);
            kept.retain(|_, (of, _)| *of > oldest || *of == at);
            while kept.len() > KEPT_MAX {
                kept.pop_last();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize) -> RefusedRow {
        RefusedRow {
            aggregate: AggregateId::new(format!("aggregate-{number:06}")).unwrap(),
            code: "too-dear",
            asked_eur: Some(0.2),
            winning_eur: Some(0.1),
            element: None,
            slot_start: None,
        }
    }

    #[test]
    fn the_last_round_counts_and_what_was_bought_is_refused_no_longer() {
        let (refusals, at) = (Refusals::default(), Timestamp::from_seconds);
        refusals.keep(at(1), [], [row(1), row(2)]);
        refusals.keep(at(2), [&row(2).aggregate], [RefusedRow { code: "outbid", ..row(1) }]);
        let (when, last) = refusals.last(&row(1).aggregate).unwrap();
        assert_eq!((when, last.code), (at(2), "outbid"));
        assert_eq!(refusals.last(&row(2).aggregate), None);
    }

    #[test]
    fn a_bounded_number_is_kept_and_the_newest_round_is_among_them() {
        let (refusals, at) = (Refusals::default(), Timestamp::from_seconds);
        for round in 0..5 {
            refusals.keep(at(round), [], (0..9_000).map(|number| row(9_000 * round as usize + number)));
            let kept = refusals.0.lock().unwrap();
            assert!(kept.len() <= KEPT_MAX, "{}", kept.len());
            assert_eq!(kept.values().filter(|(of, _)| *of == at(round)).count(), 9_000);
        }
        refusals.keep(at(9), [], (0..KEPT_MAX + 7).map(row));
        assert_eq!(refusals.0.lock().unwrap().len(), KEPT_MAX);
    }
}
