//! `XfmrCode` and `Transformer`: windings, short-circuit reactances, losses, taps.

use super::class::{Class, Context, Table};
use super::error::Fault;
use super::model::Model;
use super::value::{BusName, Value};

type Result<T> = std::result::Result<T, Fault>;

/// Most windings.
const WINDINGS_MAX: usize = 8;

/// One winding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Winding {
    pub bus: BusName,
    pub delta: bool,
    /// Phase to phase for two and three phases, across the winding otherwise.
    pub kv: f64,
    /// Of the whole unit.
    pub kva: f64,
    pub tap_pu: f64,
    pub r_pu: f64,
    /// Neutral impedance, Ω; a negative resistance means open.
    pub neutral_ohm: (f64, f64),
    pub tap_range_pu: (f64, f64),
    pub tap_steps: usize,
}

impl Default for Winding {
    fn default() -> Self {
        Self {
            bus: BusName::default(),
            delta: false,
            kv: 12.47,
            kva: 1000.0,
            tap_pu: 1.0,
            r_pu: 0.002,
            neutral_ohm: (-1.0, 0.0),
            tap_range_pu: (0.9, 1.1),
            tap_steps: 32,
        }
    }
}

/// What a transformer and its code have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    pub phases: usize,
    pub windings: Vec<Winding>,
    /// Reactances 12, 13, 23 as given by name, p.u.; they count for two and three windings.
    named_x_pu: [f64; 3],
    named_changed: bool,
    /// Reactances of the pairs 12, 13 …, 23 …, p.u. of winding 1.
    pub x_pu: Vec<f64>,
    pub no_load_loss_pu: f64,
    pub magnetising_pu: f64,
    pub antifloat_pu: f64,
    /// The winding that properties speak of.
    active: usize,
}

impl Unit {
    fn new() -> Self {
        Self {
            phases: 3,
            windings: vec![Winding::default(); 2],
            named_x_pu: [0.07, 0.35, 0.30],
            named_changed: true,
            x_pu: vec![0.07],
            no_load_loss_pu: 0.0,
            magnetising_pu: 0.0,
            antifloat_pu: 1e-6,
            active: 0,
        }
    }

    fn resize(&mut self, count: usize) {
        let buses: Vec<BusName> = self.windings.iter().map(|winding| winding.bus.clone()).collect();
        self.windings = vec![Winding::default(); count];
        for (winding, bus) in self.windings.iter_mut().zip(buses) {
            winding.bus = bus;
        }
        self.x_pu.resize(count * (count - 1) / 2, 0.30);
        self.named_changed |= count <= 3;
        self.active = self.active.min(count - 1);
    }

    fn active(&mut self) -> &mut Winding {
        // `active` is kept below the number of windings.
        let at = self.active.min(self.windings.len() - 1);
        &mut self.windings[at]
    }

    fn each<V>(&mut self, values: Vec<V>, put: impl Fn(&mut Winding, V)) {
        self.windings.iter_mut().zip(values).for_each(|(winding, value)| put(winding, value));
    }

    fn set_kva(&mut self, kva: f64) {
        self.active().kva = kva;
        if self.active == 0 || self.windings.len() == 2 {
            self.windings.iter_mut().for_each(|winding| winding.kva = kva);
        }
    }

    /// A property that transformers and their codes share; whether it was one.
    fn set(&mut self, property: &str, value: Value) -> Result<bool> {
        match property {
            "phases" => self.phases = value.count(1..=3)?,
            "windings" => self.resize(value.count(2..=WINDINGS_MAX)?),
            "wdg" => self.active = value.count(1..=self.windings.len())? - 1,
            "%loadloss" => {
                let r_pu = value.number()? / 200.0;
                self.windings.iter_mut().take(2).for_each(|winding| winding.r_pu = r_pu);
            }
            "%noloadloss" => self.no_load_loss_pu = value.number()? / 100.0,
            "%imag" => self.magnetising_pu = value.number()? / 100.0,
            "ppm_antifloat" => self.antifloat_pu = value.number()? * 1e-6,
            "xhl" | "x12" => self.set_named(0, value)?,
            "xht" | "x13" => self.set_named(1, value)?,
            "xlt" | "x23" => self.set_named(2, value)?,
            "xscarray" => {
                let given = value.numbers()?;
                self.x_pu.iter_mut().zip(given).for_each(|(x_pu, given)| *x_pu = given / 100.0);
                self.named_changed = false;
            }
            _ => return Ok(self.set_winding(property, value)? || self.set_windings(property, value)?),
        }
        Ok(true)
    }

    fn set_named(&mut self, pair: usize, value: Value) -> Result<()> {
        self.named_x_pu[pair] = value.number()? / 100.0;
        self.named_changed = true;
        Ok(())
    }

    fn set_winding(&mut self, property: &str, value: Value) -> Result<bool> {
        match property {
            "conn" => self.active().delta = value.delta()?,
            "kv" => self.active().kv = value.positive()?,
            "kva" => self.set_kva(value.positive()?),
            "tap" => self.active().tap_pu = value.positive()?,
            "%r" => self.active().r_pu = value.number()? / 100.0,
            "rneut" => self.active().neutral_ohm.0 = value.number()?,
            "xneut" => self.active().neutral_ohm.1 = value.number()?,
            "maxtap" => self.active().tap_range_pu.1 = value.positive()?,
            "mintap" => self.active().tap_range_pu.0 = value.positive()?,
            "numtaps" => self.active().tap_steps = value.count(0..=1000)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_windings(&mut self, property: &str, value: Value) -> Result<bool> {
        let positive = |numbers: Vec<f64>| {
            let wrong = || Fault::value(value.property, value.text(), "array of positive numbers");
            if numbers.iter().all(|&number| number > 0.0) { Ok(numbers) } else { Err(wrong()) }
        };
        match property {
            "conns" => self.each(value.deltas()?, |winding, delta| winding.delta = delta),
            "kvs" => self.each(positive(value.numbers()?)?, |winding, kv| winding.kv = kv),
            "kvas" => self.each(positive(value.numbers()?)?, |winding, kva| winding.kva = kva),
            "taps" => self.each(positive(value.numbers()?)?, |winding, tap_pu| winding.tap_pu = tap_pu),
            "%rs" => self.each(value.numbers()?, |winding, percent| winding.r_pu = percent / 100.0),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn edited(&mut self) {
        if self.named_changed && self.windings.len() <= 3 {
            self.x_pu.iter_mut().zip(self.named_x_pu).for_each(|(x_pu, named)| *x_pu = named);
            self.named_changed = false;
        }
    }
}

/// A `XfmrCode`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TransformerCode {
    unit: Unit,
}

impl Class for TransformerCode {
    const NAME: &'static str = "xfmrcode";
    const PROPERTIES: &'static [&'static str] = &[
        "phases",
        "windings",
        "wdg",
        "conn",
        "kv",
        "kva",
        "tap",
        "%r",
        "rneut",
        "xneut",
        "conns",
        "kvs",
        "kvas",
        "taps",
        "xhl",
        "xht",
        "xlt",
        "xscarray",
        "thermal",
        "n",
        "m",
        "flrise",
        "hsrise",
        "%loadloss",
        "%noloadloss",
        "normhkva",
        "emerghkva",
        "maxtap",
        "mintap",
        "numtaps",
        "%imag",
        "ppm_antifloat",
        "%rs",
        "x12",
        "x13",
        "x23",
        "rdcohms",
        "seasons",
        "ratings",
    ];
    const INERT: &'static [&'static str] =
        &["thermal", "n", "m", "flrise", "hsrise", "normhkva", "emerghkva", "rdcohms", "seasons", "ratings"];

    fn new(_frequency_hz: f64) -> Self {
        Self { unit: Unit::new() }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.codes.transformer_codes
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.codes.transformer_codes
    }

    fn set(&mut self, property: &'static str, value: Value, _context: &mut Context) -> Result<bool> {
        self.unit.set(property, value)
    }

    fn edited(&mut self, _frequency_hz: f64) {
        self.unit.edited();
    }
}

/// A `Transformer`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Transformer {
    pub unit: Unit,
    pub enabled: bool,
    /// Whether the lower voltage leads (`LeadLag=Lead`, European connection).
    pub leads: bool,
}

impl Transformer {
    /// Takes everything from a code but the buses.
    fn take(&mut self, code: &TransformerCode) {
        let buses: Vec<BusName> = self.unit.windings.iter().map(|winding| winding.bus.clone()).collect();
        self.unit = code.unit.clone();
        self.unit.active = 0;
        for (winding, bus) in self.unit.windings.iter_mut().zip(buses) {
            winding.bus = bus;
        }
    }
}

impl Class for Transformer {
    const NAME: &'static str = "transformer";
    const PROPERTIES: &'static [&'static str] = &[
        "phases",
        "windings",
        "wdg",
        "bus",
        "conn",
        "kv",
        "kva",
        "tap",
        "%r",
        "rneut",
        "xneut",
        "buses",
        "conns",
        "kvs",
        "kvas",
        "taps",
        "xhl",
        "xht",
        "xlt",
        "xscarray",
        "thermal",
        "n",
        "m",
        "flrise",
        "hsrise",
        "%loadloss",
        "%noloadloss",
        "normhkva",
        "emerghkva",
        "sub",
        "maxtap",
        "mintap",
        "numtaps",
        "subname",
        "%imag",
        "ppm_antifloat",
        "%rs",
        "bank",
        "xfmrcode",
        "xrconst",
        "x12",
        "x13",
        "x23",
        "leadlag",
        "wdgcurrents",
        "core",
        "rdcohms",
        "seasons",
        "ratings",
        "normamps",
        "emergamps",
        "faultrate",
        "pctperm",
        "repair",
    ];
    const INERT: &'static [&'static str] = &[
        "thermal",
        "n",
        "m",
        "flrise",
        "hsrise",
        "normhkva",
        "emerghkva",
        "sub",
        "subname",
        "bank",
        "xrconst",
        "wdgcurrents",
        "core",
        "rdcohms",
        "seasons",
        "ratings",
        "normamps",
        "emergamps",
        "faultrate",
        "pctperm",
        "repair",
    ];

    fn new(_frequency_hz: f64) -> Self {
        Self { unit: Unit::new(), enabled: true, leads: false }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.transformers
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.transformers
    }

    fn enable(&mut self, on: bool) {
        self.enabled = on;
    }

    fn forget_buses(&mut self) {
        self.unit.windings.iter_mut().for_each(|winding| winding.bus = BusName::default());
    }

    fn set(&mut self, property: &'static str, value: Value, context: &mut Context) -> Result<bool> {
        match property {
            "bus" => self.unit.active().bus = BusName::new(property, value.text())?,
            "buses" => {
                let buses = value.words().into_iter().map(|word| BusName::new(property, word));
                let buses = buses.collect::<Result<Vec<_>>>()?;
                self.unit.each(buses, |winding, bus| winding.bus = bus);
            }
            "xfmrcode" => {
                let code = context.codes.transformer_codes.get(&value.name())?.clone();
                self.take(&code);
            }
            "leadlag" => {
                self.leads = match value.name().as_str() {
                    "lead" | "euro" => true,
                    "lag" | "ansi" => false,
                    _ => return Err(Fault::value(property, value.text(), "lag, lead, ansi or euro")),
                }
            }
            _ => return self.unit.set(property, value),
        }
        Ok(true)
    }

    fn edited(&mut self, _frequency_hz: f64) {
        self.unit.edited();
    }
}
