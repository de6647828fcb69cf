//! What a FlexOffer Agent offers for its devices.
//!
//! One offer per device at a time. An offer that nobody took before its deadline has expired; its default
//! schedule has begun, and what is left is offered anew from the next slot the market can reach.
//!
//! * *Charger*: the energy still needed at that slot, at full power in consecutive slots, movable until the
//!   vehicle leaves. A session that was assigned is not offered again.
//! * *Battery*: a block of discharging, nothing by default, movable within a few hours.
//! * *Heat pump*: the next slots at a fraction of the expected power, not movable.

mod rules;
#[cfg(test)]
mod tests;

pub use rules::OfferRules;

use crate::device::{DeviceReport, DeviceState};
use crate::flex_offer::{
    DeviationPrices, EnergyBounds, FlexOffer, FlexOfferId, SLICES_MAX, Schedule, Slice, Terms,
};
use crate::ledger::OfferStatus;
use crate::rules::first_slot_from;
use grid::{DeviceId, EnergyMwh, Slot, Timestamp};

/// What the next offer of a device depends on; see `Ledger::offer_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfferState<'a> {
    /// Offers of the device that were accepted so far.
    pub made: u32,
    /// The newest of them.
    pub newest: Option<(&'a FlexOffer, OfferStatus)>,
}

/// A profile on its way to become an offer.
struct Flexibility {
    /// What the offer is named after: the session or the slot.
    subject: String,
    slices: Vec<Slice>,
    default: Vec<EnergyMwh>,
    start_before: Slot,
    prices: DeviationPrices,
}

/// The offer to make for a device now, or `None` when there is nothing to offer (or the report makes no sense, see
/// `DeviceReport::check`). Called again with the same arguments it gives the same offer, id included.
pub fn offer_for(
    report: &DeviceReport,
    now: Timestamp,
    state: &OfferState<'_>,
    rules: &OfferRules,
) -> Option<FlexOffer> {
    report.check().ok()?;
    let first = first_slot_from(now.plus(rules.gate_closure).plus(rules.lead));
    let flexibility = match report.state {
        DeviceState::Charger { session, energy_needed_wh, departure, p_max_w } => {
            if session == 0 || !free(state, now, Some(&session_prefix(report.device, session))) {
                return None;
            }
            let elapsed = first.start().since(report.at).as_secs_f64() / 3600.0;
            charging(session, energy_needed_wh - p_max_w * elapsed, departure, p_max_w, first, rules)
        }
        DeviceState::Battery { energy_wh, p_discharge_max_w, .. } => {
            if !free(state, now, None) {
                return None;
            }
            discharging(energy_wh, p_discharge_max_w, first, rules)
        }
        DeviceState::HeatPump { ref p_expected_w, fraction_min, slots_max } => {
            if !free(state, now, None) {
                return None;
            }
            let skipped = usize::try_from(first.0 - report.at.slot().0 - 1).ok()?;
            heating(p_expected_w.get(skipped..)?, fraction_min, slots_max, first, rules)
        }
    }?;
    let deadline = first.start().minus(rules.gate_closure);
    let number = state.made.saturating_add(1);
    let offer = FlexOffer {
        id: FlexOfferId::new(format!("fo-{}-{}-{number}", report.device, flexibility.subject)).ok()?,
        prosumer: report.prosumer,
        usage_point: report.usage_point,
        device: report.device,
        created_at: now,
        acceptance_before: deadline,
        assignment_before: deadline,
        start_after: first,
        start_before: flexibility.start_before,
        slices: flexibility.slices,
        total_energy: None,
        default_schedule: Schedule { start: first, energies: flexibility.default },
        prices: flexibility.prices,
        terms: Terms::default(),
    };
    offer.check().ok().map(|()| offer)
}

/// Whether a name is of the form in which agents name their offers: `fo-`, device, session or slot, number. Nobody else may
/// use it: who guesses the next one would keep the device from being offered.
pub fn is_agents_name(id: &FlexOfferId) -> bool {
    id.as_str().strip_prefix("fo-").is_some_and(|rest| rest.matches('-').count() >= 2)
}

fn session_prefix(device: DeviceId, session: u64) -> String {
    format!("fo-{device}-s{session}-")
}

/// Whether the device is bound by no earlier offer. `session` is the beginning of the ids of this session's
/// offers: an assigned session is not offered again, an offer of an earlier session does not matter.
fn free(state: &OfferState<'_>, now: Timestamp, session: Option<&str>) -> bool {
    let Some((offer, status)) = &state.newest else { return true };
    match (status, session) {
        (OfferStatus::Withdrawn | OfferStatus::Expired, _) => true,
        (OfferStatus::Assigned { .. }, Some(prefix)) => !offer.id.as_str().starts_with(prefix),
        (OfferStatus::Assigned { until }, None) => now >= *until,
        (OfferStatus::Open | OfferStatus::Contracted, Some(prefix)) => !offer.id.as_str().starts_with(prefix),
        (OfferStatus::Open | OfferStatus::Contracted, None) => false,
    }
}

fn slot_energy(p_w: f64) -> Option<EnergyMwh> {
    EnergyMwh::from_watt_hours(p_w * Slot::HOURS).ok()
}

fn charging(
    session: u64,
    needed_wh: f64,
    departure: Timestamp,
    p_max_w: f64,
    first: Slot,
    rules: &OfferRules,
) -> Option<Flexibility> {
    let (full, needed) = (slot_energy(p_max_w)?.0, EnergyMwh::from_watt_hours(needed_wh.max(0.0)).ok()?.0);
    if full <= 0 || needed < full || needed / full >= SLICES_MAX as i64 {
        return None;
    }
    let mut energies = vec![EnergyMwh(full); usize::try_from(needed / full).ok()?];
    if needed % full > 0 {
        energies.push(EnergyMwh(needed % full));
    }
    let end = departure.slot().min(first.plus(rules.charger_horizon_slots.into()));
    let start_before = Slot(end.0.checked_sub(energies.len() as i64)?);
    if start_before <= first {
        return None;
    }
    Some(Flexibility {
        subject: format!("s{session}"),
        slices: energies.iter().map(|&energy| EnergyBounds { min: energy, max: energy }).collect(),
        default: energies,
        start_before,
        prices: rules.charger_prices,
    })
}

fn discharging(energy_wh: f64, p_max_w: f64, first: Slot, rules: &OfferRules) -> Option<Flexibility> {
    let (full, stored) = (slot_energy(p_max_w)?.0, EnergyMwh::from_watt_hours(energy_wh).ok()?.0);
    let most = i64::from(rules.battery_slots_max).min(SLICES_MAX as i64);
    let slots = stored.checked_div(full)?.min(most);
    let start_before = first.plus(i64::from(rules.battery_horizon_slots) - slots);
    if slots < 1 || start_before < first {
        return None;
    }
    let slice = EnergyBounds { min: EnergyMwh(-full), max: EnergyMwh::ZERO };
    Some(Flexibility {
        subject: first.0.to_string(),
        slices: vec![slice; usize::try_from(slots).ok()?],
        default: vec![EnergyMwh::ZERO; usize::try_from(slots).ok()?],
        start_before,
        prices: rules.battery_prices,
    })
}

fn heating(
    p_expected_w: &[f64],
    fraction_min: f64,
    slots_max: u32,
    first: Slot,
    rules: &OfferRules,
) -> Option<Flexibility> {
    let slots = usize::try_from(slots_max).ok()?.min(SLICES_MAX);
    let mut slices = Vec::new();
    for &p_w in p_expected_w.iter().take(slots) {
        slices.push(EnergyBounds { min: slot_energy(p_w * fraction_min)?, max: slot_energy(p_w)? });
    }
    if slices.iter().all(|slice| slice.min == slice.max) {
        return None;
    }
    Some(Flexibility {
        subject: first.0.to_string(),
        default: slices.iter().map(|slice| slice.max).collect(),
        slices,
        start_before: first,
        prices: rules.heat_pump_prices,
    })
}
