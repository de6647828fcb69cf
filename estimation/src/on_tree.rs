//! What tests of an estimate on a tree ask: variances of rows come from the smoother, O(n) for all of them; what it does
//! not give (columns, multipliers, phasors of currents, flows into shunts) from sparse factors at the same voltages, made
//! when first asked for.

use crate::circuit::{Circuit, FlowPlace, Readings};
use crate::diagnosis::{Fitted, Part, Reading, Row, rows};
use crate::smoother::Uncertainty;
use crate::sparse::{General, Kept};
use num_complex::Complex64;
use std::cell::OnceCell;

/// The smoother knows free injections to a window, wide but not infinite: below this share of its variance what is left of a
/// row is the window's, and the row is critical.
const WINDOW: f64 = 5e-3;

/// Variance of the estimated value of every row, p.u.²; NaN where not even sparse factors give one.
pub(crate) fn variances(
    circuit: &Circuit,
    readings: &Readings,
    rows: &[Row],
    known: &Uncertainty,
    voltages: &[Complex64],
) -> Vec<f64> {
    let mut found = told(circuit, readings, rows, known);
    let open: Vec<usize> = (0..rows.len()).filter(|&row| found[row].is_nan()).collect();
    if !open.is_empty()
        && let Ok(kept) = General::default().keep_from(circuit, readings, voltages)
    {
        for (row, variance) in open.iter().zip(kept.variances_of(&open)) {
            found[*row] = variance.max(0.0);
        }
    }
    windowed(&mut found, rows);
    found
}

/// What the smoother tells of the variances; NaN for the rest.
fn told(circuit: &Circuit, readings: &Readings, rows: &[Row], known: &Uncertainty) -> Vec<f64> {
    let wires = circuit.uniform_wires();
    let std = |row: &Row| std_of(circuit, readings, (known, wires), row).unwrap_or(f64::NAN);
    let mut found: Vec<f64> = rows.iter().map(|row| std(row).powi(2)).collect();
    windowed(&mut found, rows);
    found
}

fn windowed(found: &mut [f64], rows: &[Row]) {
    for (variance, row) in found.iter_mut().zip(rows) {
        if row.variance - *variance < WINDOW * row.variance {
            *variance = row.variance;
        }
    }
}

/// The standard deviation of a row as far as the smoother tells it; `wires` of every bus, when all have as many.
fn std_of(
    circuit: &Circuit,
    readings: &Readings,
    (known, wires): (&Uncertainty, Option<usize>),
    row: &Row,
) -> Option<f64> {
    let wire = |bus: u32, wire: u8| circuit.wires(bus).start + usize::from(wire);
    match (row.reading, row.part) {
        (Reading::Voltage(at), part) => {
            let reading = &readings.voltages[at as usize];
            let of = if part == Part::Angle { &known.angles } else { &known.voltages };
            of.get(wire(reading.bus, reading.wire)).copied()
        }
        (Reading::Injection(at), part) => {
            let reading = &readings.injections[at as usize];
            let (p, q) = *known.injections.get(wire(reading.bus, reading.wire))?;
            Some(if part == Part::Active { p } else { q })
        }
        (Reading::Power(at), part) => {
            let reading = &readings.powers[at as usize];
            let (element, by_wire, total) = match reading.place {
                FlowPlace::SeriesFrom(element) => (element as usize, &known.from, &known.from_total),
                FlowPlace::SeriesTo(element) => (element as usize, &known.to, &known.to_total),
                _ => return None,
            };
            let wires = wires?;
            let (p, q) = match reading.wire {
                Some(wire) => by_wire.get(element * wires + usize::from(wire)).map(|one| (one.p, one.q)),
                None => total.get(element).map(|one| (one.p, one.q)),
            }?;
            Some(if part == Part::Active { p } else { q })
        }
        (Reading::Current(at), Part::Current) => {
            let reading = &readings.currents[at as usize];
            let (element, by_wire) = match reading.place {
                FlowPlace::SeriesFrom(element) => (element as usize, &known.from),
                FlowPlace::SeriesTo(element) => (element as usize, &known.to),
                _ => return None,
            };
            by_wire.get(element * wires? + usize::from(reading.wire)).map(|one| one.i)
        }
        (Reading::Current(_), _) => None,
    }
}

/// An estimate on a tree.
pub(crate) struct OnTree<'a> {
    circuit: &'a Circuit,
    readings: &'a Readings,
    voltages: &'a [Complex64],
    variances: Vec<f64>,
    kept: OnceCell<Option<Kept>>,
}

impl<'a> OnTree<'a> {
    pub fn new(
        circuit: &'a Circuit,
        readings: &'a Readings,
        voltages: &'a [Complex64],
        known: &Uncertainty,
    ) -> Self {
        let rows = rows(circuit, readings, voltages);
        let variances = variances(circuit, readings, &rows, known, voltages);
        Self::of(circuit, readings, voltages, (&rows, variances), OnceCell::new())
    }

    /// The same from the smoother alone: O(n), but a test that needs columns goes no further than the first suspect. `rows`
    /// are those at the voltages.
    pub fn by_smoother(
        circuit: &'a Circuit,
        readings: &'a Readings,
        (voltages, rows): (&'a [Complex64], &[Row]),
        known: &Uncertainty,
    ) -> Self {
        let variances = told(circuit, readings, rows, known);
        Self::of(circuit, readings, voltages, (rows, variances), OnceCell::from(None))
    }

    fn of(
        circuit: &'a Circuit,
        readings: &'a Readings,
        voltages: &'a [Complex64],
        (rows, variances): (&[Row], Vec<f64>),
        kept: OnceCell<Option<Kept>>,
    ) -> Self {
        // What has no variance cannot be tested: as if its own value decided it.
        let stated =
            |(variance, row): (f64, &Row)| if variance.is_finite() { variance } else { row.variance };
        let variances = variances.into_iter().zip(rows).map(stated).collect();
        Self { circuit, readings, voltages, variances, kept }
    }

    fn kept(&self) -> Option<&Kept> {
        let make = || General::default().keep_from(self.circuit, self.readings, self.voltages).ok();
        self.kept.get_or_init(make).as_ref()
    }
}

impl Fitted for OnTree<'_> {
    fn voltages(&self) -> &[Complex64] {
        self.voltages
    }

    fn variances(&self) -> Vec<f64> {
        self.variances.clone()
    }

    fn column(&self, row: usize) -> Option<Vec<f64>> {
        self.kept()?.column(row)
    }

    fn pulls(&self) -> Vec<Complex64> {
        self.kept().map(Fitted::pulls).unwrap_or_default()
    }

    fn misfit(&self, rows: &[f64], drawn: &[Complex64]) -> Option<f64> {
        self.kept()?.misfit(rows, drawn)
    }
}
