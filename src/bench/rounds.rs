//! A round of the market, from bids to the members' schedules: synthetic feeders behind one transformer, each congested for
//! two hours of the evening, and sums of like offers in the book.

use super::meter::{median, quantile, timed};
use crate::Failure;
use anyhow::anyhow;
use clap::Args;
use grid::{BranchId, DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};
use market::flex_offer::Terms;
use market::{
    AggregateId, AggregateRules, AggregatedFlexOffer, Aggregation, BidId, BidInterval, Book, Carried,
    Clearing, CongestionPoint, DeviationPrices, DomsBid, EnergyBounds, FlexOffer, FlexOfferId, GridRow, Need,
    Rules, Schedule, ZoneId, clear, disaggregate,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// First slot of the day: 2026-01-15T00:00Z.
const FIRST_SLOT: i64 = 1_768_435_200 / Slot::SECONDS;
/// Slots of the day that are congested: 17:00 to 19:00.
const CONGESTED: std::ops::Range<i64> = 68..76;
const KWH: i64 = 1_000_000;

const EXAMPLES: &str = "\
Examples:
  gridflex bench market                                       100,000 offers in 1,000 aggregates, 100 bids
  gridflex bench market --offers 10000 --aggregates 1000 --bids 10 --rounds 200 --json

CPU time of one thread for each round: the clearing with its certificate, and the split of what was bought among the members. The
journal and the messages between the actors are not in it (`gridflex bench actors` has those).";

/// Arguments of `gridflex bench market`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MarketArguments {
    /// FlexOffers
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    offers: u32,
    /// Aggregates that they are summed in
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    aggregates: u32,
    /// Congested feeders, a bid for each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    bids: u32,
    /// Rounds, each with other bids
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rounds: u16,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
}

/// What was measured. CPU time of one thread.
#[derive(Debug, Serialize)]
pub struct MarketFigures {
    program: &'static str,
    version: &'static str,
    offers: u32,
    aggregates: usize,
    bids: u32,
    rounds: u16,
    /// Summing all offers and sealing the aggregates, once.
    seal_ms: f64,
    round_ms_p50: f64,
    round_ms_p99: f64,
    /// Of these the clearing, and the split; medians.
    clear_ms: f64,
    split_ms: f64,
    /// Of the last round: aggregates bought, members with a schedule, and what of the need was met.
    bought: usize,
    assigned: usize,
    met_percent: f64,
    /// Certified gap of the last round, %.
    gap_percent: f64,
}

/// Measures.
pub fn measure(arguments: &MarketArguments) -> Result<MarketFigures, Failure> {
    let per_aggregate = (arguments.offers / arguments.aggregates).max(1) as usize;
    let sizes = AggregateRules {
        members_max: per_aggregate,
        moving_members_max: per_aggregate,
        ..AggregateRules::default()
    };
    let rules = Rules { aggregates: sizes, book_offers_max: 100_000, ..Rules::default() };
    let offers: Vec<FlexOffer> =
        (0..arguments.offers).map(|number| offer(arguments, number)).collect::<Result<_, _>>()?;
    let zone_of = |offer: &FlexOffer| ZoneId(offer.usage_point.0);
    let (seal_ms, aggregates) = timed(|| seal(&offers, zone_of, sizes));
    let aggregates = aggregates?;
    let by_name: BTreeMap<&FlexOfferId, &FlexOffer> = offers.iter().map(|offer| (&offer.id, offer)).collect();
    let mut book = Book {
        need: None,
        zones: (0..arguments.bids)
            .map(|feeder| (ZoneId(feeder), vec![carried(feeder + 1), carried(0)]))
            .collect(),
        offers: aggregates.into_iter().map(|one| (one.id.clone(), one)).collect(),
        ..Book::default()
    };
    let taken = taken(&offers, arguments.bids);
    let now = Slot(FIRST_SLOT + 40).start();
    let (mut all, mut clearings, mut splits) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = (Clearing::default(), 0);
    for round in 0..arguments.rounds {
        book.need = Some(need(arguments.bids, &taken, i64::from(round), now)?);
        let (clear_ms, clearing) = timed(|| clear(&book, &rules, now));
        if let Some(objection) = &clearing.objection {
            return Err(Failure::Run(anyhow!("round {round}: {objection}")));
        }
        let (split_ms, assigned) = timed(|| split(&book, &by_name, &clearing));
        last = (clearing, assigned?);
        all.push(clear_ms + split_ms);
        clearings.push(clear_ms);
        splits.push(split_ms);
    }
    let (clearing, assigned) = last;
    let met = clearing.need_before.0 - clearing.need_after.0;
    Ok(MarketFigures {
        program: "gridflex",
        version: env!("CARGO_PKG_VERSION"),
        offers: arguments.offers,
        aggregates: book.offers.len(),
        bids: arguments.bids,
        rounds: arguments.rounds,
        seal_ms,
        round_ms_p50: quantile(&mut all.clone(), 0.5),
        round_ms_p99: quantile(&mut all, 0.99),
        clear_ms: median(clearings),
        split_ms: median(splits),
        bought: clearing.accepted.len(),
        assigned,
        met_percent: 100.0 * met as f64 / clearing.need_before.0.max(1) as f64,
        gap_percent: 100.0 * clearing.gap().unwrap_or_default(),
    })
}

fn carried(branch: u32) -> Carried {
    CongestionPoint { branch: BranchId(branch), phase: None }.into()
}

/// Like offers lie side by side: feeders in turn, on each of them groups that start together. Half of the groups can take less where
/// they are, the others can also run up to two hours later, a part of them whole.
fn offer(arguments: &MarketArguments, number: u32) -> Result<FlexOffer, Failure> {
    let feeder = number % arguments.bids;
    let groups = (arguments.aggregates / arguments.bids).max(1);
    let group = number / arguments.bids % groups;
    let start = Slot(FIRST_SLOT + CONGESTED.start + i64::from(group % 8));
    let size = KWH / 5 + i64::from(number % 17) * KWH / 20;
    let (later, least) = match group % 4 {
        0 | 1 => (0, 0),
        2 => (8, size),
        _ => (8, size / 2),
    };
    let name = FlexOfferId::new(format!("offer-{number}")).map_err(|error| Failure::Run(error.into()))?;
    let deadline = Slot(FIRST_SLOT + 60).start();
    let price = Money(80_000 + i64::from(group) * 1_000 + i64::from(feeder % 10) * 2_000);
    Ok(FlexOffer {
        id: name,
        prosumer: ProsumerId(number),
        usage_point: UsagePointId(feeder),
        device: DeviceId(number),
        created_at: Slot(FIRST_SLOT + 30).start(),
        acceptance_before: deadline,
        assignment_before: deadline,
        start_after: start,
        start_before: start.plus(later),
        slices: vec![EnergyBounds { min: EnergyMwh(least), max: EnergyMwh(size) }; 4],
        total_energy: None,
        default_schedule: Schedule { start, energies: vec![EnergyMwh(size); 4] },
        prices: DeviationPrices { decrease: price, increase: Money(0) },
        terms: Terms::default(),
    })
}

fn seal(
    offers: &[FlexOffer],
    zone_of: impl Fn(&FlexOffer) -> ZoneId,
    rules: AggregateRules,
) -> Result<Vec<AggregatedFlexOffer>, Failure> {
    let mut aggregation = Aggregation::new(rules, 0);
    for offer in offers {
        aggregation.add(offer.clone(), zone_of(offer)).map_err(|error| Failure::Run(error.into()))?;
    }
    let names: Result<Vec<AggregateId>, _> =
        (1..=offers.len()).map(|number| AggregateId::new(format!("aggregate-{number}"))).collect();
    let mut names = names.map_err(|error| Failure::Run(error.into()))?.into_iter();
    let spare = AggregateId::new("aggregate-0").map_err(|error| Failure::Run(error.into()))?;
    Ok(aggregation.seal(Slot(FIRST_SLOT + 40).start(), || names.next().unwrap_or_else(|| spare.clone())))
}

/// What all take by default, mWh, by feeder and slot of the day.
fn taken(offers: &[FlexOffer], feeders: u32) -> Vec<[i64; 96]> {
    let mut taken = vec![[0; 96]; feeders as usize];
    for offer in offers {
        let schedule = &offer.default_schedule;
        for (slot, energy) in schedule.slots().zip(&schedule.energies) {
            let place = taken.get_mut(offer.usage_point.0 as usize);
            if let Some(sum) = place.and_then(|day| day.get_mut((slot.0 - FIRST_SLOT) as usize)) {
                *sum += energy.0;
            }
        }
    }
    taken
}

/// Every feeder wants a tenth or so of what is taken in its congested hours left out, other shares each round.
fn need(feeders: u32, taken: &[[i64; 96]], round: i64, issued_at: Timestamp) -> Result<Need, Failure> {
    let (mut bids, mut rows) = (Vec::new(), Vec::new());
    let row = |branch: u32, time: i64, headroom: i64| GridRow {
        congestion_point: CongestionPoint { branch: BranchId(branch), phase: None },
        slot: Slot(FIRST_SLOT + time),
        headroom: EnergyMwh(headroom),
    };
    let all: i64 = taken.iter().flatten().sum();
    for (feeder, day) in (0..feeders).zip(taken) {
        let share = 6 + (i64::from(feeder) * 7 + round * 3) % 9;
        let lacks = |time: i64| day.get(time as usize).copied().unwrap_or(0) * share / 100;
        let interval = |time| BidInterval { schedule_change: EnergyMwh(-lacks(time)), price: Money(400_000) };
        bids.push(DomsBid {
            id: BidId::new(format!("bid-{feeder}")).map_err(|error| Failure::Run(error.into()))?,
            congestion_point: CongestionPoint { branch: BranchId(feeder + 1), phase: None },
            start: Slot(FIRST_SLOT + CONGESTED.start),
            intervals: CONGESTED.map(interval).collect(),
        });
        let most = day.iter().max().copied().unwrap_or(0);
        rows.extend((40..96).map(|time| {
            let headroom = if CONGESTED.contains(&time) { -lacks(time) } else { most / 3 };
            row(feeder + 1, time, headroom)
        }));
    }
    rows.extend((40..96).map(|time| row(0, time, all)));
    let need = Need { issued_at, contracts_seen: 0, bids, rows };
    need.check().map(|()| need).map_err(|error| Failure::Run(error.into()))
}

/// Splits all that was bought; how many members have a schedule.
fn split(
    book: &Book,
    offers: &BTreeMap<&FlexOfferId, &FlexOffer>,
    clearing: &Clearing,
) -> Result<usize, Failure> {
    let mut assigned = 0;
    for bought in &clearing.accepted {
        let Some(aggregate) = book.offers.get(&bought.aggregate) else { continue };
        let members: Vec<FlexOffer> =
            aggregate.members.iter().filter_map(|id| offers.get(id)).map(|offer| (*offer).clone()).collect();
        let parts = disaggregate(aggregate, &members, &bought.schedule);
        assigned += parts.map_err(|error| Failure::Run(error.into()))?.len();
    }
    Ok(assigned)
}

/// For people.
pub fn table(figures: &MarketFigures) -> String {
    format!(
        "market rounds · {} offers in {} aggregates · {} bids · {} rounds\n  \
         summing and sealing, once       {:>10.1} ms\n  \
         round, half of them             {:>10.1} ms\n  \
         round, 99 %                     {:>10.1} ms\n  \
         of which clearing (median)      {:>10.1} ms\n  \
         of which splitting (median)     {:>10.1} ms\n  \
         last round: {} aggregates bought, {} members with a schedule, {:.1} % of the need met, gap {:.2} %",
        figures.offers,
        figures.aggregates,
        figures.bids,
        figures.rounds,
        figures.seal_ms,
        figures.round_ms_p50,
        figures.round_ms_p99,
        figures.clear_ms,
        figures.split_ms,
        figures.bought,
        figures.assigned,
        figures.met_percent,
        figures.gap_percent
    )
}
