//! Every schedule an aggregate can keep is split exactly, and every other one is answered with the slices that
//! forbid it.

use super::*;

/// Some schedule of an offer, moved by `shift`; it is repaired towards its total from one end or the other.
fn any_schedule(dice: &mut Dice, offer: &FlexOffer, shift: i64) -> Schedule {
    let pick = |dice: &mut Dice, slice: &EnergyBounds| dice.between(slice.min.0, slice.max.0);
    let mut values: Vec<i64> = offer.slices.iter().map(|slice| pick(dice, slice)).collect();
    if let Some(total) = offer.total_energy {
        for k in 0..values.len() {
            let sum: i64 = values.iter().sum();
            let slice = offer.slices[k];
            let wanted = values[k] + (total.min.0 - sum).max(0) - (sum - total.max.0).max(0);
            values[k] = wanted.clamp(slice.min.0, slice.max.0);
        }
    }
    Schedule { start: offer.start_after.plus(shift), energies: energies(&values) }
}

fn portfolio_of(offers: &[FlexOffer]) -> Portfolio {
    let mut portfolio = Portfolio::new(wide(), Bounds::default());
    for offer in offers {
        portfolio.insert(offer, ZoneId(1)).unwrap();
    }
    portfolio
}

/// Checks a split by the rules of the offers alone. Returns the number of members.
fn assert_exact(offers: &[FlexOffer], schedule: &Schedule, split: &Split<'_>) -> usize {
    let mut sums = BTreeMap::<Slot, i64>::new();
    for (id, part) in split.schedules() {
        let offer = offers.iter().find(|offer| offer.id == *id).unwrap();
        offer.check_schedule(&part).unwrap();
        for (k, energy) in part.energies.iter().enumerate() {
            *sums.entry(part.start.plus(k as i64)).or_default() += energy.0;
        }
    }
    let asked = schedule.energies.iter().enumerate();
    for (k, energy) in asked {
        assert_eq!(sums.remove(&schedule.start.plus(k as i64)).unwrap_or_default(), energy.0);
    }
    assert!(sums.is_empty());
    split.len()
}

/// One portfolio and three schedules for each of its aggregates: the sum of some members' schedules, a filling of
/// the safe bounds, and any filling of the outer bounds. Returns how many schedules were tried, and how many of the
/// last kind could be split.
fn case(dice: &mut Dice, with_totals: bool) -> (usize, usize) {
    let count = dice.between(1, 7);
    let offers: Vec<FlexOffer> = (0..count)
        .map(|n| {
            let bound = with_totals && dice.between(0, 3) > 0;
            dice.offer(&format!("fo-{n}"), 5, bound)
        })
        .collect();
    let portfolio = portfolio_of(&offers);
    let (mut tried, mut attainable) = (0, 0);
    for number in portfolio.numbers() {
        let seen = portfolio.published(number).unwrap();
        let shift = dice.between(0, seen.start_before.0 - seen.start_after.0);
        let start = seen.start_after.plus(shift);
        let mut sum = vec![0_i64; seen.slices.len()];
        for offer in offers.iter().filter(|offer| portfolio.aggregate_of(&offer.id) == Some(number)) {
            let schedule = any_schedule(dice, offer, shift);
            let offset = (schedule.start.0 - start.0) as usize;
            schedule.energies.iter().enumerate().for_each(|(k, energy)| sum[offset + k] += energy.0);
        }
        let mut fill = |slices: &[EnergyBounds]| -> Vec<i64> {
            slices.iter().map(|slice| dice.between(slice.min.0, slice.max.0)).collect()
        };
        for possible in [sum, fill(&seen.slices)] {
            let schedule = Schedule { start, energies: energies(&possible) };
            let split = portfolio.split(number, &schedule).unwrap();
            assert_exact(&offers, &schedule, &split);
        }
        let schedule = Schedule { start, energies: energies(&fill(&seen.outer_slices)) };
        match portfolio.split(number, &schedule) {
            Ok(split) => {
                assert_exact(&offers, &schedule, &split);
                attainable += 1;
            }
            Err(SplitError::Unattainable { asked, least, most, .. }) => {
                assert!(asked < least || asked > most)
            }
            Err(error) => panic!("{error}"),
        }
        tried += 3;
    }
    (tried, attainable)
}

fn cases(seed: u64, least: usize) {
    let mut dice = Dice(seed);
    let (mut tried, mut attainable, mut round) = (0, 0, 0_usize);
    while tried < least {
        let (more, split) = case(&mut dice, round % 4 > 0);
        (tried, attainable, round) = (tried + more, attainable + split, round + 1);
    }
    assert!(attainable > tried / 20 && attainable < tried / 3, "{attainable} of {tried}");
}

#[test]
fn every_attainable_schedule_is_split_exactly() {
    cases(0x1234_5678_9abc_def1, 20_000);
}

#[test]
#[ignore = "a million cases"]
fn every_attainable_schedule_is_split_exactly_a_million_times() {
    cases(0xfeed_beef_cafe_0001, 1_000_000);
}

#[test]
fn the_default_splits_into_the_defaults_and_nobody_deviates_against_the_order() {
    let mut dice = Dice(5);
    for round in 0..300 {
        let offers: Vec<FlexOffer> =
            (0..5).map(|n| dice.offer(&format!("fo-{n}"), 4, round % 2 == 0)).collect();
        let portfolio = portfolio_of(&offers);
        for number in portfolio.numbers() {
            let seen = portfolio.published(number).unwrap();
            let split = portfolio.split(number, &seen.default_schedule).unwrap();
            for (id, part) in split.schedules() {
                let offer = offers.iter().find(|offer| offer.id == *id).unwrap();
                assert_eq!(part, offer.default_schedule);
            }
            if seen.total_energy.is_some() {
                continue;
            }
            let less = seen.slices.iter().map(|slice| slice.min.0).collect::<Vec<_>>();
            let schedule = Schedule { start: seen.default_schedule.start, energies: energies(&less) };
            for (id, part) in portfolio.split(number, &schedule).unwrap().schedules() {
                let offer = offers.iter().find(|offer| offer.id == *id).unwrap();
                assert!(offer.deviation(&part).iter().all(|(_, energy)| energy.0 <= 0));
            }
        }
    }
}

#[test]
fn a_schedule_that_is_none_is_refused_with_a_code() {
    let mut bound = offer("fo-1");
    bound.total_energy = Some(EnergyBounds { min: EnergyMwh(1_500), max: EnergyMwh(2_000) });
    let portfolio = portfolio_of(&[bound]);
    let code = |number: u64, start: i64, values: &[i64]| {
        let schedule = Schedule { start: slot(start), energies: energies(values) };
        portfolio.split(number, &schedule).map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(code(1, 0, &[700, 800]), "ok");
    assert_eq!(code(9, 0, &[700, 800]), "unknown-aggregate");
    assert_eq!(code(1, 0, &[700]), "schedule-length");
    assert_eq!(code(1, 3, &[700, 800]), "schedule-start");
    assert_eq!(code(1, i64::MIN, &[700, 800]), "schedule-start");
    assert_eq!(code(1, 0, &[700, 799]), "schedule-unattainable");
    assert_eq!(code(1, 0, &[i64::MAX, i64::MIN]), "schedule-unattainable");
    let schedule = Schedule { start: slot(0), energies: energies(&[700, 799]) };
    let error = portfolio.split(1, &schedule).unwrap_err().to_string();
    assert_eq!(
        error,
        "slices [0, 1] of aggregate 1 ask for 0.001 kWh together, its members can take 0.002 kWh to 0.002 kWh there"
    );
}
