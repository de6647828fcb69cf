//! `Circuit` and `Vsource`: a balanced voltage behind an impedance that is given by short-circuit power, short-circuit
//! current or ohms.

use super::class::{Class, Context, Table};
use super::error::Fault;
use super::model::Model;
use super::value::{BusName, Value};

type Result<T> = std::result::Result<T, Fault>;

/// How the impedance was given last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Power,
    Current,
    Ohms,
}

/// A `Vsource`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VoltageSource {
    pub bus: BusName,
    pub enabled: bool,
    pub phases: usize,
    pub base_kv: f64,
    pub pu: f64,
    pub angle_deg: f64,
    given: Given,
    /// Three- and single-phase short-circuit power, MVA.
    power_mva: [f64; 2],
    /// Three- and single-phase short-circuit current, A.
    current_a: [f64; 2],
    x1_r1: f64,
    x0_r0: f64,
    /// r1, x1, r0, x0.
    ohm: [f64; 4],
}

impl VoltageSource {
    /// r1, x1, r0, x0 in Ω. The zero sequence is the one with which a single-phase fault gives its rated current:
    /// `|2 Z1 + Z0| = 3 U / (√3 I)`.
    pub fn impedance(&self) -> Result<[f64; 4]> {
        let kv = self.base_kv;
        let [three, single_a] = match self.given {
            Given::Ohms => return Ok(self.ohm),
            Given::Power => [self.power_mva[0], self.power_mva[1] * 1000.0 / (3.0_f64.sqrt() * kv)],
            Given::Current => [3.0_f64.sqrt() * kv * self.current_a[0] / 1000.0, self.current_a[1]],
        };
        let x1 = kv * kv / three / (1.0 + 1.0 / (self.x1_r1 * self.x1_r1)).sqrt();
        let r1 = x1 / self.x1_r1;
        let loop_ohm = 3.0 * kv * 1000.0 / 3.0_f64.sqrt() / single_a;
        let a = 1.0 + self.x0_r0 * self.x0_r0;
        let b = 4.0 * (r1 + x1 * self.x0_r0);
        let c = 4.0 * (r1 * r1 + x1 * x1) - loop_ohm * loop_ohm;
        let r0 = (-b + (b * b - 4.0 * a * c).sqrt()) / (2.0 * a);
        let all = [r1, x1, r0, r0 * self.x0_r0];
        let reason = "no zero-sequence impedance gives the short-circuit values".to_owned();
        let impossible = || Fault::Element { element: "vsource".into(), reason };
        if all.iter().all(|ohm| ohm.is_finite()) { Ok(all) } else { Err(impossible()) }
    }
}

impl Class for VoltageSource {
    const NAME: &'static str = "vsource";
    const PROPERTIES: &'static [&'static str] = &[
        "bus1",
        "basekv",
        "pu",
        "angle",
        "frequency",
        "phases",
        "mvasc3",
        "mvasc1",
        "x1r1",
        "x0r0",
        "isc3",
        "isc1",
        "r1",
        "x1",
        "r0",
        "x0",
        "scantype",
        "sequence",
        "bus2",
        "z1",
        "z0",
        "z2",
        "puz1",
        "puz0",
        "puz2",
        "basemva",
        "yearly",
        "daily",
        "duty",
        "model",
        "puzideal",
        "spectrum",
    ];
    const INERT: &'static [&'static str] = &["scantype", "basemva", "puzideal", "spectrum"];

    fn new(_frequency_hz: f64) -> Self {
        Self {
            bus: BusName { name: "sourcebus".into(), nodes: Vec::new() },
            enabled: true,
            phases: 3,
            base_kv: 115.0,
            pu: 1.0,
            angle_deg: 0.0,
            given: Given::Power,
            power_mva: [2000.0, 2100.0],
            current_a: [10_000.0, 10_540.0],
            x1_r1: 4.0,
            x0_r0: 3.0,
            ohm: [1.65, 6.6, 1.9, 5.7],
        }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.sources
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.sources
    }

    fn enable(&mut self, on: bool) {
        self.enabled = on;
    }

    fn set(&mut self, property: &'static str, value: Value, context: &mut Context) -> Result<bool> {
        match property {
            "bus1" => self.bus = BusName::new(property, value.text())?,
            "basekv" => self.base_kv = value.positive()?,
            "pu" => self.pu = value.positive()?,
            "angle" => self.angle_deg = value.number()?,
            "frequency" => return Ok((value.number()? - context.frequency_hz).abs() < 1e-9),
            "phases" => {
                self.phases = value.count(1..=3)?;
                return Ok(self.phases == 3);
            }
            "mvasc3" => (self.power_mva[0], self.given) = (value.positive()?, Given::Power),
            "mvasc1" => (self.power_mva[1], self.given) = (value.positive()?, Given::Power),
            "isc3" => (self.current_a[0], self.given) = (value.positive()?, Given::Current),
            "isc1" => (self.current_a[1], self.given) = (value.positive()?, Given::Current),
            "x1r1" => self.x1_r1 = value.positive()?,
            "x0r0" => self.x0_r0 = value.number()?,
            "r1" => (self.ohm[0], self.given) = (value.number()?, Given::Ohms),
            "x1" => (self.ohm[1], self.given) = (value.number()?, Given::Ohms),
            "r0" => (self.ohm[2], self.given) = (value.number()?, Given::Ohms),
            "x0" => (self.ohm[3], self.given) = (value.number()?, Given::Ohms),
            "sequence" => return Ok(value.name().starts_with("pos")),
            "model" => return Ok(value.name().starts_with("thev")),
            "z1" | "z0" => self.set_pair(property, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl VoltageSource {
    fn set_pair(&mut self, property: &str, value: Value) -> Result<()> {
        let [r, x] = value.numbers()?[..] else {
            return Err(Fault::value(property, value.text(), "pair of numbers"));
        };
        let at = if property == "z1" { 0 } else { 2 };
        self.ohm[at..at + 2].copy_from_slice(&[r, x]);
        self.given = Given::Ohms;
        Ok(())
    }
}
