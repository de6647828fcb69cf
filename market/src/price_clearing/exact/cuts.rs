//! Mixed-integer rounding of one limit in one interval.
//!
//! Σ d·z + Σ a·c − s ≤ H, with choices z, amounts 0 ≤ c ≤ u and overload s ≥ 0. What stands nearer to its upper end is
//! written from there first (z = 1 − z̄, c = u − c̄), which moves the head-room to H̄. Then, for a unit δ and r = H̄ mod δ,
//! Σ φ(d)·z − s − Σ (relief by amounts) ≤ φ(H̄) with φ(x) = (δ − r)·⌊x/δ⌋ + max(0, x mod δ − r).
//! Amounts that load the limit are dropped; a choice that relieves may be counted as an amount, whichever is tighter.

/// A column of the limit at the present point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub column: u32,
    pub use_kwh: f64,
    pub value: f64,
    /// Most it can be; at least it is 0.
    pub upper: f64,
    pub whole: bool,
}

/// Least violation that is worth a row, kWh.
const VIOLATION_MIN: f64 = 1e-3;
/// Most units tried.
const UNITS_MAX: usize = 40;
/// A unit beyond everything.
const WIDE: f64 = 1e6;

/// A cut: `row`·x − overload ≤ `rhs`.
pub(super) struct Cut {
    pub row: Vec<(u32, f64)>,
    pub rhs: f64,
    /// kWh.
    pub unit: f64,
    /// Entries that are written from their upper end.
    pub from_top: Vec<Entry>,
}

/// The most violated cut.
pub(super) fn rounding_cut(entries: &[Entry], headroom: f64, over: f64) -> Option<Cut> {
    let turned: Vec<Turned> = entries.iter().map(Turned::new).collect();
    let headroom = headroom - turned.iter().map(|entry| entry.moved).sum::<f64>();
    let mut units = vec![WIDE];
    let moving = turned.iter().filter(|entry| entry.whole && entry.value > 1e-6);
    units.extend(moving.map(|entry| entry.use_kwh.abs()).filter(|&d| d > 1e-3));
    units.extend([1.0, 0.5, 1.0 / 3.0].map(|part| part * headroom.abs() + 1e-4));
    units.sort_by(|a, b| b.total_cmp(a));
    units.dedup();
    units.truncate(UNITS_MAX);
    let mut best: Option<(f64, f64)> = None;
    for &unit in &units {
        let Some(rule) = Rule::new(headroom, unit) else { continue };
        let mut left = -over - rule.rhs;
        for entry in turned.iter().filter(|entry| entry.value > 0.0) {
            left += rule.coefficient(entry) * entry.value;
        }
        if left > VIOLATION_MIN && best.is_none_or(|(most, _)| left > most) {
            best = Some((left, unit));
        }
    }
    let rule = Rule::new(headroom, best?.1)?;
    let (mut row, mut rhs) = (Vec::with_capacity(entries.len()), rule.rhs);
    for (entry, from) in turned.iter().zip(entries) {
        let a = rule.coefficient(entry);
        if a != 0.0 {
            row.push((from.column, if entry.from_top { -a } else { a }));
            rhs -= if entry.from_top { a * from.upper } else { 0.0 };
        }
    }
    let from_top = turned.iter().zip(entries).filter(|(entry, _)| entry.from_top).map(|(_, from)| *from);
    Some(Cut { row, rhs, unit: rule.unit, from_top: from_top.collect() })
}

/// A column counted from the end that it is nearer to.
struct Turned {
    use_kwh: f64,
    value: f64,
    whole: bool,
    from_top: bool,
    /// What it uses at the end from which it is counted.
    moved: f64,
}

impl Turned {
    fn new(entry: &Entry) -> Self {
        let from_top = entry.upper.is_finite() && entry.value > 0.5 * entry.upper && entry.upper > 0.0;
        let moved = if from_top { entry.use_kwh * entry.upper } else { 0.0 };
        let (use_kwh, value) =
            if from_top { (-entry.use_kwh, entry.upper - entry.value) } else { (entry.use_kwh, entry.value) };
        Self { use_kwh, value, whole: entry.whole, from_top, moved }
    }
}

/// One unit's rounding.
struct Rule {
    unit: f64,
    rest: f64,
    rhs: f64,
}

impl Rule {
    fn new(headroom: f64, unit: f64) -> Option<Self> {
        let quotient = headroom / unit;
        let fraction = quotient - quotient.floor();
        if unit < 0.1 * WIDE && !(0.01..=0.99).contains(&fraction) {
            return None;
        }
        let rest = fraction * unit;
        Some(Self { unit, rest, rhs: (unit - rest) * quotient.floor() })
    }

    fn coefficient(&self, entry: &Turned) -> f64 {
        if !entry.whole {
            return entry.use_kwh.min(0.0);
        }
        let floor = (entry.use_kwh / self.unit).floor();
        let rounded =
            (self.unit - self.rest) * floor + (entry.use_kwh - floor * self.unit - self.rest).max(0.0);
        if entry.use_kwh < 0.0 { rounded.max(entry.use_kwh) } else { rounded }
    }
}
