//! Foreign numbers as market quantities: unit and sign of one message.

use super::fault::{ReadError, ReadFault, shown};
use super::field::{Fields, Path, items, number};
use grid::{EnergyMwh, Money};
use market::EnergyBounds;
use serde_json::Value;

/// Largest energy in one value, kWh (1 TWh).
const ENERGY_MAX_KWH: u64 = 1_000_000_000;
/// Largest price, currency units per kWh or once.
const PRICE_MAX: u64 = 1000;

/// How a message writes energies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// mWh per unit of the message, negative when positive is fed into the grid.
    mwh_per_unit: f64,
}

impl Scale {
    /// kWh, positive is taken from the grid.
    pub(super) const KWH_TAKEN: Self = Self { mwh_per_unit: 1e6 };

    /// From the unit an offer names (kWh when it names none) and the spelling of its bounds: `lower`/`upper` count
    /// what is taken, `lowerBound`/`upperBound` what is fed in (FlexOffer specification, chapters 2 and 1).
    pub(super) fn of(fields: &Fields<'_>, fed_in: bool) -> Result<Self, ReadError> {
        let refuse = |key: &str, text: &str, known| {
            Path::Key(fields.path, key).refuse(ReadFault::Word { text: shown(text), known })
        };
        let kind = fields.text(&["flexOfferProfilType", "flexOfferProfileType", "flexOfferType"])?;
        if let Some(kind) = kind
            && !kind.eq_ignore_ascii_case("activeEnergy")
        {
            return Err(refuse("flexOfferProfilType", &kind, "activeEnergy"));
        }
        let multiplier = match fields.text(&["multiplier"])?.as_deref() {
            None => None,
            Some("1" | "1.0") => Some(1e3),
            Some("k") => Some(1e6),
            Some("M") => Some(1e9),
            Some(other) => return Err(refuse("multiplier", other, "k, 1, M")),
        };
        let mwh_per_unit = match fields.text(&["unit", "energyUnit"])?.as_deref() {
            None => multiplier.unwrap_or(1e6),
            Some("Wh") => multiplier.unwrap_or(1e3),
            Some("kWh") => 1e6,
            Some("MWh") => 1e9,
            Some(other) => return Err(refuse("unit", other, "Wh, kWh, MWh")),
        };
        Ok(Self { mwh_per_unit: if fed_in { -mwh_per_unit } else { mwh_per_unit } })
    }

    /// Whether positive energies of the message are fed into the grid.
    pub(super) fn fed_in(self) -> bool {
        self.mwh_per_unit < 0.0
    }

    /// An energy, rounded to the nearest mWh.
    pub(super) fn energy(self, value: &Value, path: &Path<'_>) -> Result<EnergyMwh, ReadError> {
        let limit = ENERGY_MAX_KWH as f64 * 1e6 / self.mwh_per_unit.abs();
        let amount = number(value, limit as u64, path)?;
        Ok(EnergyMwh((amount * self.mwh_per_unit).round() as i64))
    }

    /// Bounds from their two ends, which change places with the sign.
    pub(super) fn bounds(self, lower: EnergyMwh, upper: EnergyMwh) -> EnergyBounds {
        match self.fed_in() {
            true => EnergyBounds { min: upper, max: lower },
            false => EnergyBounds { min: lower, max: upper },
        }
    }

    /// A pair of bounds such as a total; either spelling, also as a list of one.
    pub(super) fn pair(self, value: &Value, path: &Path<'_>) -> Result<EnergyBounds, ReadError> {
        let first = items(value).first().copied().unwrap_or(value);
        let fields = Fields::of(first, path)?;
        let end = |names: &[&str; 2]| match fields.entry(names) {
            Some((key, value)) => self.energy(value, &Path::Key(path, key)),
            None => Err(path.missing(names[0])),
        };
        Ok(self.bounds(end(&["lower", "lowerBound"])?, end(&["upper", "upperBound"])?))
    }
}

/// Money in micro-units, from currency units.
pub(super) fn money(fields: &Fields<'_>, names: &[&str]) -> Result<Option<Money>, ReadError> {
    Ok(fields.number(names, PRICE_MAX)?.map(micro_units))
}

/// A list's worth of prices or one for all.
pub(super) fn prices(value: &Value, path: &Path<'_>) -> Result<Vec<Money>, ReadError> {
    match value {
        Value::Array(list) => {
            list.iter().map(|item| number(item, PRICE_MAX, path).map(micro_units)).collect()
        }
        one => Ok(vec![micro_units(number(one, PRICE_MAX, path)?)]),
    }
}

fn micro_units(amount: f64) -> Money {
    Money((amount * 1e6).round() as i64)
}
