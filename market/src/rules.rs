//! The settings of a market area.

use crate::price_clearing::Pricing;
use crate::settlement::SettlementTerms;
use crate::transfer_price::TransferPrices;
use grid::{Money, Slot, Timestamp};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How a market area trades and settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Nothing is bought in a slot that starts sooner than this. Default 60 s.
    pub gate_closure: Duration,
    /// Which offers are sold together.
    pub aggregates: AggregateRules,
    /// What every contract says about its settlement.
    pub settlement: SettlementTerms,
    /// What is gained by less than this is left alone: switching a device has a cost that no offer names. Default 0.
    pub gain_min: Money,
    /// Most aggregated offers in one clearing; more are refused with a reason. Default 10,000.
    pub book_offers_max: usize,
    /// What the use of the grid costs: counted in a clearing on top of what is asked for taking more. Default nothing.
    pub transfer: TransferPrices,
}

/// Which offers are sold together, and how many. With the defaults nothing is lost but the members' freedom to move
/// apart; wider tolerances make fewer aggregates of more offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateRules {
    /// Most members of an aggregate that cannot move in time: its energy is bought in any part. Default 50.
    pub members_max: usize,
    /// Most members of one that can: it moves as a whole, so many members are a lump that no small need pays for.
    /// Default 4.
    pub moving_members_max: usize,
    /// Width of the classes of earliest starts, slots. Members keep their distance. Default 1: all start together.
    pub start_slots: u32,
    /// Width of the classes of time flexibility, slots; an aggregate moves as far as its least flexible member.
    /// Default 1: nothing is lost.
    pub flexibility_slots: u32,
    /// Width of the classes of prices, micro-units per kWh. Members are sold at the dearest one's, so at most this much
    /// above their own. Default 10,000 (0.01 EUR).
    pub price: Money,
    /// How much of the choice that an offer's slices leave may be lost, percent, when its total binds and it is summed;
    /// an offer that would lose more stays alone. Default 0.
    pub loss_percent_max: u32,
}

impl Default for AggregateRules {
    fn default() -> Self {
        Self {
            members_max: 50,
            moving_members_max: 4,
            start_slots: 1,
            flexibility_slots: 1,
            price: Money(10_000),
            loss_percent_max: 0,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            gate_closure: Duration::from_secs(60),
            aggregates: AggregateRules::default(),
            settlement: SettlementTerms::default(),
            gain_min: Money::ZERO,
            book_offers_max: 10_000,
            transfer: TransferPrices::default(),
        }
    }
}

impl Rules {
    /// The first slot that can still be bought at `now`.
    pub fn first_open_slot(&self, now: Timestamp) -> Slot {
        first_slot_from(now.plus(self.gate_closure))
    }
}

/// The first slot that starts at `instant` or later.
pub(crate) fn first_slot_from(instant: Timestamp) -> Slot {
    let slot = instant.slot();
    if slot.start() < instant { slot.plus(1) } else { slot }
}

/// Which clearing this program makes: raised whenever the same book may come out otherwise than before, so that an
/// older journal is not judged by it.
pub const CLEARING_REVISION: u32 = 2;

/// The rules that decide what a clearing buys and what it pays, as a name that stands in every result:
/// `pay-as-bid/2 gate=60 gain=0 book=10000` is the pricing, the revision of the clearing, the gate in seconds, the
/// least gain in micro-units, and how many offers a book holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleSet {
    /// How what was bought is paid.
    pub pricing: Pricing,
    /// Of the clearing.
    pub revision: u32,
    /// Nothing is bought in a slot that starts sooner than this.
    pub gate_closure: Duration,
    /// What is gained by less than this is left alone.
    pub gain_min: Money,
    /// Most aggregated offers in one clearing.
    pub book_offers_max: usize,
}

impl RuleSet {
    /// That of an area.
    pub fn of(rules: &Rules) -> Self {
        Self {
            pricing: rules.settlement.pricing,
            revision: CLEARING_REVISION,
            gate_closure: rules.gate_closure,
            gain_min: rules.gain_min,
            book_offers_max: rules.book_offers_max,
        }
    }

    /// Rules that clear by it; how contracts are settled beyond the pricing is not in it.
    pub fn rules(&self) -> Rules {
        let settlement = SettlementTerms { pricing: self.pricing, ..SettlementTerms::default() };
        Rules {
            gate_closure: self.gate_closure,
            settlement,
            gain_min: self.gain_min,
            book_offers_max: self.book_offers_max,
            ..Rules::default()
        }
    }
}

impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pricing, revision, gate_closure, gain_min, book_offers_max } = self;
        write!(f, "{}/{revision} gate={}", pricing.code(), gate_closure.as_secs())?;
        if gate_closure.subsec_nanos() > 0 {
            write!(f, ".{:09}", gate_closure.subsec_nanos())?;
        }
        write!(f, " gain={} book={book_offers_max}", gain_min.0)
    }
}

/// A rule set that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rule set `{0}` is none that this program knows; one is `pay-as-bid/2 gate=60 gain=0 book=10000`"
)]
pub struct UnknownRuleSet(pub String);

impl FromStr for RuleSet {
    type Err = UnknownRuleSet;

    fn from_str(text: &str) -> Result<Self, UnknownRuleSet> {
        let read = || {
            let mut words = text.split(' ');
            let (pricing, revision) = words.next()?.split_once('/')?;
            let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
            let (gate, gain, book) = (value("gate")?, value("gain")?, value("book")?);
            let (seconds, nanos) = gate.split_once('.').unwrap_or((gate, "0"));
            let nanos = nanos.parse().ok().filter(|nanos: &u32| *nanos < 1_000_000_000)?;
            let set = Self {
                pricing: Pricing::ALL.into_iter().find(|known| known.code() == pricing)?,
                revision: revision.parse().ok()?,
                gate_closure: Duration::new(seconds.parse().ok()?, nanos),
                gain_min: Money(gain.parse().ok()?),
                book_offers_max: book.parse().ok()?,
            };
            // One text for each rule set.
            (set.to_string() == text).then_some(set)
        };
        read().ok_or_else(|| UnknownRuleSet(text.chars().take(120).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_set_is_read_back_from_its_name_and_no_other_text_is_one() {
        let gate_closure = Duration::from_millis(1_500);
        let rules = Rules { gate_closure, gain_min: Money(7), book_offers_max: 9, ..Rules::default() };
        let name = RuleSet::of(&Rules::default()).to_string();
        assert_eq!(name, format!("pay-as-bid/{CLEARING_REVISION} gate=60 gain=0 book=10000"));
        for rules in [Rules::default(), rules] {
            let set = RuleSet::of(&rules);
            assert_eq!(set.to_string().parse(), Ok(set));
            assert_eq!(set.rules(), rules);
        }
        for wrong in [
            "",
            "pay-as-bid",
            "pay-as-bid/1",
            "pay-as-bid/01 gate=60 gain=0 book=1",
            "x/1 gate=60 gain=0 book=1",
            "pay-as-bid/2 gate=60 gain=0 book=1 more",
            "pay-as-bid/1 gate=18446744073709551615.4000000000 gain=0 book=1",
        ] {
            assert!(wrong.parse::<RuleSet>().is_err(), "{wrong}");
        }
    }
}
