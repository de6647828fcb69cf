//! Somebody outside who trades by the door that HTTP hands offers to: offers, changes and takes back, and asks again until there
//! is an answer. Its device hangs on no wire, so its orders are refused by the field.

use crate::disk::Random;
use crate::plan::share;
use crate::wire::Wire;
use actors::market_side::OfferAnswer;
use actors::picture::DeviceKind;
use actors::{Area, Device, OfferDoor};
use grid::{Clock, DeviceId, EnergyMwh, Money, ProsumerId};
use market::{DeviationPrices, FlexOffer, FlexOfferId, Ledger, OfferStatus, Schedule, Slice, Terms};
use std::collections::BTreeMap;
use std::time::Duration;

/// Its device, which the plant does not know.
pub const DEVICE: DeviceId = DeviceId(90_001);
const PROSUMER: ProsumerId = ProsumerId(90_001);
/// What its device takes at most, W.
const P_MAX_W: f64 = 4_000.0;
/// How long it waits before it asks the same again.
const AGAIN: Duration = Duration::from_secs(20);

/// What it was told of its offers.
#[derive(Debug, Default)]
pub struct Told {
    /// What each says by the newest answer, while no change of it was asked for that was not answered.
    offers: BTreeMap<FlexOfferId, Answered>,
    /// How many answers there were.
    pub answers: u64,
}

#[derive(Debug, Clone)]
struct Answered {
    prices: DeviationPrices,
    /// A change was asked for and not answered yet.
    unsure: bool,
    withdrawn: bool,
}

impl Told {
    /// What a ledger says otherwise than it was answered.
    pub fn wrong(&self, ledger: &Ledger) -> Vec<String> {
        let wrong = self.offers.iter().filter_map(|(id, answered)| {
            let Some((offer, status)) = ledger.offer(id) else {
                return Some(format!("{id} was accepted and is lost"));
            };
            if answered.withdrawn && status != OfferStatus::Withdrawn {
                return Some(format!("{id} was taken back and is {status:?}"));
            }
            let same = answered.unsure || offer.prices == answered.prices;
            (!same).then(|| format!("{id} says {:?}, {:?} was accepted", offer.prices, answered.prices))
        });
        wrong.collect()
    }
}

/// The area with its device.
pub fn joined(area: &Area) -> Area {
    let mut devices: Vec<Device> = area.devices.values().copied().collect();
    let usage_point = area.zone_of.keys().copied().next_back().expect("a home");
    let (id, kind, p_max_w) = (DEVICE, DeviceKind::Battery, P_MAX_W);
    devices.push(Device { id, prosumer: PROSUMER, usage_point, kind, p_max_w });
    let rules = (area.rules.clone(), area.offer_rules.clone(), area.dso);
    Area::new(area.name.clone(), area.feeder.clone(), devices, rules).expect("an area")
}

/// The party.
pub struct Party {
    wire: Wire,
    area: std::sync::Arc<Area>,
    clock: std::sync::Arc<dyn Clock>,
    random: Random,
}

/// What is asked for.
#[derive(Clone)]
enum Ask {
    Submit(FlexOffer),
    Change(FlexOffer),
    Withdraw(FlexOfferId),
}

impl Party {
    /// One that trades as long as the wires are there.
    pub fn new(wire: Wire, area: std::sync::Arc<Area>, clock: std::sync::Arc<dyn Clock>, seed: u64) -> Self {
        Self { wire, area, clock, random: Random(seed ^ 0x70_6172_7479) }
    }

    /// Offers something every few minutes, and sometimes thinks better of it, at any moment.
    pub async fn trade(mut self) {
        for number in 1_u32.. {
            self.pause(420).await;
            let offer = self.offer(number);
            let id = offer.id.clone();
            if !self.insist(Ask::Submit(offer.clone())).await {
                continue;
            }
            let mut offer = offer;
            for _ in 0..self.random.below(3) {
                self.pause(90).await;
                offer.prices.decrease = Money(50_000 + self.random.below(200_000) as i64);
                self.insist(Ask::Change(offer.clone())).await;
            }
            if self.random.below(2) == 0 {
                self.pause(150).await;
                self.insist(Ask::Withdraw(id)).await;
            }
        }
    }

    /// As often as not until the moment in which the market's rounds and bundles are made.
    async fn pause(&mut self, most: usize) {
        let seconds = self.random.below(most) as u64;
        let exact = if self.random.below(2) == 0 { 0.0 } else { share(&mut self.random) };
        tokio::time::sleep(Duration::from_secs(seconds) + Duration::from_secs_f64(exact)).await;
    }

    fn offer(&mut self, number: u32) -> FlexOffer {
        let now = self.clock.now();
        let start = now.plus(Duration::from_secs(60 * (3 + self.random.below(60)) as u64)).slot().plus(1);
        let energy = EnergyMwh(1_000 * (100 + self.random.below(800)) as i64);
        let slots = 1 + self.random.below(4);
        let deadline = start.start().minus(Duration::from_secs(60));
        let device = &self.area.devices[&DEVICE];
        let price = Money(50_000 + self.random.below(200_000) as i64);
        FlexOffer {
            id: FlexOfferId::new(format!("party-{number}")).expect("a name"),
            prosumer: device.prosumer,
            usage_point: device.usage_point,
            device: device.id,
            created_at: now,
            acceptance_before: deadline,
            assignment_before: deadline,
            start_after: start,
            start_before: start.plus(self.random.below(8) as i64),
            slices: vec![Slice { min: EnergyMwh::ZERO, max: energy }; slots],
            total_energy: None,
            default_schedule: Schedule { start, energies: vec![energy; slots] },
            prices: DeviationPrices { decrease: price, increase: Money(0) },
            terms: Terms::default(),
        }
    }

    /// Asks until there is an answer; whether it was yes.
    async fn insist(&self, ask: Ask) -> bool {
        loop {
            let answer = match self.wire.door() {
                Some((life, door)) => {
                    self.note_asked(&ask);
                    let answer = asked(&door, ask.clone()).await;
                    // What a system says that is cut off is heard by nobody.
                    answer.filter(|_| self.wire.door().is_some_and(|(now, _)| now == life))
                }
                None => None,
            };
            match answer {
                Some(OfferAnswer::Refused { code, .. })
                    if ["journal_full", "being-recorded"].contains(&code) => {}
                Some(answer) => {
                    let yes = matches!(answer, OfferAnswer::Accepted | OfferAnswer::AlreadyKnown);
                    self.note_answered(&ask, yes);
                    return yes;
                }
                None => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn note_asked(&self, ask: &Ask) {
        let Ask::Change(offer) = ask else { return };
        self.wire.note_party(|told| {
            if let Some(known) = told.offers.get_mut(&offer.id) {
                known.unsure = true;
            }
        });
    }

    fn note_answered(&self, ask: &Ask, yes: bool) {
        self.wire.note_party(|told| {
            told.answers += 1;
            match ask {
                Ask::Submit(offer) if yes => {
                    let known = Answered { prices: offer.prices, unsure: false, withdrawn: false };
                    told.offers.insert(offer.id.clone(), known);
                }
                // A change that was asked for twice may have been made the first time, and be refused now.
                Ask::Change(offer) if yes => {
                    if let Some(known) = told.offers.get_mut(&offer.id) {
                        (known.prices, known.unsure) = (offer.prices, false);
                    }
                }
                Ask::Withdraw(id) if yes => {
                    if let Some(known) = told.offers.get_mut(id) {
                        known.withdrawn = true;
                    }
                }
                _ => {}
            }
        });
    }
}

async fn asked(door: &OfferDoor, ask: Ask) -> Option<OfferAnswer> {
    match ask {
        Ask::Submit(offer) => door.submit(offer).await,
        Ask::Change(offer) => door.change(offer).await,
        Ask::Withdraw(id) => door.withdraw(id).await,
    }
}
