//! What a device would take without its order, by the method that its contract names: found in the history and frozen before
//! the device is told (`market::baseline`).

use crate::historian::Historian;
use crate::journal::Books;
use crate::weather::Weather;
use grid::{DeviceId, EnergyMwh, Slot, Timestamp};
use market::baseline::{Baseline, BaselineMethod, History, SLOTS_PER_DAY, estimate};
use market::{Assignment, Contract, FlexOffer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How far back it is looked.
const LOOK_BACK: Duration = Duration::from_secs(121 * 86_400);

/// Everything a baseline is made from but the readings.
#[derive(Debug, Clone)]
pub(super) struct Freezing {
    method: BaselineMethod,
    offer: FlexOffer,
    slots: std::ops::Range<Slot>,
    event_days: BTreeSet<i64>,
    now: Timestamp,
}

impl Freezing {
    /// `None` when the contract goes by the declared schedule, or when the baseline is frozen already.
    pub fn needed(
        books: &Books,
        contract: &Contract,
        offer: &FlexOffer,
        part: &Assignment,
        now: Timestamp,
    ) -> Option<Self> {
        let method = contract.terms.baseline;
        let first = part.deviation.first()?.0;
        let is_frozen = books.read(|ledger| ledger.frozen_baseline(&contract.id, &offer.id).is_some());
        if method == BaselineMethod::DeclaredSchedule || is_frozen {
            return None;
        }
        let end = |start: Slot, energies: &[EnergyMwh]| start.plus(energies.len() as i64);
        let default = &offer.default_schedule;
        let last =
            end(default.start, &default.energies).max(end(part.schedule.start, &part.schedule.energies));
        let event_days = other_days(books, offer.device, part);
        Some(Self { method, offer: offer.clone(), slots: first..last, event_days, now })
    }

    /// Looks the readings up and estimates; blocks.
    ///
    /// # Errors
    /// Why there is no such baseline, in words.
    pub fn find(self, historian: Option<&Historian>, weather: Option<&Weather>) -> Result<Baseline, String> {
        let historian = historian.ok_or("no history is kept here")?;
        let since = self.now.minus(LOOK_BACK);
        let metered = historian.metered(self.offer.device, since, self.now);
        let metered = metered.map_err(|error| error.to_string())?;
        let temperature = match self.method {
            BaselineMethod::WeatherRegression { .. } => {
                let weather = weather.ok_or("no temperatures are kept here")?;
                weather.temperature(since.slot()..self.slots.end)
            }
            _ => BTreeMap::new(),
        };
        let history = History { metered, event_days: self.event_days, temperature };
        let found = estimate(self.method, &self.offer, self.slots, &history, self.now);
        found.map_err(|error| error.to_string())
    }
}

/// UTC days on which something else than this part was ordered from a device.
fn other_days(books: &Books, device: DeviceId, part: &Assignment) -> BTreeSet<i64> {
    let own =
        |slot: Slot| part.deviation.iter().find(|(at, _)| *at == slot).map_or(0, |(_, energy)| energy.0);
    books.read(|ledger| {
        let ordered = ledger.contracted_from(device).iter();
        let others = ordered.filter(|(slot, energy)| energy.0 != own(*slot));
        others.map(|(slot, _)| slot.0.div_euclid(SLOTS_PER_DAY)).collect()
    })
}
