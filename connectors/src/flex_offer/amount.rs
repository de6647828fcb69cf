//! Foreign numbers as market quantities: unit and sign of one message.

use super::fault::{ReadError, ReadFault, shown};
use super::field::{Fields, Path, items, number};
use grid::{EnergyMwh, Money};
use market::EnergyBounds;
use serde_json::Value;

/// Largest energy in one value, kWh (1 TWh).
pub(crate) const ENERGY_MAX_KWH: u64 = 1_000_000_000;
/// Largest price, currency units per kWh or once.
const PRICE_MAX: u64 = 1000;

/// How a message writes energies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    /// mWh per unit of the message, negative when positive is fed into the grid.
    mwh_per_unit: f64,
    /// Whether a number that is no whole mWh or micro-unit is refused instead of rounded.
    exact: bool,
}

impl Scale {
    /// kWh, positive is taken from the grid.
    pub(crate) const KWH_TAKEN: Self = Self { mwh_per_unit: 1e6, exact: false };

    /// From the unit an offer names (kWh when it names none) and the spelling of its bounds: `lower`/`upper` count
    /// what is taken, `lowerBound`/`upperBound` what is fed in (FlexOffer specification, chapters 2 and 1).
    pub(crate) fn of(fields: &Fields<'_>, fed_in: bool) -> Result<Self, ReadError> {
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
        Ok(Self { mwh_per_unit: if fed_in { -mwh_per_unit } else { mwh_per_unit }, exact: false })
    }

    /// The same, refusing what would have to be rounded.
    pub(crate) fn exactly(self) -> Self {
        Self { exact: true, ..self }
    }

    /// Whether what would have to be rounded is refused.
    pub(crate) fn exact(self) -> bool {
        self.exact
    }

    /// Whether positive energies of the message are fed into the grid.
    pub(crate) fn fed_in(self) -> bool {
        self.mwh_per_unit < 0.0
    }

    /// An energy in mWh: rounded to the nearest, or exactly.
    pub(crate) fn energy(self, value: &Value, path: &Path<'_>) -> Result<EnergyMwh, ReadError> {
        let limit = ENERGY_MAX_KWH as f64 * 1e6 / self.mwh_per_unit.abs();
        let amount = number(value, limit as u64, path)?;
        Ok(EnergyMwh(whole(amount * self.mwh_per_unit, self.exact, value, path)?))
    }

    /// Bounds from their two ends, which change places with the sign.
    pub(crate) fn bounds(self, lower: EnergyMwh, upper: EnergyMwh) -> EnergyBounds {
        match self.fed_in() {
            true => EnergyBounds { min: upper, max: lower },
            false => EnergyBounds { min: lower, max: upper },
        }
    }

    /// A pair of bounds such as a total; either spelling, also as a list of one.
    pub(crate) fn pair(self, value: &Value, path: &Path<'_>) -> Result<EnergyBounds, ReadError> {
        let first = items(value).first().copied().unwrap_or(value);
        let fields = Fields::of(first, path)?;
        let other = if self.fed_in() { ["lower", "upper"] } else { ["lowerBound", "upperBound"] };
        if fields.get(&other).is_some() {
            return Err(path.refuse(ReadFault::MixedSigns));
        }
        let end = |names: &[&str; 2]| match fields.entry(names) {
            Some((key, value)) => self.energy(value, &Path::Key(path, key)),
            None => Err(path.missing(names[0])),
        };
        Ok(self.bounds(end(&["lower", "lowerBound"])?, end(&["upper", "upperBound"])?))
    }
}

/// Money in micro-units, from currency units.
pub(crate) fn money(fields: &Fields<'_>, names: &[&str]) -> Result<Option<Money>, ReadError> {
    Ok(fields.number(names, PRICE_MAX)?.map(micro_units))
}

/// The same up to a limit, refusing what is no whole micro-unit.
pub(crate) fn exact_money(
    fields: &Fields<'_>,
    names: &[&str],
    limit: u64,
) -> Result<Option<Money>, ReadError> {
    let Some((key, value)) = fields.entry(names) else { return Ok(None) };
    let path = Path::Key(fields.path, key);
    let amount = number(value, limit, &path)?;
    Ok(Some(Money(whole(amount * 1e6, true, value, &path)?)))
}

/// A list's worth of prices or one for all.
pub(crate) fn prices(value: &Value, exact: bool, path: &Path<'_>) -> Result<Vec<Money>, ReadError> {
    let price = |value: &Value| -> Result<Money, ReadError> {
        Ok(Money(whole(number(value, PRICE_MAX, path)? * 1e6, exact, value, path)?))
    };
    match value {
        Value::Array(list) => list.iter().map(price).collect(),
        one => Ok(vec![price(one)?]),
    }
}

fn micro_units(amount: f64) -> Money {
    Money((amount * 1e6).round() as i64)
}

/// The nearest whole number; when it has to be exact, more than six decimals of a kWh or currency unit are refused.
fn whole(amount: f64, exact: bool, value: &Value, path: &Path<'_>) -> Result<i64, ReadError> {
    match exactly_whole(amount) {
        Some(whole) => Ok(whole),
        None if exact => Err(path.refuse(ReadFault::NotWhole { text: shown(&value.to_string()) })),
        None => Ok(amount.round() as i64),
    }
}

/// A number of mWh or micro-units that is whole but for what the nearest f64 to a number of six decimals leaves.
pub(crate) fn exactly_whole(amount: f64) -> Option<i64> {
    let nearest = amount.round();
    ((amount - nearest).abs() <= 1e-3_f64.max(amount.abs() * 1e-14)).then_some(nearest as i64)
}
