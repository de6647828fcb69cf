//! Delegated trading: the aggregator is the party on the market and rewards the prosumer by a contract of their own,
//! by the month (GOFLEX, requirement G84; `MARKET.md` §1.6 of the design notes has the terms).
//!
//! | reward | for |
//! |---|---|
//! | fixed | the month |
//! | time flexibility | each slot between latest and earliest start, of each offer |
//! | energy flexibility | each kWh between upper and lower bounds, of each offer |
//! | scheduling, fixed | each activation of a schedule other than the default |
//! | scheduling, start | each slot by which such a schedule starts elsewhere |
//! | scheduling, energy | each kWh by which its slices differ from the default's, slice by slice |
//!
//! The three rewards for scheduling are due for an offer that was *executed*: its device accepted the order, every
//! ordered slot was measured, and the mean imbalance per measured slot, |metered − scheduled|, is at most the limit.
//! One offer that was not executed forfeits its own rewards for scheduling and nothing else, and is not counted as
//! executed. Imbalances add up over the month. (The published implementation counts the failed ones as executed, keeps
//! only the last imbalance, and lets one imbalance forfeit the whole month.)
//!
//! An offer belongs to the UTC month in which its default schedule starts.

mod bill;
mod month;
#[cfg(test)]
mod tests;

pub use bill::{BillError, BillLine, Billed, MonthlyBill, Reward, monthly_bill};
pub use month::{Month, MonthError};

use grid::{EnergyMwh, Money};
use serde::{Deserialize, Serialize};

/// What an aggregator owes a prosumer for delegating. All amounts are at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegatedContract {
    /// Per month, micro-units.
    pub fixed_reward: Money,
    /// Per slot of time flexibility, micro-units.
    pub time_flex_reward: Money,
    /// Per kWh of energy flexibility, micro-units.
    pub energy_flex_reward: Money,
    /// Per activation of a schedule other than the default, micro-units.
    pub scheduling_fixed_reward: Money,
    /// Per slot of another start, micro-units.
    pub scheduling_start_time_reward: Money,
    /// Per kWh of other energies, micro-units.
    pub scheduling_energy_reward: Money,
    /// Largest mean imbalance per slot of an executed offer, mWh.
    pub imbalance_limit: EnergyMwh,
}

/// Largest reward rate, micro-units.
const REWARD_MAX: i64 = 1_000_000_000_000;

impl DelegatedContract {
    /// The first term that is negative or too large to be meant.
    pub fn fault(&self) -> Option<&'static str> {
        let terms = [
            ("the fixed reward", self.fixed_reward.0),
            ("the reward for time flexibility", self.time_flex_reward.0),
            ("the reward for energy flexibility", self.energy_flex_reward.0),
            ("the fixed reward for scheduling", self.scheduling_fixed_reward.0),
            ("the reward for another start", self.scheduling_start_time_reward.0),
            ("the reward for other energies", self.scheduling_energy_reward.0),
            ("the limit of imbalance", self.imbalance_limit.0),
        ];
        terms.into_iter().find(|(_, value)| !(0..=REWARD_MAX).contains(value)).map(|(name, _)| name)
    }
}
