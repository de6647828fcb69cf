//! `LoadShape`: multipliers at a fixed interval.

use super::class::{Class, Context, Table};
use super::error::Fault;
use super::lexer::Lexer;
use super::model::Model;
use super::value::Value;

type Result<T> = std::result::Result<T, Fault>;

/// Most values.
const VALUES_MAX: usize = 2_000_000;

/// A `LoadShape`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub interval_s: f64,
    pub multipliers: Vec<f64>,
    /// Whether the values are powers in kW.
    pub actual: bool,
    count: Option<usize>,
}

/// The engine's own shape `default`: a day of 24 hours.
const DEFAULT_DAY: [f64; 24] = [
    0.677, 0.6256, 0.6087, 0.5833, 0.58028, 0.6025, 0.657, 0.7477, 0.832, 0.88, 0.94, 0.989, 0.985, 0.98,
    0.9898, 0.999, 1.0, 0.958, 0.936, 0.913, 0.876, 0.876, 0.828, 0.756,
];

impl Shape {
    /// The shapes that are there before any script.
    pub fn intrinsic() -> Table<Self> {
        let day = Self { interval_s: 3600.0, multipliers: DEFAULT_DAY.to_vec(), actual: false, count: None };
        let mut table = Table::default();
        // An empty table takes a first entry.
        let _ = table.add("default".to_owned(), day);
        table
    }
}

impl Class for Shape {
    const NAME: &'static str = "loadshape";
    const PROPERTIES: &'static [&'static str] = &[
        "npts",
        "interval",
        "mult",
        "hour",
        "mean",
        "stddev",
        "csvfile",
        "sngfile",
        "dblfile",
        "action",
        "qmult",
        "useactual",
        "pmax",
        "qmax",
        "sinterval",
        "minterval",
        "pbase",
        "qbase",
        "pmult",
        "pqcsvfile",
        "memorymapping",
        "interpolation",
    ];
    const INERT: &'static [&'static str] =
        &["mean", "stddev", "pmax", "qmax", "pbase", "qbase", "memorymapping"];

    fn new(_frequency_hz: f64) -> Self {
        Self { interval_s: 3600.0, multipliers: Vec::new(), actual: false, count: None }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.codes.shapes
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.codes.shapes
    }

    fn set(&mut self, property: &'static str, value: Value, context: &mut Context) -> Result<bool> {
        match property {
            "npts" => self.count = Some(value.count(0..=VALUES_MAX)?),
            "interval" => self.interval_s = value.positive()? * 3600.0,
            "minterval" => self.interval_s = value.positive()? * 60.0,
            "sinterval" => self.interval_s = value.positive()?,
            "mult" | "pmult" => self.multipliers = multipliers(value, context)?,
            "csvfile" => self.multipliers = column(&(context.load)(value.text())?, value)?,
            "useactual" => self.actual = value.switch()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn edited(&mut self, _frequency_hz: f64) {
        if let Some(count) = self.count {
            self.multipliers.truncate(count);
        }
    }
}

/// Numbers, or `file=name` with a number per line.
fn multipliers(value: Value, context: &mut Context) -> Result<Vec<f64>> {
    let mut inside = Lexer::new(value.token.text);
    match inside.parameter() {
        Some(parameter) if parameter.name.eq_ignore_ascii_case("file") => {
            if inside.parameter().is_some() {
                let advice = "give a file with one number per line";
                return Err(Fault::unsupported("a column or header of a load shape file", advice));
            }
            column(&(context.load)(parameter.value.text)?, value)
        }
        _ => value.numbers(),
    }
}

fn column(bytes: &[u8], value: Value) -> Result<Vec<f64>> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let number = |line: &str| {
        let number: Option<f64> = line.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| Fault::value(value.property, line, "number on a line of its own"))
    };
    let numbers: Vec<f64> = lines.take(VALUES_MAX + 1).map(number).collect::<Result<_>>()?;
    if numbers.len() > VALUES_MAX {
        return Err(Fault::TooMany { what: "values of a load shape", limit: VALUES_MAX });
    }
    Ok(numbers)
}
