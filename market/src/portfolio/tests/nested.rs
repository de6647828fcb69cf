//! Aggregators of aggregators: what the top is assigned is what the devices do.

use super::*;
use grid::{DeviceId, ProsumerId, UsagePointId};

/// One aggregator: its portfolio, and the offers it makes of it, by number.
struct Level {
    portfolio: Portfolio,
    offers: BTreeMap<FlexOfferId, u64>,
}

impl Level {
    fn new(offers: &[FlexOffer]) -> Self {
        let bounds = Bounds { members_max: 5, ..Bounds::default() };
        let mut portfolio = Portfolio::new(wide(), bounds);
        for offer in offers {
            portfolio.insert(offer, ZoneId(1)).unwrap();
        }
        Self { portfolio, offers: BTreeMap::new() }
    }

    fn offer_upwards(&mut self, owner: u32) -> Vec<FlexOffer> {
        let mut made = Vec::new();
        for number in self.portfolio.numbers().collect::<Vec<_>>() {
            let identity = OfferIdentity {
                id: name(&format!("agg-{owner}-{number}")),
                prosumer: ProsumerId(owner),
                usage_point: UsagePointId(1),
                device: DeviceId(owner),
                created_at: instant(-3600),
            };
            let offer = self.portfolio.published(number).unwrap().offer(identity);
            offer.check().unwrap();
            self.offers.insert(offer.id.clone(), number);
            made.push(offer);
        }
        made
    }

    /// Splits a schedule of one of its offers among its members.
    fn pass_on(&self, offer: &FlexOfferId, schedule: &Schedule) -> Vec<(FlexOfferId, Schedule)> {
        let split = self.portfolio.split(self.offers[offer], schedule).unwrap();
        split.schedules().map(|(id, part)| (id.clone(), part)).collect()
    }
}

#[test]
fn what_the_top_is_assigned_is_the_sum_of_what_the_devices_do() {
    for seed in 1..40 {
        let mut dice = Dice(seed * 7_919);
        let mut devices = BTreeMap::new();
        let mut communities = Vec::new();
        let mut offered = Vec::new();
        for community in 0..6_u32 {
            let own: Vec<FlexOffer> =
                (0..9).map(|n| dice.offer(&format!("fo-{community}-{n}"), 5, n % 2 == 0)).collect();
            let mut level = Level::new(&own);
            offered.push(level.offer_upwards(community));
            communities.push(level);
            devices.extend(own.into_iter().map(|offer| (offer.id.clone(), offer)));
        }
        let mut regions: Vec<Level> = offered.chunks(2).map(|offers| Level::new(&offers.concat())).collect();
        let upwards: Vec<FlexOffer> =
            regions.iter_mut().zip(100..).flat_map(|(region, owner)| region.offer_upwards(owner)).collect();
        let top = Level::new(&upwards);

        let (mut assigned, mut done) = (BTreeMap::<Slot, i64>::new(), BTreeMap::<Slot, i64>::new());
        let add = |sums: &mut BTreeMap<Slot, i64>, schedule: &Schedule| {
            for (k, energy) in schedule.energies.iter().enumerate() {
                *sums.entry(schedule.start.plus(k as i64)).or_default() += energy.0;
            }
        };
        let mut ran = 0;
        for number in top.portfolio.numbers() {
            let seen = top.portfolio.published(number).unwrap();
            let schedule = Schedule {
                start: Slot(dice.between(seen.start_after.0, seen.start_before.0)),
                energies: seen.slices.iter().map(|s| EnergyMwh(dice.between(s.min.0, s.max.0))).collect(),
            };
            add(&mut assigned, &schedule);
            for (of_region, part) in top.portfolio.split(number, &schedule).unwrap().schedules() {
                let region = regions.iter().find(|region| region.offers.contains_key(of_region)).unwrap();
                for (of_community, part) in region.pass_on(of_region, &part) {
                    let community =
                        communities.iter().find(|c| c.offers.contains_key(&of_community)).unwrap();
                    for (device, part) in community.pass_on(&of_community, &part) {
                        devices[&device].check_schedule(&part).unwrap();
                        add(&mut done, &part);
                        ran += 1;
                    }
                }
            }
        }
        assert_eq!(assigned, done);
        assert_eq!(ran, devices.len());
    }
}
