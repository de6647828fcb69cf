//! One row: its values by column, each asked for by type. Missing values are NaN in the store and `None` outside.

use super::columns::Component;
use super::error::ReadError;
use grid::network::{Tap, TransformerSide, Winding};

type Result<T> = std::result::Result<T, ReadError>;

/// The values of one row: up to three per column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) component: Component,
    /// Counted from 1.
    pub(super) number: usize,
    /// Bit k: column k is given, possibly as null.
    pub(super) given: u64,
    pub(super) values: &'a [[f64; 3]],
}

impl Row<'_> {
    /// Its id; checked before a row is handed out in an input, may be missing in an update.
    pub(super) fn id(&self) -> u32 {
        self.reference_or_none(0).unwrap_or(0)
    }

    fn reference_or_none(&self, column: usize) -> Option<u32> {
        let value = self.values[column][0];
        // Ids were checked to be whole numbers between 0 and i32::MAX.
        (!value.is_nan()).then_some(value as u32)
    }

    pub(super) fn optional_id(&self) -> Option<u32> {
        self.reference_or_none(0)
    }

    pub(super) fn wrong(&self, column: usize, reason: impl Into<String>) -> ReadError {
        ReadError::Attribute {
            component: self.component.name(),
            id: self.id(),
            attribute: self.component.columns()[column].name.trim_start_matches("r#").to_owned(),
            reason: reason.into(),
        }
    }

    /// A number, which may be infinite.
    pub(super) fn optional(&self, column: usize) -> Option<f64> {
        let value = self.values[column][0];
        (!value.is_nan()).then_some(value)
    }

    /// A finite number, or power-grid-model's default.
    pub(super) fn or(&self, column: usize, default: f64) -> Result<f64> {
        match self.optional(column) {
            None => Ok(default),
            Some(value) if value.is_finite() => Ok(value),
            Some(value) => Err(self.wrong(column, format!("is {value}, a finite number is needed"))),
        }
    }

    /// A finite number that has to be there.
    pub(super) fn number(&self, column: usize) -> Result<f64> {
        if self.optional(column).is_none() {
            return Err(self.wrong(column, "is missing"));
        }
        self.or(column, 0.0)
    }

    /// A finite number that an update can still give; NaN until then.
    pub(super) fn later(&self, column: usize) -> Result<f64> {
        self.or(column, f64::NAN)
    }

    /// One value per phase, each possibly NaN.
    pub(super) fn phases(&self, column: usize) -> [f64; 3] {
        self.values[column]
    }

    /// The id of another component.
    pub(super) fn reference(&self, column: usize) -> Result<u32> {
        self.reference_or_none(column).ok_or_else(|| self.wrong(column, "is missing"))
    }

    /// A whole number inside a range.
    pub(super) fn code(&self, column: usize, range: std::ops::RangeInclusive<i8>) -> Result<Option<i8>> {
        let Some(value) = self.optional(column) else { return Ok(None) };
        let (low, high) = (*range.start(), *range.end());
        if (f64::from(low)..=f64::from(high)).contains(&value) {
            return Ok(Some(value as i8));
        }
        Err(self.wrong(column, format!("is {value}, a whole number from {low} to {high} is needed")))
    }

    pub(super) fn needed_code(&self, column: usize, range: std::ops::RangeInclusive<i8>) -> Result<i8> {
        self.code(column, range)?.ok_or_else(|| self.wrong(column, "is missing"))
    }

    /// Whether a status is 1.
    pub(super) fn status(&self, column: usize) -> Result<bool> {
        Ok(self.needed_code(column, 0..=1)? == 1)
    }

    pub(super) fn winding(&self, column: usize) -> Result<Winding> {
        Ok(match self.needed_code(column, 0..=4)? {
            0 => Winding::Wye,
            1 => Winding::WyeN,
            2 => Winding::Delta,
            3 => Winding::Zigzag,
            _ => Winding::ZigzagN,
        })
    }

    /// Two values of which one may stand in for the other's absence: `None` when both are missing.
    pub(super) fn limits(&self, low: usize, high: usize, nominal: f64) -> Result<Option<(f64, f64)>> {
        match (self.optional(low), self.optional(high)) {
            (None, None) => Ok(None),
            _ => Ok(Some((self.or(low, nominal)?, self.or(high, nominal)?))),
        }
    }

    /// The tap changer, given by six consecutive columns from `tap_side` on. The position is limited to the range
    /// as in power-grid-model; without a position it is the nominal one.
    pub(super) fn tap(&self, side: usize) -> Result<Option<Tap>> {
        let [position, min, max, nominal, size] = [side + 1, side + 2, side + 3, side + 4, side + 5];
        let last = if self.component == Component::Transformer { 1 } else { 2 };
        let tapped = match self.code(side, 0..=last)? {
            None | Some(0) => TransformerSide::From,
            Some(1) => TransformerSide::To,
            Some(_) => TransformerSide::Third,
        };
        let any = -127..=127;
        let nominal = self.code(nominal, any.clone())?.unwrap_or(0);
        let given = self.code(position, any.clone())?.unwrap_or(nominal);
        let size_v = self.or(size, 0.0)?;
        if given == nominal && self.optional(min).is_none() && self.optional(max).is_none() {
            return Ok(None);
        }
        let (min, max) = (self.needed_code(min, any.clone())?, self.needed_code(max, any)?);
        let position = given.clamp(min.min(max), min.max(max));
        Ok(Some(Tap { side: tapped, position, min, max, nominal, size_v }))
    }

    /// Clock number in 0 to 11 of two windings; odd when exactly one of them is a delta or zigzag against a star.
    pub(super) fn clock(&self, column: usize, from: Winding, to: Winding) -> Result<u8> {
        let clock = self.needed_code(column, -127..=127)?;
        if !(-12..=12).contains(&clock) {
            return Err(self.wrong(column, format!("is {clock}, -12 to 12 is possible")));
        }
        let is_wye = |winding| matches!(winding, Winding::Wye | Winding::WyeN);
        let odd_expected = is_wye(from) != is_wye(to);
        if (clock % 2 != 0) != odd_expected {
            let parity = if odd_expected { "odd" } else { "even" };
            return Err(self.wrong(column, format!("is {clock}, these windings need an {parity} number")));
        }
        Ok(clock.rem_euclid(12) as u8)
    }
}
