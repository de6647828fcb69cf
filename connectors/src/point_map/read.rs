//! CSV → rows: total, bounded, and with every bad line named.

use super::{BadLine, MappedPoint, PointMap};
use crate::house;
use csv::{ReaderBuilder, StringRecord, Trim};
use grid::{PointId, Quantity};
use std::collections::BTreeMap;

/// Largest file read, bytes.
pub const BYTES_MAX: usize = 16 << 20;
/// Most rows read.
pub const ROWS_MAX: usize = 200_000;
/// Longest tag, bytes.
pub const TAG_BYTES_MAX: usize = 256;

const COLUMNS: [&str; 9] =
    ["tag", "element", "quantity", "phase", "unit", "scale", "sign", "accuracy", "deadband"];
const NEEDED: [&str; 4] = ["tag", "element", "quantity", "unit"];
/// Largest magnitude of a scale, and of the inverse of one.
const SCALE_MAX: f64 = 1e9;
/// Accepted accuracies, per cent of the value.
const ACCURACY_RANGE: (f64, f64) = (0.01, 50.0);

/// What is wrong with a field.
type Fault = (&'static str, String);

/// Reads a point map.
///
/// # Errors
/// Every line that cannot be used, in the order of the file; one field may be named per line and column. Never panics,
/// whatever the bytes.
pub fn read(bytes: &[u8]) -> Result<PointMap, Vec<BadLine>> {
    let whole = |line, reason: String| vec![BadLine { line, column: None, reason }];
    if bytes.len() > BYTES_MAX {
        return Err(whole(1, format!("{} bytes, at most {BYTES_MAX} are read", bytes.len())));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        whole(line as u64, "it is not UTF-8".into())
    })?;
    let mut reader =
        ReaderBuilder::new().flexible(true).comment(Some(b'#')).trim(Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| whole(1, error.to_string()))?.clone();
    let places = columns(&header)?;
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    let (mut tags, mut points) = (BTreeMap::new(), BTreeMap::new());
    let mut lines = Lines { text: bytes, at: 0, line: 1 };
    for record in reader.records() {
        // The text is in memory and UTF-8: what is left to go wrong is nothing, and would be named.
        let record = record.map_err(|error| whole(1, error.to_string()))?;
        let line = record.position().map_or(0, |position| lines.of(position.byte() as usize));
        if rows.len() + bad.len() >= ROWS_MAX {
            let reason = format!("more than {ROWS_MAX} lines are not read");
            bad.push(BadLine { line, column: None, reason });
            break;
        }
        let fields = Fields { record: &record, places: &places };
        let mut faults = Vec::new();
        if record.len() != header.len() {
            faults.push(("", format!("{} fields, the first line has {}", record.len(), header.len())));
        } else if let Some(row) = fields.row(line, &mut faults) {
            let twice = |first: &u64, what: &str| format!("{what} stands in line {first} already");
            if let Some(first) = tags.get(&row.tag) {
                faults.push(("tag", twice(first, &format!("{:?}", row.tag))));
            }
            if let Some(first) = points.get(&row.point) {
                faults.push(("element", twice(first, &row.point.to_string())));
            }
            if faults.is_empty() {
                tags.insert(row.tag.clone(), line);
                points.insert(row.point, line);
                rows.push(row);
            }
        }
        bad.extend(faults.into_iter().map(|(column, reason)| BadLine {
            line,
            column: Some(column).filter(|column| !column.is_empty()),
            reason,
        }));
    }
    if bad.is_empty() { Ok(PointMap { rows }) } else { Err(bad) }
}

/// Counts lines as somebody's editor does: a record's own position is where the reader was before it skipped comments and
/// empty lines, and before the second byte of a line end.
struct Lines<'a> {
    text: &'a [u8],
    /// Up to where lines were counted.
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the record that follows after `position`. Positions ascend.
    fn of(&mut self, position: usize) -> u64 {
        let mut start = position;
        loop {
            match self.text.get(start) {
                Some(b'\r' | b'\n') => start += 1,
                Some(b'#') => {
                    let rest = self.text[start..].iter();
                    start += rest.take_while(|&&byte| byte != b'\n').count();
                }
                _ => break,
            }
        }
        let passed = self.text.get(self.at..start).unwrap_or_default();
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.at = start.max(self.at);
        self.line
    }
}

/// Where each of [`COLUMNS`] stands in the file.
fn columns(header: &StringRecord) -> Result<[Option<usize>; COLUMNS.len()], Vec<BadLine>> {
    let mut places = [None; COLUMNS.len()];
    let mut reasons = Vec::new();
    for (place, name) in header.iter().enumerate() {
        match COLUMNS.iter().position(|known| *known == name) {
            None if name.contains(';') => {
                reasons.push("semicolons between the columns; save it with commas".into())
            }
            None => reasons.push(format!("column {name:.40?} is none of {}", COLUMNS.join(", "))),
            Some(at) if places[at].is_some() => reasons.push(format!("column {name} stands there twice")),
            Some(at) => places[at] = Some(place),
        }
    }
    let missing = COLUMNS.iter().zip(places).filter(|(name, place)| place.is_none() && NEEDED.contains(name));
    reasons.extend(missing.map(|(name, _)| format!("column {name} is missing")));
    if reasons.is_empty() {
        return Ok(places);
    }
    Err(reasons.into_iter().map(|reason| BadLine { line: 1, column: None, reason }).collect())
}

struct Fields<'a> {
    record: &'a StringRecord,
    places: &'a [Option<usize>; COLUMNS.len()],
}

impl Fields<'_> {
    /// A field by its column; empty where there is no such column.
    fn text(&self, column: &str) -> &str {
        let at = COLUMNS.iter().position(|known| *known == column).and_then(|at| self.places[at]);
        at.and_then(|at| self.record.get(at)).unwrap_or_default()
    }

    /// A number; `default` where the field is empty.
    fn number(&self, column: &'static str, default: f64) -> Result<f64, Fault> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(default);
        }
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| (column, format!("{text:.40?} is not a number; write for example 0.1 or 1e3")))
    }

    /// The row, or `None` with everything that is wrong with it.
    fn row(&self, line: u64, faults: &mut Vec<Fault>) -> Option<MappedPoint> {
        let mut note = |fault: Fault| faults.push(fault);
        let tag = self.tag().map_err(&mut note).ok();
        let point = self.point().map_err(&mut note).ok();
        let unit = point.and_then(|point| {
            let factor = house::unit_factor(point.quantity, self.text("unit"));
            factor.map_err(|(_, reason)| note(("unit", reason))).ok()
        });
        let scale = self.scale().map_err(&mut note).ok();
        let sign = self.sign(point).map_err(&mut note).ok();
        let accuracy = self.accuracy().map_err(&mut note).ok();
        let deadband = self.deadband().map_err(&mut note).ok();
        let (unit, scale) = (unit?, scale?);
        Some(MappedPoint {
            line,
            tag: tag?,
            point: point?,
            factor: unit * scale * sign?,
            accuracy: accuracy?,
            deadband: deadband? * unit,
        })
    }

    fn tag(&self) -> Result<String, Fault> {
        let tag = self.text("tag");
        let reason = match tag.len() {
            0 => "it is empty".to_owned(),
            1..=TAG_BYTES_MAX if tag.chars().any(char::is_control) => {
                "there is a line break or control character in it (is a quote open?)".to_owned()
            }
            1..=TAG_BYTES_MAX => return Ok(tag.to_owned()),
            bytes => format!("{bytes} bytes, at most {TAG_BYTES_MAX} are accepted"),
        };
        Err(("tag", reason))
    }

    fn point(&self) -> Result<PointId, Fault> {
        let (element, quantity, phase) = (self.text("element"), self.text("quantity"), self.text("phase"));
        let name = match phase {
            "" => format!("{element}.{quantity}"),
            phase => format!("{element}.{quantity}.{phase}"),
        };
        name.parse().map_err(|error: grid::telemetry::PointError| {
            let column = if error.reason.contains("quantity") {
                "quantity"
            } else if error.reason.contains("phase") {
                "phase"
            } else {
                "element"
            };
            (column, error.to_string())
        })
    }

    fn scale(&self) -> Result<f64, Fault> {
        let scale = self.number("scale", 1.0)?;
        if (1.0 / SCALE_MAX..=SCALE_MAX).contains(&scale.abs()) {
            return Ok(scale);
        }
        Err(("scale", format!("{scale} is not between 1e-9 and 1e9 in magnitude")))
    }

    fn sign(&self, point: Option<PointId>) -> Result<f64, Fault> {
        match self.text("sign") {
            "" | "load" => Ok(1.0),
            "generation" => match point.map(|point| point.quantity) {
                Some(Quantity::VoltageMagnitude | Quantity::CurrentMagnitude) => {
                    Err(("sign", "a magnitude has no direction; leave it empty".into()))
                }
                _ => Ok(-1.0),
            },
            other => Err((
                "sign",
                format!(
                    "{other:.40?} is neither load (positive is taken from the grid) nor generation (positive is fed in)"
                ),
            )),
        }
    }

    fn accuracy(&self) -> Result<Option<f64>, Fault> {
        if self.text("accuracy").is_empty() {
            return Ok(None);
        }
        let percent = self.number("accuracy", 0.0)?;
        let (low, high) = ACCURACY_RANGE;
        if (low..=high).contains(&percent) {
            return Ok(Some(percent / 100.0));
        }
        Err(("accuracy", format!("{percent} is not between {low} and {high} per cent of the value")))
    }

    fn deadband(&self) -> Result<f64, Fault> {
        let deadband = self.number("deadband", 0.0)?;
        if (0.0..=1e12).contains(&deadband) {
            return Ok(deadband);
        }
        Err(("deadband", format!("{deadband} is not between 0 and 1e12")))
    }
}
