//! What the observer makes of durable market facts: the list of what happened, in words, and the totals.

use super::Observer;
use crate::picture::{FeedKind, NeedRow, Totals};
use grid::{EnergyMwh, Slot, Timestamp};
use market::{Clearing, CongestionPoint, MarketEvent, Need};

impl Observer {
    pub(super) fn on_recorded(&mut self, event: &MarketEvent) {
        let (kind, at, text) = match event {
            MarketEvent::NeedPlaced { need, at } => {
                self.picture.needs = need_rows(need, self);
                (FeedKind::Need, *at, self.need_words(need))
            }
            MarketEvent::OfferAccepted { offer, at } => {
                let text = format!(
                    "offer {}: {:.2} kWh from {} to {}",
                    offer.id,
                    offer.slices.iter().map(|slice| slice.max).sum::<EnergyMwh>().kilowatt_hours(),
                    clock_words(offer.start_after),
                    clock_words(offer.start_before.plus(offer.slices.len() as i64)),
                );
                (FeedKind::Offer, *at, text)
            }
            MarketEvent::ContractFormed { contract } => {
                let less: EnergyMwh =
                    contract.deviation.iter().map(|(_, energy)| *energy).filter(|e| e.0 < 0).sum();
                let text = format!(
                    "{}: {:.2} kWh moved away from {} for {}",
                    contract.id,
                    -less.kilowatt_hours(),
                    contract.deviation.first().map_or_else(String::new, |(slot, _)| clock_words(*slot)),
                    contract.cost,
                );
                (FeedKind::Contract, contract.formed_at, text)
            }
            MarketEvent::ActivationIssued { activation, at } => {
                let text = format!(
                    "device {} told to start at {} ({})",
                    activation.device,
                    clock_words(activation.schedule.start),
                    activation.id
                );
                (FeedKind::Activation, *at, text)
            }
            MarketEvent::ActivationAnswered { status, at } if !status.accepted => {
                let reason = status.reason.as_deref().unwrap_or("no reason given");
                let text = format!("device {} refused {}: {reason}", status.device, status.activation);
                (FeedKind::Activation, *at, text)
            }
            MarketEvent::Settled { settlement, at } => {
                let paid: i64 = settlement.postings.iter().map(|posting| posting.amount.0.max(0)).sum();
                let text = format!(
                    "{} at {}: {:.2} of {:.2} kWh delivered, {:.3} EUR",
                    settlement.offer,
                    clock_words(settlement.slot),
                    -settlement.delivered.kilowatt_hours(),
                    -settlement.ordered.kilowatt_hours(),
                    paid as f64 / 1e6,
                );
                (FeedKind::Settlement, *at, text)
            }
            _ => return,
        };
        self.feed(at, kind, text);
    }

    pub(super) fn on_cleared(&mut self, clearing: &Clearing, now: Timestamp) {
        if clearing.accepted.is_empty() {
            return;
        }
        let text = format!(
            "{} aggregates bought, need {:.1} → {:.1} kWh, welfare {}",
            clearing.accepted.len(),
            clearing.need_before.abs().kilowatt_hours(),
            clearing.need_after.abs().kilowatt_hours(),
            clearing.welfare,
        );
        self.feed(now, FeedKind::Clearing, text);
    }

    pub(super) fn fill_totals(&mut self) {
        self.books.read(|ledger| {
            let totals = ledger.totals();
            let answers =
                ledger.activations().map(|(_, answer)| answer.is_some_and(|answer| answer.accepted));
            let (mut activations, mut confirmed) = (0, 0);
            for accepted in answers {
                activations += 1;
                confirmed += u64::from(accepted);
            }
            self.picture.totals = Totals {
                offers: ledger.offers().count() as u64,
                contracts: ledger.contract_count(),
                activations,
                confirmed,
                settled: ledger.settlements().count() as u64,
                ordered_kwh: totals.ordered_decrease.kilowatt_hours(),
                delivered_kwh: totals.delivered_decrease.kilowatt_hours(),
                paid_eur: totals.paid.units(),
                need_kwh: self.picture.needs.iter().map(|row| -row.change_kwh).sum(),
            };
            self.picture.health.offers_open = ledger.open_offers().count() as u64;
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
                    "{:.1} kWh too much in {slots} quarter-hours from {} at {}",
                    -total.kilowatt_hours(),
                    clock_words(first.start),
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

/// The UTC clock time of a slot's start, `hh:mm` and the zone letter.
fn clock_words(slot: Slot) -> String {
    let text = slot.to_string();
    text.get(11..16).map_or_else(|| text.clone(), |clock| format!("{clock}Z"))
}
