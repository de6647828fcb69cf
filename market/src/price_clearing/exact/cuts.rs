//! Mixed-integer rounding of one limit in one interval.
//!
//! Σ d·z − Σ c − s ≤ H, with choices z, amounts c ≥ 0 that relieve and overload s ≥ 0, divided by some δ and rounded:
//! Σ F(d/δ)·z − (Σ c + s)/(δ(1−f)) ≤ ⌊H/δ⌋, f the fraction of H/δ and F(q) = ⌊q⌋ + max(0, frac(q) − f)/(1 − f).
//! Amounts that load the limit are dropped; a choice that relieves may be counted as an amount, whichever is tighter.

/// A column of the limit at the present point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub column: u32,
    pub use_kwh: f64,
    pub value: f64,
    pub whole: bool,
}

/// Least violation that is worth a row, kWh.
const VIOLATION_MIN: f64 = 1e-3;
/// Most divisors tried.
const DIVISORS_MAX: usize = 40;

/// The most violated cut: entries and right-hand side; overload counts with −1.
pub(super) fn rounding_cut(entries: &[Entry], headroom: f64, over: f64) -> Option<(Vec<(u32, f64)>, f64)> {
    let mut divisors = vec![1e6];
    let moving = entries.iter().filter(|entry| entry.whole && entry.value > 1e-6);
    divisors.extend(moving.map(|entry| entry.use_kwh.abs()).filter(|&d| d > 1e-3));
    divisors.extend([headroom.abs() + 1e-4, 0.5 * headroom.abs() + 1e-4]);
    divisors.sort_by(|a, b| b.total_cmp(a));
    divisors.dedup();
    divisors.truncate(DIVISORS_MAX);
    let mut best: Option<(f64, f64)> = None;
    for &divisor in &divisors {
        let Some(rule) = Rule::new(headroom, divisor) else { continue };
        let mut left = -over - rule.rhs;
        for entry in entries.iter().filter(|entry| entry.value > 0.0) {
            left += rule.coefficient(entry) * entry.value;
        }
        if left > VIOLATION_MIN && best.is_none_or(|(most, _)| left > most) {
            best = Some((left, divisor));
        }
    }
    let rule = Rule::new(headroom, best?.1)?;
    let row = entries.iter().map(|entry| (entry.column, rule.coefficient(entry))).filter(|&(_, a)| a != 0.0);
    Some((row.collect(), rule.rhs))
}

/// One divisor's rounding.
struct Rule {
    divisor: f64,
    fraction: f64,
    scale: f64,
    rhs: f64,
}

impl Rule {
    fn new(headroom: f64, divisor: f64) -> Option<Self> {
        let quotient = headroom / divisor;
        let fraction = quotient - quotient.floor();
        if divisor < 1e5 && !(0.01..=0.99).contains(&fraction) {
            return None;
        }
        let scale = divisor * (1.0 - fraction);
        Some(Self { divisor, fraction, scale, rhs: scale * quotient.floor() })
    }

    fn coefficient(&self, entry: &Entry) -> f64 {
        if !entry.whole {
            return entry.use_kwh.min(0.0);
        }
        let quotient = entry.use_kwh / self.divisor;
        let part = quotient - quotient.floor();
        let rounded =
            self.scale * (quotient.floor() + (part - self.fraction).max(0.0) / (1.0 - self.fraction));
        if entry.use_kwh < 0.0 { rounded.max(entry.use_kwh) } else { rounded }
    }
}
