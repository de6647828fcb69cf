//! What is bought and paid for is an integer, so that clearing and settlement conserve exactly.
//!
//! Physical quantities elsewhere are `f64` with the unit in the name (`p_w`, `u_v`, `i_a`).

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Why a number could not become a market quantity.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum QuantityError {
    /// NaN or infinite.
    #[error("{what} is {value}, a finite number is needed")]
    NotFinite {
        /// Which quantity.
        what: &'static str,
        /// As given.
        value: f64,
    },
    /// Too large to be meant.
    #[error("{what} is {value:e} {unit}, at most {limit:e} {unit} is accepted")]
    OutOfRange {
        /// Which quantity.
        what: &'static str,
        /// As given.
        value: f64,
        /// Its unit.
        unit: &'static str,
        /// The largest magnitude accepted.
        limit: f64,
    },
}

/// The largest energy the market accepts in one value: 1 TWh in Wh.
const WATT_HOURS_MAX: f64 = 1e12;

macro_rules! integer_quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        $crate::packed!(struct $name(0));

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);

            /// The magnitude.
            pub const fn abs(self) -> Self {
                Self(self.0.saturating_abs())
            }
        }

        impl std::ops::Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl std::ops::Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl std::ops::Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl std::ops::SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
                values.fold(Self::ZERO, |sum, value| sum + value)
            }
        }
    };
}

integer_quantity!(
    /// Energy in milliwatt hours, positive when taken from the grid. ±9·10¹⁵ Wh fit.
    EnergyMwh
);

integer_quantity!(
    /// Money in micro-units of the market's currency (1 EUR = 1,000,000).
    Money
);

impl EnergyMwh {
    /// From watt hours, rounded to the nearest milliwatt hour.
    pub fn from_watt_hours(value: f64) -> Result<Self, QuantityError> {
        if !value.is_finite() {
            return Err(QuantityError::NotFinite { what: "energy", value });
        }
        if value.abs() > WATT_HOURS_MAX {
            return Err(QuantityError::OutOfRange {
                what: "energy",
                value,
                unit: "Wh",
                limit: WATT_HOURS_MAX,
            });
        }
        Ok(Self((value * 1e3).round() as i64))
    }

    /// In watt hours.
    pub fn watt_hours(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// In kilowatt hours.
    pub fn kilowatt_hours(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// What this energy costs at a price in micro-units per kilowatt hour, rounded half away from zero.
    /// Saturates instead of overflowing.
    pub fn cost(self, price_per_kwh: Money) -> Money {
        let product = i128::from(self.0) * i128::from(price_per_kwh.0);
        let half = if product < 0 { -500_000 } else { 500_000 };
        let rounded = (product + half) / 1_000_000;
        Money(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl fmt::Display for EnergyMwh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} kWh", self.kilowatt_hours())
    }
}

impl Money {
    /// Micro-units in one unit of currency.
    pub const MICROS: i64 = 1_000_000;

    /// From units of the currency (for configuration files), rounded to micro-units.
    pub fn from_units(value: f64) -> Result<Self, QuantityError> {
        if !value.is_finite() {
            return Err(QuantityError::NotFinite { what: "money", value });
        }
        if value.abs() > 1e12 {
            return Err(QuantityError::OutOfRange { what: "money", value, unit: "EUR", limit: 1e12 });
        }
        Ok(Self((value * 1e6).round() as i64))
    }

    /// In units of the currency.
    pub fn units(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} EUR", self.units())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_rounds_half_away_from_zero() {
        assert_eq!(EnergyMwh(1_000_000).cost(Money(250_000)), Money(250_000));
        assert_eq!(EnergyMwh(500_000).cost(Money(1)), Money(1));
        assert_eq!(EnergyMwh(-500_000).cost(Money(1)), Money(-1));
        assert_eq!(EnergyMwh(499_999).cost(Money(1)), Money(0));
        assert_eq!(EnergyMwh(i64::MAX).cost(Money(i64::MAX)), Money(i64::MAX));
    }

    #[test]
    fn rubbish_does_not_become_energy() {
        for bad in [f64::NAN, f64::INFINITY, 1e308, -1e13] {
            assert!(EnergyMwh::from_watt_hours(bad).is_err());
        }
        assert_eq!(EnergyMwh::from_watt_hours(0.0005).unwrap(), EnergyMwh(1));
    }
}
