//! What has been read so far: parts, and which number each row of a table became.

use super::error::PandapowerError;
use super::table::{Document, Row, Table};
use super::{appliances, branches, measurements, transformers};
use grid::network::{Bus, NetworkParts};
use grid::{BranchId, BusId, Sensor};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

type Result<T> = std::result::Result<T, PandapowerError>;

/// Elements that are refused when one is in service.
const REFUSED: [(&str, &str); 10] = [
    ("xward", "replace it by a ward or by a gen behind an impedance"),
    ("motor", "replace it by a load"),
    ("dcline", "replace it by two gens or loads"),
    ("svc", "replace it by a shunt or a gen"),
    ("tcsc", "replace it by an impedance"),
    ("ssc", "replace it by a gen"),
    ("vsc", "replace it by a gen or load"),
    ("b2b_vsc", "replace it by gens or loads"),
    ("line_dc", "only the AC side is read"),
    ("source_dc", "only the AC side is read"),
];

/// A bus as others need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub id: BusId,
    /// Rated phase-to-phase voltage, V.
    pub u_rated_v: f64,
    pub in_service: bool,
}

/// A branch as measurements need it.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub id: BranchId,
    /// pandapower's indices of the buses at its ends.
    pub buses: Vec<i64>,
}

/// A network in the making.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub parts: NetworkParts,
    pub sensors: Vec<Sensor>,
    buses: BTreeMap<i64, Place>,
    /// By index: tables and their branches.
    branches: BTreeMap<i64, Vec<(&'static str, Branch)>>,
    /// Open switches: kind of branch, its index, bus.
    open: BTreeSet<(String, i64, i64)>,
    next: u32,
    /// Whether transformers are T-models, pandapower's default.
    pub t_model: bool,
    pub f_hz: f64,
}

impl Model {
    /// Reads everything.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self> {
        let mut document = document(bytes)?;
        let f_hz = document.get("f_hz").and_then(Value::as_f64).unwrap_or(50.0);
        let given = document.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let parts = NetworkParts {
            name: given.unwrap_or(name).to_owned(),
            dead_islands: true,
            frequency_hz: Some(f_hz),
            ..NetworkParts::default()
        };
        let mut model = Self { parts, t_model: t_model(&document)?, f_hz, ..Self::default() };
        for (table, advice) in REFUSED {
            refuse(&mut document, table, advice)?;
        }
        let mut table = |name| Table::take(&mut document, name);
        let (buses, switches) = (table("bus")?, table("switch")?);
        for row in buses.rows() {
            model.bus(&row)?;
        }
        branches::open_ends(&mut model, &switches)?;
        branches::read(&mut model, &table("line")?, &switches, &table("impedance")?)?;
        transformers::read(&mut model, &table("trafo")?, &table("trafo3w")?)?;
        appliances::read(&mut model, table)?;
        measurements::read(&mut model, &Table::take(&mut document, "measurement")?)?;
        Ok(model)
    }

    /// The parts and the sensors, these by kind.
    pub fn finish(self) -> (NetworkParts, Vec<Sensor>) {
        (self.parts, self.sensors)
    }

    /// A new number, with the name of what gets it.
    pub fn number(&mut self, row: &Row<'_>) -> u32 {
        let id = self.next;
        self.next += 1;
        self.parts.names.insert(id, row.name());
        id
    }

    fn bus(&mut self, row: &Row<'_>) -> Result<()> {
        let id = BusId(self.number(row));
        let place = Place { id, u_rated_v: row.number("vn_kv")? * 1e3, in_service: row.in_service()? };
        if self.buses.insert(row.index(), place).is_some() {
            return Err(row.wrong("index", "is given twice"));
        }
        self.parts.buses.push(Bus { id, u_rated_v: place.u_rated_v, position_m: None });
        Ok(())
    }

    /// The bus that a column names.
    pub fn place(&self, row: &Row<'_>, column: &str) -> Result<Place> {
        let index = row.key(column)?;
        let found = self.buses.get(&index).copied();
        found.ok_or_else(|| row.wrong(column, format!("is {index}, which is no bus")))
    }

    /// Remembers a switch that is open at the end of a branch (`l`, `t` or `t3`).
    pub fn opened(&mut self, kind: &str, element: i64, bus: i64) {
        self.open.insert((kind.to_owned(), element, bus));
    }

    /// The bus at an end of a branch, and whether the branch is connected there.
    pub fn end(&self, row: &Row<'_>, kind: &str, column: &str) -> Result<(BusId, bool)> {
        let place = self.place(row, column)?;
        let open = self.open.contains(&(kind.to_owned(), row.index(), row.key(column)?));
        Ok((place.id, row.in_service()? && place.in_service && !open))
    }

    /// Remembers a branch for measurements.
    pub fn keep(&mut self, table: &'static str, row: &Row<'_>, id: BranchId, columns: &[&str]) -> Result<()> {
        let buses = columns.iter().map(|column| row.key(column)).collect::<Result<_>>()?;
        self.branches.entry(row.index()).or_default().push((table, Branch { id, buses }));
        Ok(())
    }

    /// The branch with an index in a table.
    pub fn branch(&self, table: &str, index: i64) -> Option<&Branch> {
        self.branches.get(&index)?.iter().find(|(of, _)| *of == table).map(|(_, branch)| branch)
    }
}

fn document(bytes: &[u8]) -> Result<Document> {
    let Value::Object(mut outside) = serde_json::from_slice(bytes)? else {
        return Err(PandapowerError::Frame("an object is needed"));
    };
    if outside.get("_class").and_then(Value::as_str) != Some("pandapowerNet") {
        return Err(PandapowerError::Frame("_class is not pandapowerNet"));
    }
    match outside.remove("_object") {
        Some(Value::Object(inside)) => Ok(inside),
        Some(Value::String(text)) => match serde_json::from_str(&text)? {
            Value::Object(inside) => Ok(inside),
            _ => Err(PandapowerError::Frame("_object is no object")),
        },
        _ => Err(PandapowerError::Frame("_object is missing")),
    }
}

fn t_model(document: &Document) -> Result<bool> {
    let wrong = |reason: String| PandapowerError::Table { table: "user_pf_options", reason };
    match document.get("user_pf_options").and_then(|options| options.get("trafo_model")) {
        None => Ok(true),
        Some(model) => match model.as_str() {
            Some("t") => Ok(true),
            Some("pi") => Ok(false),
            _ => Err(wrong(format!("trafo_model is {model}, not \"t\" or \"pi\""))),
        },
    }
}

fn refuse(document: &mut Document, table: &'static str, advice: &'static str) -> Result<()> {
    let rows = Table::take(document, table)?;
    let mut count = 0;
    for row in rows.rows() {
        count += usize::from(row.in_service()?);
    }
    if count > 0 { Err(PandapowerError::Unsupported { table, count, advice }) } else { Ok(()) }
}
