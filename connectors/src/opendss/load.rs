//! `Load`: power by kW and power factor, kW and kvar, or kVA and power factor, and how it follows the voltage.

use super::class::{Class, Context, PHASES_MAX, Table};
use super::error::Fault;
use super::model::Model;
use super::value::{BusName, Value};
use grid::network::VoltageDependence;

type Result<T> = std::result::Result<T, Fault>;

/// Which values were given last; the others follow from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    WattsAndFactor,
    WattsAndVars,
    ApparentAndFactor,
}

/// Whether the load multiplier counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Variable,
    Fixed,
}

/// A `Load`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Load {
    pub bus: BusName,
    pub enabled: bool,
    pub phases: usize,
    pub delta: bool,
    kv: f64,
    kw: f64,
    kvar: f64,
    kva: f64,
    factor: f64,
    given: Given,
    model: usize,
    limits_pu: (f64, f64),
    cvr: (f64, f64),
    status: Status,
    neutral_ohm: (f64, f64),
    /// Load shapes by use: daily, yearly, duty.
    pub shapes: [Option<String>; 3],
}

impl Load {
    /// Conductors of its terminal.
    pub fn conductors(&self) -> usize {
        if self.delta && self.phases > 2 { self.phases } else { self.phases + 1 }
    }

    /// Rated voltage of one branch, V.
    pub fn branch_v(&self) -> f64 {
        let across = self.kv * 1000.0;
        if !self.delta && matches!(self.phases, 2 | 3) { across / 3.0_f64.sqrt() } else { across }
    }

    /// Power taken by all phases, W and var, with the multiplier of the circuit where it counts.
    pub fn power(&self, multiplier: f64) -> (f64, f64) {
        let times = if self.status == Status::Variable { multiplier } else { 1.0 };
        (self.kw * 1000.0 * times, self.kvar * 1000.0 * times)
    }

    /// How it follows the voltage.
    pub fn dependence(&self) -> Result<VoltageDependence> {
        let limits = Some(self.limits_pu);
        let none = VoltageDependence::POWER;
        let law = match self.model {
            1 => VoltageDependence { limits_pu: limits, ..none },
            2 => VoltageDependence::IMPEDANCE,
            3 => VoltageDependence { z_q: 1.0, limits_pu: limits, ..none },
            4 if self.cvr == (1.0, 2.0) => {
                VoltageDependence { i_p: 1.0, z_q: 1.0, limits_pu: limits, ..none }
            }
            5 => VoltageDependence { limits_pu: limits, ..VoltageDependence::CURRENT },
            4 => return Err(Fault::unsupported("load model 4 with exponents of its own", "use 1 and 2")),
            other => {
                let advice = "models 1, 2, 3, 4 and 5 are read";
                return Err(Fault::unsupported(format!("load model {other}"), advice));
            }
        };
        Ok(law)
    }

    fn settle(&mut self) {
        let tangent = (1.0 / (self.factor * self.factor) - 1.0).max(0.0).sqrt().copysign(self.factor);
        match self.given {
            Given::WattsAndFactor => self.kvar = self.kw * tangent,
            Given::ApparentAndFactor => {
                self.kw = self.kva * self.factor.abs();
                self.kvar = self.kw * tangent;
            }
            Given::WattsAndVars => {
                let kva = self.kw.hypot(self.kvar);
                if kva > 0.0 {
                    let sign = if self.kw * self.kvar < 0.0 { -1.0 } else { 1.0 };
                    self.factor = self.kw / kva * sign;
                }
            }
        }
    }
}

impl Class for Load {
    const NAME: &'static str = "load";
    const PROPERTIES: &'static [&'static str] = &[
        "phases",
        "bus1",
        "kv",
        "kw",
        "pf",
        "model",
        "yearly",
        "daily",
        "duty",
        "growth",
        "conn",
        "kvar",
        "rneut",
        "xneut",
        "status",
        "class",
        "vminpu",
        "vmaxpu",
        "vminnorm",
        "vminemerg",
        "xfkva",
        "allocationfactor",
        "kva",
        "%mean",
        "%stddev",
        "cvrwatts",
        "cvrvars",
        "kwh",
        "kwhdays",
        "cfactor",
        "cvrcurve",
        "numcust",
        "zipv",
        "%seriesrl",
        "relweight",
        "vlowpu",
        "puxharm",
        "xrharm",
        "spectrum",
    ];
    const INERT: &'static [&'static str] = &[
        "growth",
        "class",
        "vminnorm",
        "vminemerg",
        "%mean",
        "%stddev",
        "cvrcurve",
        "numcust",
        "%seriesrl",
        "relweight",
        "puxharm",
        "xrharm",
        "spectrum",
    ];

    fn new(_frequency_hz: f64) -> Self {
        let mut made = Self {
            bus: BusName::default(),
            enabled: true,
            phases: 3,
            delta: false,
            kv: 12.47,
            kw: 10.0,
            kvar: 5.0,
            kva: 11.36,
            factor: 0.88,
            given: Given::WattsAndFactor,
            model: 1,
            limits_pu: (0.95, 1.05),
            cvr: (1.0, 2.0),
            status: Status::Variable,
            neutral_ohm: (-1.0, 0.0),
            shapes: Default::default(),
        };
        made.settle();
        made
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.loads
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.loads
    }

    fn enable(&mut self, on: bool) {
        self.enabled = on;
    }

    fn forget_buses(&mut self) {
        self.bus = BusName::default();
    }

    fn set(&mut self, property: &'static str, value: Value, context: &mut Context) -> Result<bool> {
        match property {
            "phases" => self.phases = value.count(1..=PHASES_MAX)?,
            "bus1" => self.bus = BusName::new(property, value.text())?,
            "kv" => self.kv = value.positive()?,
            "kw" => (self.kw, self.given) = (value.number()?, Given::WattsAndFactor),
            "kvar" => (self.kvar, self.given) = (value.number()?, Given::WattsAndVars),
            "kva" => (self.kva, self.given) = (value.number()?, Given::ApparentAndFactor),
            "pf" => {
                self.factor = value.number()?;
                if !(0.0..=1.0).contains(&self.factor.abs()) || self.factor == 0.0 {
                    return Err(Fault::value(property, value.text(), "power factor"));
                }
            }
            "model" => self.model = value.count(1..=8)?,
            "conn" => self.delta = value.delta()?,
            "status" => {
                self.status = match value.name().chars().next() {
                    Some('v') => Status::Variable,
                    Some('f' | 'e') => Status::Fixed,
                    _ => return Err(Fault::value(property, value.text(), "variable, fixed or exempt")),
                }
            }
            "vminpu" => self.limits_pu.0 = value.positive()?,
            "vmaxpu" => self.limits_pu.1 = value.positive()?,
            "rneut" => self.neutral_ohm.0 = value.number()?,
            "xneut" => self.neutral_ohm.1 = value.number()?,
            "cvrwatts" => self.cvr.0 = value.number()?,
            "cvrvars" => self.cvr.1 = value.number()?,
            // Below this voltage the engine's default is the only one that loads know.
            "vlowpu" => return Ok((value.number()? - 0.5).abs() < 1e-12),
            "daily" => {
                self.shapes[0] = shape(value, context)?;
                if self.shapes[1].is_none() {
                    self.shapes[1] = self.shapes[0].clone();
                }
            }
            "yearly" => self.shapes[1] = shape(value, context)?,
            "duty" => self.shapes[2] = shape(value, context)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn edited(&mut self, _frequency_hz: f64) {
        self.settle();
    }
}

/// A load shape that multiplies; actual values would change the rated power of the load as well.
fn shape(value: Value, context: &Context) -> Result<Option<String>> {
    let name = value.name();
    if name.is_empty() || name == "none" {
        return Ok(None);
    }
    if context.codes.shapes.get(&name)?.actual {
        return Err(Fault::unsupported(
            "a load shape of actual values at a load",
            "set useactual=no and give the load its rated power",
        ));
    }
    Ok(Some(name))
}

/// Whether the neutral is wired to something else than earth through an impedance of its own.
pub(super) fn neutral_impedance(load: &Load) -> bool {
    let conductors = load.bus.conductors(load.phases, load.conductors());
    !load.delta && conductors.last() != Some(&0) && load.neutral_ohm.0 >= 0.0
}
