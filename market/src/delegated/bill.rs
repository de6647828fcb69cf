//! The bill of one prosumer and month.

use super::{DelegatedContract, Month};
use crate::event::RecordNumber;
use crate::flex_offer::{FlexOffer, Schedule};
use crate::settlement::{Account, Posting};
use grid::{EnergyMwh, Money, ProsumerId, Slot};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A delegated offer and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billed<'a> {
    /// The offer.
    pub offer: &'a FlexOffer,
    /// What was assigned, if anything.
    pub schedule: Option<&'a Schedule>,
    /// Whether its device accepted the order.
    pub obeyed: bool,
    /// Measured energy of the slots that are measured, mWh.
    pub measured: Vec<(Slot, EnergyMwh)>,
    /// Whether every ordered slot was measured.
    pub complete: bool,
    /// The records all of this is from, ascending.
    pub cites: Vec<RecordNumber>,
}

/// What a line of a bill is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reward {
    /// The month.
    Fixed,
    /// Time flexibility.
    TimeFlex,
    /// Energy flexibility.
    EnergyFlex,
    /// Activations.
    SchedulingFixed,
    /// Other starts.
    SchedulingStartTime,
    /// Other energies.
    SchedulingEnergy,
}

/// One line of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BillLine {
    /// For what.
    pub reward: Reward,
    /// How much, micro-units.
    pub amount: Money,
    /// The records it rests on, ascending.
    pub cites: Vec<RecordNumber>,
}

/// The bill: the counters of GOFLEX's `getbill` and the rewards, line by line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonthlyBill {
    /// Whose.
    pub prosumer: ProsumerId,
    /// Of when.
    pub month: Month,
    /// Offers made.
    pub num_flex_offers: u64,
    /// Offers whose schedule was executed.
    pub num_executed_flex_offers: u64,
    /// Sum of the offers' time flexibility, slots.
    pub total_time_flex: u64,
    /// Sum of the offers' energy flexibility, mWh.
    pub total_energy_flex: EnergyMwh,
    /// Activations of schedules other than the default.
    pub num_custom_schedule_activations: u64,
    /// Slots by which executed schedules start elsewhere, summed.
    pub total_start_time_deviations: u64,
    /// Energy by which the slices of executed schedules differ, summed, mWh.
    pub total_energy_deviations: EnergyMwh,
    /// |metered − scheduled|, summed over all measured slots, mWh.
    pub execution_imbalance: EnergyMwh,
    /// What is paid, zero amounts left out.
    pub lines: Vec<BillLine>,
    /// The aggregator pays the prosumer; they sum to zero.
    pub postings: Vec<Posting>,
}

/// Why there is no bill.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BillError {
    /// A term that nobody can mean.
    #[error("{term} is negative or above a million")]
    Terms {
        /// Which.
        term: &'static str,
    },
    /// More than a number holds.
    #[error("the bill of {month} for prosumer {prosumer} exceeds what can be counted")]
    TooLarge {
        /// Whose.
        prosumer: ProsumerId,
        /// Of when.
        month: Month,
    },
}

/// Sums of a month.
#[derive(Default)]
struct Sums {
    time: i128,
    energy: i128,
    activations: i128,
    executed: i128,
    starts: i128,
    energies: i128,
    imbalance: i128,
}

/// One offer's part.
struct Part {
    time: i128,
    energy: i128,
    /// Whether another schedule than the default was assigned.
    custom: bool,
    executed: bool,
    start: i128,
    energies: i128,
    imbalance: i128,
}

impl Part {
    fn of(billed: &Billed<'_>, limit: EnergyMwh) -> Self {
        let offer = billed.offer;
        let width = |slice: &crate::flex_offer::Slice| i128::from(slice.max.0) - i128::from(slice.min.0);
        let default = &offer.default_schedule;
        let mut part = Self {
            time: i128::from(offer.start_before.0) - i128::from(offer.start_after.0),
            energy: offer.slices.iter().map(width).sum(),
            custom: false,
            executed: false,
            start: 0,
            energies: 0,
            imbalance: 0,
        };
        let Some(schedule) = billed.schedule else { return part };
        part.custom = schedule != default;
        part.start = (i128::from(schedule.start.0) - i128::from(default.start.0)).abs();
        let pairs = schedule.energies.iter().zip(&default.energies);
        part.energies = pairs.map(|(a, b)| (i128::from(a.0) - i128::from(b.0)).abs()).sum();
        let off = |(slot, energy): &(Slot, EnergyMwh)| {
            (i128::from(energy.0) - i128::from(schedule.energy_in(*slot).0)).abs()
        };
        part.imbalance = billed.measured.iter().map(off).sum();
        let within = part.imbalance <= i128::from(limit.0) * billed.measured.len() as i128;
        part.executed = part.custom && billed.obeyed && billed.complete && within;
        part
    }
}

/// Adds up a month; `agreed` is the record of the contract.
pub fn monthly_bill(
    prosumer: ProsumerId,
    month: Month,
    contract: &DelegatedContract,
    agreed: RecordNumber,
    offers: &[Billed<'_>],
) -> Result<MonthlyBill, BillError> {
    if let Some(term) = contract.fault() {
        return Err(BillError::Terms { term });
    }
    let too_large = || BillError::TooLarge { prosumer, month };
    let (mut sums, mut offered, mut ran) = (Sums::default(), vec![agreed], vec![agreed]);
    for billed in offers {
        let part = Part::of(billed, contract.imbalance_limit);
        sums.time += part.time;
        sums.energy += part.energy;
        sums.imbalance += part.imbalance;
        sums.activations += i128::from(part.custom);
        offered.extend(billed.cites.iter().copied());
        if part.executed {
            sums.executed += 1;
            sums.starts += part.start;
            sums.energies += part.energies;
            ran.extend(billed.cites.iter().copied());
        }
    }
    for cites in [&mut offered, &mut ran] {
        cites.sort_unstable();
        cites.dedup();
    }
    let each = |count: i128, reward: Money| count.checked_mul(i128::from(reward.0));
    let per_kwh =
        |energy: i128, reward: Money| each(energy, reward).map(|product| (product + 500_000) / 1_000_000);
    let amounts = [
        (Reward::Fixed, Some(i128::from(contract.fixed_reward.0)), &ran[..0]),
        (Reward::TimeFlex, each(sums.time, contract.time_flex_reward), &offered[..]),
        (Reward::EnergyFlex, per_kwh(sums.energy, contract.energy_flex_reward), &offered[..]),
        (Reward::SchedulingFixed, each(sums.executed, contract.scheduling_fixed_reward), &ran[..]),
        (Reward::SchedulingStartTime, each(sums.starts, contract.scheduling_start_time_reward), &ran[..]),
        (Reward::SchedulingEnergy, per_kwh(sums.energies, contract.scheduling_energy_reward), &ran[..]),
    ];
    let (mut lines, mut total) = (Vec::new(), 0_i64);
    for (reward, amount, cites) in amounts {
        let amount = amount.and_then(|amount| i64::try_from(amount).ok()).ok_or_else(too_large)?;
        total = total.checked_add(amount).ok_or_else(too_large)?;
        if amount != 0 {
            let cites = if reward == Reward::Fixed { vec![agreed] } else { cites.to_vec() };
            lines.push(BillLine { reward, amount: Money(amount), cites });
        }
    }
    let count = |sum: i128| u64::try_from(sum).map_err(|_| too_large());
    let energy = |sum: i128| i64::try_from(sum).map(EnergyMwh).map_err(|_| too_large());
    Ok(MonthlyBill {
        prosumer,
        month,
        num_flex_offers: offers.len() as u64,
        num_executed_flex_offers: count(sums.executed)?,
        total_time_flex: count(sums.time)?,
        total_energy_flex: energy(sums.energy)?,
        num_custom_schedule_activations: count(sums.activations)?,
        total_start_time_deviations: count(sums.starts)?,
        total_energy_deviations: energy(sums.energies)?,
        execution_imbalance: energy(sums.imbalance)?,
        lines,
        postings: postings(prosumer, total),
    })
}

/// The aggregator pays the prosumer; nothing for nothing.
fn postings(prosumer: ProsumerId, total: i64) -> Vec<Posting> {
    let both = [(Account::Aggregator, -total), (Account::Prosumer(prosumer), total)];
    let moved = both.into_iter().filter(|(_, amount)| *amount != 0);
    moved.map(|(account, amount)| Posting { account, amount: Money(amount) }).collect()
}
