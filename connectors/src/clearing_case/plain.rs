//! Offers in the specification's own spelling, read in one pass: most of a large case. Whatever is not exactly so is not read
//! here but by `offer`, which knows every spelling and says what is wrong.

use super::offer::{MONEY_MAX, Said};
use crate::flex_offer::amount::{ENERGY_MAX_KWH, exactly_whole};
use crate::flex_offer::decode::phase_of;
use crate::flex_offer::moment;
use market::flex_offer::SLICES_MAX;
use market::flex_offer::life_cycle::Phase;
use market::price_clearing::ActivationOption;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plain<'a> {
    id: &'a str,
    state: Option<&'a str>,
    #[serde(rename = "offeredById")]
    _owner: Option<&'a str>,
    #[serde(rename = "locationID")]
    place: &'a str,
    num_seconds_per_interval: Option<i64>,
    creation_time: Option<&'a str>,
    accept_before_time: Option<&'a str>,
    assignment_before_time: Option<&'a str>,
    start_after_time: Option<&'a str>,
    start_before_time: &'a str,
    flex_offer_profile_constraints: Vec<Slice>,
    total_energy_constraint: Option<Bounds>,
    #[serde(borrow)]
    default_schedule: Schedule<'a>,
    cost: Option<Cost>,
    activation_option: Option<Block>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Slice {
    min_duration: Option<i64>,
    max_duration: Option<i64>,
    energy_constraint_list: [Bounds; 1],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    lower: f64,
    upper: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Schedule<'a> {
    start_time: &'a str,
    schedule_slices: Vec<Energy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Energy {
    duration: Option<i64>,
    energy_amount: f64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cost {
    activation: Option<f64>,
    per_interval_shifted: Option<f64>,
    per_energy_deviation: Option<f64>,
    per_energy_decrease: Option<f64>,
    per_energy_increase: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Block {
    deviation: Vec<f64>,
    min_activation_factor: Option<f64>,
}

/// Id and content of an offer in the plain spelling; `None` for every other.
pub(super) fn read(text: &str) -> Option<(&str, Said)> {
    let plain: Plain<'_> = serde_json::from_str(text).ok()?;
    let slices = &plain.flex_offer_profile_constraints;
    let whole_intervals =
        slices.iter().all(|s| s.min_duration.unwrap_or(1) == 1 && s.max_duration.unwrap_or(1) == 1);
    let named = |text: &str| !text.is_empty() && text.trim() == text;
    if slices.is_empty()
        || slices.len() > SLICES_MAX
        || !whole_intervals
        || !named(plain.id)
        || !named(plain.place)
    {
        return None;
    }
    let time = |text: Option<&str>| match text {
        None => Some(None),
        Some(text) => moment::read(text).map(Some),
    };
    let cost = plain.cost.unwrap_or_default();
    let both = money(cost.per_energy_deviation)?;
    let option = match plain.activation_option {
        None => None,
        Some(block) => {
            let factor = block.min_activation_factor.unwrap_or(1.0);
            let factor_min = (0.0..=1.0).contains(&factor).then_some((factor * 1e6).round() as u32)?;
            Some(ActivationOption { deviation: energies(block.deviation.iter().copied())?, factor_min })
        }
    };
    let schedule = plain.default_schedule;
    let default = energies(schedule.schedule_slices.iter().map(|slice| slice.energy_amount))?;
    let single = schedule.schedule_slices.iter().all(|slice| slice.duration.unwrap_or(1) == 1);
    if !single || default.len() > SLICES_MAX || plain.id == "-1" {
        return None;
    }
    let said = Said {
        interval_s: plain.num_seconds_per_interval,
        phase: plain.state.map_or(Some(Phase::Initial), phase_of)?,
        creation: time(plain.creation_time)?,
        accept: time(plain.accept_before_time)?,
        assign: time(plain.assignment_before_time)?,
        start_after: time(plain.start_after_time)?,
        start_before: time(Some(plain.start_before_time))?,
        lower: energies(slices.iter().map(|slice| slice.energy_constraint_list[0].lower))?,
        upper: energies(slices.iter().map(|slice| slice.energy_constraint_list[0].upper))?,
        total: match plain.total_energy_constraint {
            None => None,
            Some(total) => Some((energy(total.lower)?, energy(total.upper)?)),
        },
        default: Some((time(Some(schedule.start_time))?, default)),
        option,
        activation: money(cost.activation)?,
        per_interval_shifted: money(cost.per_interval_shifted)?,
        price_up: cost.per_energy_increase.map_or(Some(both), |price| money(Some(price)))?,
        price_down: cost.per_energy_decrease.map_or(Some(both), |price| money(Some(price)))?,
        place: plain.place.to_owned(),
        ..Said::default()
    };
    Some((plain.id, said))
}

fn energies(kwh: impl Iterator<Item = f64>) -> Option<Vec<i64>> {
    kwh.map(energy).collect()
}

fn energy(kwh: f64) -> Option<i64> {
    (kwh.abs() <= ENERGY_MAX_KWH as f64).then(|| exactly_whole(kwh * 1e6)).flatten()
}

/// Micro-units; nothing is nothing.
fn money(amount: Option<f64>) -> Option<i64> {
    let amount = amount.unwrap_or_default();
    (amount.abs() <= MONEY_MAX as f64).then(|| exactly_whole(amount * 1e6)).flatten()
}
