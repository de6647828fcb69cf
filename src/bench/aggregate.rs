//! Aggregation and disaggregation of synthetic FlexOffers: 4 to 16 slices, 0 to 16 slots of time flexibility, one
//! zone, starts over a day; by the default tolerances some hundred groups.

use super::meter::{median, quantile, timed};
use crate::Failure;
use clap::Args;
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Slot, UsagePointId};
use market::flex_offer::Terms;
use market::portfolio::{Bounds, Portfolio, Tolerances};
use market::{DeviationPrices, EnergyBounds, FlexOffer, FlexOfferId, Schedule, ZoneId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

/// Single changes that are timed at each size, in groups.
const CHANGES: usize = 20_000;
/// Changes that are timed together: the clock costs more than one change.
const CHANGES_PER_READING: usize = 20;
/// First slot of the synthetic offers: 2026-01-15T00:00Z.
const FIRST_SLOT: i64 = 1_768_435_200 / Slot::SECONDS;

const EXAMPLES: &str = "\
Examples:
  gridflex bench aggregate                                    100,000 synthetic offers; changes at up to a million
  gridflex bench aggregate --offers 10000 --sizes 10000 --repeat 21
  gridflex bench aggregate --offers 100000 --sizes 10000,1000000 --seed 2 --json

CPU time of one thread. Violations and the mismatch in mWh of every split are counted; both should be 0.";

/// Arguments of `gridflex bench aggregate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AggregateArguments {
    /// Offers that are aggregated and split
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    offers: u32,
    /// Sizes of the portfolio at which single changes are timed
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000], value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    sizes: Vec<u32>,
    /// Seed of the synthetic offers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of which the median is taken
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1001))]
    repeat: u16,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
}

/// What was measured; CPU time of one thread.
#[derive(Debug, Serialize)]
pub struct AggregateFigures {
    program: &'static str,
    version: &'static str,
    what: &'static str,
    offers: u32,
    slice: Bulk,
    total: Bulk,
    changes: Vec<Single>,
    /// Mean time of a change at the largest size over that at the smallest.
    change_growth: f64,
}

/// All offers at once.
#[derive(Debug, Serialize)]
struct Bulk {
    aggregates: usize,
    aggregate_ms: f64,
    aggregate_offers_per_s: f64,
    split_ms: f64,
    split_offers_per_s: f64,
    /// Slots in which the parts do not add up to the schedule: sum of the differences, mWh.
    mismatch_mwh: i64,
    /// Parts outside their offers.
    violations: usize,
    /// Slots that members could move further than their aggregate, over all they can move.
    time_loss: f64,
    /// Energy flexibility outside the safe bounds, over all there is.
    energy_loss: f64,
}

/// One offer at a time, its change record and the aggregate that changed read.
#[derive(Debug, Serialize)]
struct Single {
    portfolio: u32,
    insert_us_mean: f64,
    insert_us_p99: f64,
    delete_us_mean: f64,
    delete_us_p99: f64,
}

impl Single {
    /// The median of each figure.
    fn median(portfolio: u32, runs: &[Single]) -> Single {
        let of = |figure: fn(&Single) -> f64| median(runs.iter().map(figure).collect());
        Single {
            portfolio,
            insert_us_mean: of(|run| run.insert_us_mean),
            insert_us_p99: of(|run| run.insert_us_p99),
            delete_us_mean: of(|run| run.delete_us_mean),
            delete_us_p99: of(|run| run.delete_us_p99),
        }
    }
}

/// Measures.
pub fn measure(arguments: &AggregateArguments) -> Result<AggregateFigures, Failure> {
    let mut changes = Vec::new();
    for &size in &arguments.sizes {
        let runs = (0..arguments.repeat).map(|_| single(size, arguments.seed));
        changes.push(Single::median(size, &runs.collect::<Result<Vec<_>, _>>()?));
    }
    let mean = |single: &Single| single.insert_us_mean + single.delete_us_mean;
    let smallest = changes.iter().min_by_key(|single| single.portfolio).map_or(1.0, mean);
    let largest = changes.iter().max_by_key(|single| single.portfolio).map_or(1.0, mean);
    Ok(AggregateFigures {
        program: "gridflex",
        version: env!("CARGO_PKG_VERSION"),
        what: "aggregate",
        offers: arguments.offers,
        slice: bulk(arguments, false)?,
        total: bulk(arguments, true)?,
        changes,
        change_growth: largest / smallest,
    })
}

fn bulk(arguments: &AggregateArguments, with_total: bool) -> Result<Bulk, Failure> {
    let mut dice = Dice::new(arguments.seed);
    let offers: Vec<FlexOffer> =
        (0..arguments.offers).map(|n| dice.offer(n, with_total)).collect::<Result<_, _>>()?;
    let (mut aggregate_ms, mut split_ms, mut made) = (Vec::new(), Vec::new(), None);
    for _ in 0..arguments.repeat {
        let (ms, portfolio) = timed(|| aggregate(&offers));
        aggregate_ms.push(ms);
        made = Some(portfolio?);
    }
    let Some(portfolio) = made else { return Err(Failure::Run(anyhow::anyhow!("nothing was run"))) };
    let schedules = attainable(&portfolio, &offers, &mut dice);
    for _ in 0..arguments.repeat {
        let (ms, outcome) = timed(|| {
            schedules.iter().try_for_each(|(number, schedule)| {
                portfolio.split(*number, schedule).map(|split| drop(black_box(split)))
            })
        });
        outcome.map_err(|error| Failure::Run(error.into()))?;
        split_ms.push(ms);
    }
    let (mismatch_mwh, violations) = faults(&portfolio, &offers, &schedules)?;
    let (aggregate_ms, split_ms) = (median(aggregate_ms), median(split_ms));
    let per_second = |ms: f64| f64::from(arguments.offers) / ms * 1e3;
    let (time_loss, energy_loss) = losses(&portfolio, &offers);
    Ok(Bulk {
        aggregates: portfolio.numbers().count(),
        aggregate_ms,
        aggregate_offers_per_s: per_second(aggregate_ms),
        split_ms,
        split_offers_per_s: per_second(split_ms),
        mismatch_mwh,
        violations,
        time_loss,
        energy_loss,
    })
}

/// Sums all offers, as one reads them from a file, and reads every aggregate.
fn aggregate(offers: &[FlexOffer]) -> Result<Portfolio, Failure> {
    let mut portfolio = Portfolio::new(Tolerances::default(), Bounds::default());
    if let Some((_, error)) = portfolio.insert_all(offers.iter().map(|offer| (offer, ZoneId(1)))).pop() {
        return Err(Failure::Run(error.into()));
    }
    for number in portfolio.numbers() {
        black_box(portfolio.published(number));
    }
    Ok(portfolio)
}

/// For every aggregate the sum of one random schedule of each member, all moved alike.
fn attainable(portfolio: &Portfolio, offers: &[FlexOffer], dice: &mut Dice) -> Vec<(u64, Schedule)> {
    let mut sums: BTreeMap<u64, Schedule> = BTreeMap::new();
    for number in portfolio.numbers() {
        if let Some(seen) = portfolio.published(number) {
            let shift = dice.between(0, seen.start_before.0 - seen.start_after.0);
            let energies = vec![EnergyMwh::ZERO; seen.slices.len()];
            sums.insert(number, Schedule { start: seen.start_after.plus(shift), energies });
        }
    }
    let starts: BTreeMap<u64, Slot> = portfolio
        .numbers()
        .filter_map(|number| Some((number, portfolio.published(number)?.start_after)))
        .collect();
    for offer in offers {
        let Some(number) = portfolio.aggregate_of(&offer.id) else { continue };
        let (Some(sum), Some(start)) = (sums.get_mut(&number), starts.get(&number)) else { continue };
        let offset = (offer.start_after.0 - start.0) as usize;
        for (energy, more) in sum.energies.iter_mut().skip(offset).zip(dice.energies(offer)) {
            energy.0 += more;
        }
    }
    sums.into_iter().collect()
}

/// Differences in mWh and parts outside their offers, checked by the offers' own rules.
fn faults(
    portfolio: &Portfolio,
    offers: &[FlexOffer],
    schedules: &[(u64, Schedule)],
) -> Result<(i64, usize), Failure> {
    let by_id: BTreeMap<&FlexOfferId, &FlexOffer> = offers.iter().map(|offer| (&offer.id, offer)).collect();
    let (mut mismatch, mut violations) = (0, 0);
    for (number, schedule) in schedules {
        let mut left: Vec<i64> = schedule.energies.iter().map(|energy| energy.0).collect();
        let split = portfolio.split(*number, schedule).map_err(|error| Failure::Run(error.into()))?;
        for (id, part) in split.schedules() {
            violations += usize::from(by_id.get(id).is_none_or(|offer| offer.check_schedule(&part).is_err()));
            let offset = (part.start.0 - schedule.start.0) as usize;
            part.energies.iter().enumerate().for_each(|(k, energy)| left[offset + k] -= energy.0);
        }
        mismatch += left.iter().map(|left| left.abs()).sum::<i64>();
    }
    Ok((mismatch, violations))
}

/// Shares of time and energy flexibility that aggregating cost.
fn losses(portfolio: &Portfolio, offers: &[FlexOffer]) -> (f64, f64) {
    let (mut time, mut energy) = (0, 0);
    for seen in portfolio.numbers().filter_map(|number| portfolio.published(number)) {
        time += seen.loss.time_slots;
        energy += seen.loss.energy.0;
    }
    let all_time: i64 = offers.iter().map(|offer| offer.start_before.0 - offer.start_after.0).sum();
    let all_energy: i64 = offers.iter().flat_map(|o| &o.slices).map(|slice| slice.max.0 - slice.min.0).sum();
    (time as f64 / all_time.max(1) as f64, energy as f64 / all_energy.max(1) as f64)
}

fn single(size: u32, seed: u64) -> Result<Single, Failure> {
    let mut dice = Dice::new(seed);
    let mut portfolio = Portfolio::new(Tolerances::default(), Bounds::default());
    let insert = |portfolio: &mut Portfolio, offer: &FlexOffer| -> Result<(), Failure> {
        let change = portfolio.insert(offer, ZoneId(1)).map_err(|error| Failure::Run(error.into()))?;
        black_box(portfolio.published(change.aggregate));
        Ok(())
    };
    for n in 0..size {
        insert(&mut portfolio, &dice.offer(n, n % 2 == 0)?)?;
    }
    // Names that leave, from anywhere in the portfolio, and offers that come instead.
    let count = CHANGES.min(size as usize);
    let step = (size as usize / count).max(1);
    let mut leaving = (0..count).map(|k| name((k * step) as u32)).collect::<Result<Vec<_>, _>>()?;
    for at in (1..leaving.len()).rev() {
        leaving.swap(at, dice.between(0, at as i64) as usize);
    }
    let coming: Vec<FlexOffer> =
        (0..count as u32).map(|k| dice.offer(size + k, k % 2 == 0)).collect::<Result<_, _>>()?;
    let (mut inserted, mut deleted) = (Vec::new(), Vec::new());
    for (coming, leaving) in coming.chunks(CHANGES_PER_READING).zip(leaving.chunks(CHANGES_PER_READING)) {
        let (ms, outcome) = timed(|| coming.iter().try_for_each(|offer| insert(&mut portfolio, offer)));
        outcome?;
        inserted.push(ms * 1e3 / coming.len() as f64);
        let (ms, ()) = timed(|| {
            for id in leaving {
                let change = portfolio.remove(id);
                black_box(change.and_then(|change| portfolio.published(change.aggregate)));
            }
        });
        deleted.push(ms * 1e3 / leaving.len() as f64);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    Ok(Single {
        portfolio: size,
        insert_us_mean: mean(&inserted),
        insert_us_p99: quantile(&mut inserted, 0.99),
        delete_us_mean: mean(&deleted),
        delete_us_p99: quantile(&mut deleted, 0.99),
    })
}

fn name(number: u32) -> Result<FlexOfferId, Failure> {
    FlexOfferId::new(format!("fo-{number}")).map_err(|error| Failure::Run(error.into()))
}

/// The figures for people.
pub fn table(figures: &AggregateFigures) -> String {
    let mut rows = vec![format!("aggregate · {} offers", figures.offers)];
    for (name, bulk) in [("bounds per slice", &figures.slice), ("with totals", &figures.total)] {
        rows.push(format!("  {name}, {} aggregates", bulk.aggregates));
        rows.push(format!("    {:<26} {:>12.0} offers/s", "aggregate", bulk.aggregate_offers_per_s));
        rows.push(format!("    {:<26} {:>12.0} offers/s", "split", bulk.split_offers_per_s));
        rows.push(format!(
            "    {:<26} {:>12} ({} mWh)",
            "violations (mismatch)", bulk.violations, bulk.mismatch_mwh
        ));
        rows.push(format!(
            "    {:<26} {:>11.1} % of the energy, {:.1} % of the time flexibility",
            "lost in safe bounds",
            bulk.energy_loss * 100.0,
            bulk.time_loss * 100.0
        ));
    }
    for single in &figures.changes {
        rows.push(format!(
            "  {:>9} in the portfolio: insert {:.2} µs (99 %: {:.2}), delete {:.2} µs (99 %: {:.2})",
            single.portfolio,
            single.insert_us_mean,
            single.insert_us_p99,
            single.delete_us_mean,
            single.delete_us_p99
        ));
    }
    rows.push(format!("  {:<28} {:>12.2}", "growth of a change", figures.change_growth));
    rows.join("\n")
}

/// Synthetic offers; the same seed gives the same ones.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + ((self.0 >> 11) % (high - low + 1).unsigned_abs()) as i64
    }

    fn offer(&mut self, number: u32, with_total: bool) -> Result<FlexOffer, Failure> {
        let (mut slices, mut default) = (Vec::new(), Vec::new());
        let (mut total, mut width) = (0, 0);
        for _ in 0..self.between(4, 16) {
            let least = self.between(50_000, 250_000);
            let most = least + self.between(0, 500_000);
            let energy = self.between(least, most);
            slices.push(EnergyBounds { min: EnergyMwh(least), max: EnergyMwh(most) });
            default.push(EnergyMwh(energy));
            (total, width) = (total + energy, width + most - least);
        }
        let start = Slot(FIRST_SLOT + self.between(0, 95));
        let assignment_before = start.start().minus(Duration::from_secs(3600));
        Ok(FlexOffer {
            id: name(number)?,
            prosumer: ProsumerId(number),
            usage_point: UsagePointId(number),
            device: DeviceId(number),
            created_at: Slot(FIRST_SLOT - 96).start(),
            acceptance_before: assignment_before,
            assignment_before,
            start_after: start,
            start_before: start.plus(self.between(0, 16)),
            slices,
            total_energy: with_total.then_some(EnergyBounds {
                min: EnergyMwh(total - width / 20),
                max: EnergyMwh(total + width / 20),
            }),
            default_schedule: Schedule { start, energies: default },
            prices: DeviationPrices { decrease: Money(100_000), increase: Money(100_000) },
            terms: Terms::default(),
        })
    }

    /// Energies of some schedule of an offer, mWh.
    fn energies(&mut self, offer: &FlexOffer) -> Vec<i64> {
        let mut values: Vec<i64> = offer.slices.iter().map(|s| self.between(s.min.0, s.max.0)).collect();
        let Some(total) = offer.total_energy else { return values };
        for (k, slice) in offer.slices.iter().enumerate() {
            let sum: i64 = values.iter().sum();
            let wanted = values[k] + (total.min.0 - sum).max(0) - (sum - total.max.0).max(0);
            values[k] = wanted.clamp(slice.min.0, slice.max.0);
        }
        values
    }
}
