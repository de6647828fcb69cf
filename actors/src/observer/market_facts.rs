//! What the observer makes of durable market facts: the list of what happened, in words, and the totals.

use super::Observer;
use crate::picture::{ClearingPicture, FeedKind, NeedRow, REFUSED_ROWS_MAX, RefusedRow, Totals};
use grid::{EnergyMwh, Money, Slot, Timestamp};
use market::{Account, Activation, Clearing, CongestionPoint, Contract, MarketEvent, Need, Refused};
use std::time::Duration;

/// Offers and settlements come in floods; the feed tells them once in this time.
const SUMMED_UP_EVERY: Duration = Duration::from_secs(60);

/// Facts that are told together.
#[derive(Debug, Default)]
pub(super) struct Untold {
    since: Option<Timestamp>,
    offers: u64,
    settled: u64,
    ordered: EnergyMwh,
    delivered: EnergyMwh,
    paid: Money,
}

impl Untold {
    /// Counted from the first fact that waits.
    fn begin(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
    }
}

impl Observer {
    pub(super) fn on_recorded(&mut self, event: &MarketEvent) {
        let (kind, at, text) = match event {
            MarketEvent::NeedPlaced { need, at } => {
                self.picture.needs = need_rows(need, self);
                let text = self.need_words(need);
                // The same need is placed again and again until its slots are near; only a change is news.
                let told = self.picture.feed.iter().rev().find(|entry| entry.kind == FeedKind::Need);
                if told.is_some_and(|entry| entry.text == text) {
                    return;
                }
                (FeedKind::Need, *at, text)
            }
            MarketEvent::OfferAccepted { at, .. } => {
                self.untold.begin(*at);
                self.untold.offers += 1;
                return;
            }
            MarketEvent::ContractFormed { contract } => {
                (FeedKind::Contract, contract.formed_at, contract_words(contract))
            }
            MarketEvent::ActivationIssued { activation, at } => {
                (FeedKind::Activation, *at, activation_words(activation))
            }
            MarketEvent::ActivationAnswered { status, at } if !status.accepted => {
                let reason = status.reason.as_deref().unwrap_or("no reason given");
                let text = format!("device {} refused {}: {reason}", status.device, status.activation);
                (FeedKind::Activation, *at, text)
            }
            MarketEvent::Settled { settlement, at } => {
                let untold = &mut self.untold;
                untold.begin(*at);
                untold.settled += 1;
                untold.ordered += EnergyMwh(settlement.ordered.0.min(0));
                untold.delivered += EnergyMwh(settlement.delivered.0.min(0));
                let dso = settlement.postings.iter().filter(|posting| posting.account == Account::Dso);
                untold.paid -= dso.map(|posting| posting.amount).sum::<Money>();
                return;
            }
            _ => return,
        };
        self.feed(at, kind, text);
    }

    /// Tells what waited for its minute to be over.
    pub(super) fn tell_untold(&mut self, now: Timestamp) {
        if self.untold.since.is_none_or(|since| now < since.plus(SUMMED_UP_EVERY)) {
            return;
        }
        let untold = std::mem::take(&mut self.untold);
        if untold.offers > 0 {
            self.feed(now, FeedKind::Offer, counted(untold.offers, "offer accepted", "offers accepted"));
        }
        if untold.settled > 0 {
            let text = format!(
                "{}: {:.2} of {:.2} kWh delivered, {:.2} EUR paid",
                counted(untold.settled, "quarter-hour settled", "quarter-hours settled"),
                // Both are decreases, so negative; what was not ordered and not delivered is no "-0.00".
                0.0 - untold.delivered.kilowatt_hours(),
                0.0 - untold.ordered.kilowatt_hours(),
                untold.paid.units() + 0.0,
            );
            self.feed(now, FeedKind::Settlement, text);
        }
    }

    pub(super) fn on_cleared(&mut self, clearing: &Clearing, now: Timestamp) {
        let refused: Vec<RefusedRow> = clearing.refused.iter().map(|one| self.refused_row(one)).collect();
        self.picture.clearing = Some(clearing_picture(clearing, &refused, now));
        self.refusals.keep(now, clearing.accepted.iter().map(|one| &one.aggregate), refused);
        if clearing.accepted.is_empty() {
            return;
        }
        let gap = clearing
            .gap()
            .map_or(String::new(), |gap| format!(", at most {:.1} % more was possible", 100.0 * gap));
        let text = format!(
            "{} bought, need {:.1} → {:.1} kWh, welfare {}{gap}",
            counted(clearing.accepted.len() as u64, "aggregate", "aggregates"),
            clearing.need_before.abs().kilowatt_hours(),
            clearing.need_after.abs().kilowatt_hours(),
            clearing.welfare,
        );
        self.feed(now, FeedKind::Clearing, text);
    }

    fn refused_row(&self, refused: &Refused) -> RefusedRow {
        RefusedRow {
            aggregate: refused.aggregate.clone(),
            code: refused.reason.code(),
            asked_eur: refused.asked_and_winning.map(|(asked, _)| asked.units()),
            winning_eur: refused.asked_and_winning.map(|(_, winning)| winning.units()),
            element: refused.against.map(|(point, _)| self.element_words(point)),
            slot_start: refused.against.map(|(_, slot)| slot.start()),
        }
    }

    pub(super) fn fill_totals(&mut self) {
        self.books.read(|ledger| {
            let totals = ledger.totals();
            self.picture.totals = Totals {
                offers: ledger.offer_count(),
                contracts: ledger.contract_count(),
                activations: ledger.activation_count(),
                confirmed: totals.confirmed,
                settled: ledger.settlement_count(),
                ordered_kwh: totals.ordered_decrease.kilowatt_hours(),
                delivered_kwh: totals.delivered_decrease.kilowatt_hours(),
                paid_eur: totals.paid.units(),
                need_kwh: self.picture.needs.iter().map(|row| -row.change_kwh).sum(),
            };
            self.picture.health.offers_open = ledger.open_offer_count();
        });
    }

    fn need_words(&self, need: &Need) -> String {
        let total: EnergyMwh =
            need.bids.iter().flat_map(|bid| &bid.intervals).map(|i| i.schedule_change).sum();
        match need.bids.first() {
            None => "no relief needed any more".to_owned(),
            Some(first) => {
                let slots = need
                    .bids
                    .iter()
                    .flat_map(|bid| &bid.intervals)
                    .filter(|i| i.schedule_change.0 != 0)
                    .count();
                format!(
                    "{:.1} kWh too much in {} from {} at {}",
                    -total.kilowatt_hours(),
                    counted(slots as u64, "quarter-hour", "quarter-hours"),
                    first_asked(first),
                    self.element_words(first.congestion_point)
                )
            }
        }
    }

    fn element_words(&self, point: CongestionPoint) -> String {
        let transformer = self.area.feeder.network().transformers().iter().any(|t| t.id == point.branch);
        match (transformer, point.phase) {
            (true, _) => format!("transformer {}", point.branch),
            (false, Some(phase)) => format!("line {} phase {}", point.branch, phase.letter()),
            (false, None) => format!("line {}", point.branch),
        }
    }
}

fn need_rows(need: &Need, observer: &Observer) -> Vec<NeedRow> {
    let mut rows = Vec::new();
    for bid in &need.bids {
        for (at, interval) in bid.intervals.iter().enumerate().filter(|(_, i)| i.schedule_change.0 != 0) {
            rows.push(NeedRow {
                bid: bid.id.clone(),
                element: observer.element_words(bid.congestion_point),
                phase: bid.congestion_point.phase,
                slot_start: bid.start.plus(at as i64).start(),
                change_kwh: interval.schedule_change.kilowatt_hours(),
                price_per_kwh: interval.price.units(),
            });
        }
    }
    rows
}

/// The first slot of a bid that asks for something.
fn first_asked(bid: &market::DomsBid) -> Slot {
    let first = bid.intervals.iter().position(|interval| interval.schedule_change.0 != 0);
    bid.start.plus(first.unwrap_or(0) as i64)
}

/// What leaves which slots, and for how much.
fn contract_words(contract: &Contract) -> String {
    let less = || contract.deviation.iter().filter(|(_, energy)| energy.0 < 0);
    let energy: EnergyMwh = less().map(|(_, energy)| *energy).sum();
    match (less().map(|(slot, _)| *slot).min(), less().map(|(slot, _)| *slot).max()) {
        (Some(first), Some(last)) => format!(
            "{}: {} moved out of {} to {} for {:.2} EUR",
            contract.id,
            energy_words(energy),
            first,
            last.plus(1),
            contract.cost.units(),
        ),
        _ => format!("{} for {:.2} EUR", contract.id, contract.cost.units()),
    }
}

fn activation_words(activation: &Activation) -> String {
    let (device, start, from) = (activation.device, activation.schedule.start, activation.replaces_from);
    if start > from {
        format!("device {device} told to start at {start} instead of {from}")
    } else {
        format!("device {device} told to follow a new schedule from {start}")
    }
}

/// A magnitude, in watt hours when it is small.
fn energy_words(energy: EnergyMwh) -> String {
    let kilowatt_hours = energy.kilowatt_hours().abs();
    if kilowatt_hours < 0.1 {
        format!("{:.1} Wh", kilowatt_hours * 1e3)
    } else {
        format!("{kilowatt_hours:.2} kWh")
    }
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn clearing_picture(clearing: &Clearing, refused: &[RefusedRow], at: Timestamp) -> ClearingPicture {
    ClearingPicture {
        at,
        offers: (clearing.accepted.len() + clearing.refused.len()) as u64,
        bought: clearing.accepted.len() as u64,
        welfare_eur: clearing.welfare.units(),
        bound_eur: clearing.bound.units(),
        gap: clearing.gap(),
        objection: clearing.objection.clone(),
        refused: refused.iter().take(REFUSED_ROWS_MAX).cloned().collect(),
    }
}
