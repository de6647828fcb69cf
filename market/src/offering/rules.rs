//! The settings of a FlexOffer Agent.

use crate::flex_offer::DeviationPrices;
use grid::Money;
use std::time::Duration;

/// How a FlexOffer Agent makes offers. The prices are placeholders of a plausible order, not market data: a
/// vehicle that leaves full on time loses little, a cooler house is felt, a battery ages and must be refilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferRules {
    /// The market's gate closure before a slot's start. Default 60 s.
    pub gate_closure: Duration,
    /// What the market is given at least to find a use for an offer. Default 60 s.
    pub lead: Duration,
    /// How many slots ahead a charger's offer may reach. Default 96 (a day).
    pub charger_horizon_slots: u32,
    /// A charger asks for each kWh moved, where it leaves. Default 0.05 EUR/kWh less, nothing for more.
    pub charger_prices: DeviationPrices,
    /// Most slots of one battery block. Default 8.
    pub battery_slots_max: u32,
    /// How many slots ahead a battery's offer may reach. Default 24 (six hours).
    pub battery_horizon_slots: u32,
    /// What a battery asks for. Default 0.20 EUR/kWh.
    pub battery_prices: DeviationPrices,
    /// What a heat pump asks for. Default 0.12 EUR/kWh.
    pub heat_pump_prices: DeviationPrices,
}

impl Default for OfferRules {
    fn default() -> Self {
        let both = |price| DeviationPrices { decrease: Money(price), increase: Money(price) };
        Self {
            gate_closure: Duration::from_secs(60),
            lead: Duration::from_secs(60),
            charger_horizon_slots: 96,
            charger_prices: DeviationPrices { decrease: Money(50_000), increase: Money(0) },
            battery_slots_max: 8,
            battery_horizon_slots: 24,
            battery_prices: both(200_000),
            heat_pump_prices: both(120_000),
        }
    }
}
