//! `[[delegation]]`: what a prosumer gets for delegating its trading.

use super::section::{Located, Section};
use actors::Delegation;
use grid::{EnergyMwh, Money, ProsumerId};
use market::{DelegatedContract, Month};

/// Largest reward, EUR: what a contract may hold.
const REWARD_MAX: f64 = 1e6;
/// Largest mean imbalance of an executed offer when none is written, kWh per slot.
const IMBALANCE_LIMIT: f64 = 0.1;

pub fn delegation(mut section: Section<'_>) -> Option<Located<Delegation>> {
    let prosumer = section.needed("prosumer", |section, key| section.whole(key, u32::MAX));
    let from = section.needed("from", month);
    let mut millionths = |key, default: f64| {
        let value = section.number(key, 0.0..=REWARD_MAX).map_or(default, |value| value.value);
        (value * 1e6).round() as i64
    };
    let mut reward = |key| Money(millionths(key, 0.0));
    let contract = DelegatedContract {
        fixed_reward: reward("fixed_eur"),
        time_flex_reward: reward("time_flex_eur_per_slot"),
        energy_flex_reward: reward("energy_flex_eur_per_kwh"),
        scheduling_fixed_reward: reward("scheduling_eur"),
        scheduling_start_time_reward: reward("start_eur_per_slot"),
        scheduling_energy_reward: reward("energy_eur_per_kwh"),
        imbalance_limit: EnergyMwh(millionths("imbalance_limit_kwh", IMBALANCE_LIMIT)),
    };
    let line = section.line();
    section.finish();
    let value = Delegation { prosumer: ProsumerId(prosumer?.value), from: from?.value, contract };
    Some(Located { value, line })
}

fn month(section: &mut Section<'_>, key: &'static str) -> Option<Located<Month>> {
    let Located { value, line } = section.text(key)?;
    match value.parse() {
        Ok(value) => Some(Located { value, line }),
        Err(_) => {
            let what =
                format!("{value:?} is no month of the years 1970 to 2198; write for example \"2026-12\"");
            section.note(line, key, what);
            None
        }
    }
}
