//! `RegControl` and `CapControl`.

use super::class::{Class, Context, PHASES_MAX, Table};
use super::error::Fault;
use super::model::Model;
use super::value::Value;
use grid::network::CapacitorWatches;

type Result<T> = std::result::Result<T, Fault>;

/// A `RegControl`: holds the voltage of a winding, or of a point behind a compensated line, by the tap.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RegulatorControl {
    pub enabled: bool,
    pub transformer: String,
    pub winding: usize,
    pub tap_winding: usize,
    pub vreg: f64,
    pub band: f64,
    pub pt_ratio: f64,
    pub ct_primary_a: f64,
    pub r_v: f64,
    pub x_v: f64,
    pub delay_s: f64,
    /// Most steps at once; 0 locks the tap.
    pub steps_max: usize,
    pub phase: usize,
    /// Tap number set by this control, 0 is the middle.
    pub tap_number: Option<i32>,
}

impl Class for RegulatorControl {
    const NAME: &'static str = "regcontrol";
    const PROPERTIES: &'static [&'static str] = &[
        "transformer",
        "winding",
        "vreg",
        "band",
        "ptratio",
        "ctprim",
        "r",
        "x",
        "bus",
        "delay",
        "reversible",
        "revvreg",
        "revband",
        "revr",
        "revx",
        "tapdelay",
        "debugtrace",
        "maxtapchange",
        "inversetime",
        "tapwinding",
        "vlimit",
        "ptphase",
        "revthreshold",
        "revdelay",
        "revneutral",
        "eventlog",
        "remoteptratio",
        "tapnum",
        "reset",
        "ldc_z",
        "rev_z",
        "cogen",
    ];
    const INERT: &'static [&'static str] = &[
        "revvreg",
        "revband",
        "revr",
        "revx",
        "tapdelay",
        "debugtrace",
        "revthreshold",
        "revdelay",
        "revneutral",
        "eventlog",
        "remoteptratio",
        "reset",
        "rev_z",
    ];

    fn new(_frequency_hz: f64) -> Self {
        Self {
            enabled: true,
            transformer: String::new(),
            winding: 1,
            tap_winding: 1,
            vreg: 120.0,
            band: 3.0,
            pt_ratio: 60.0,
            ct_primary_a: 300.0,
            r_v: 0.0,
            x_v: 0.0,
            delay_s: 15.0,
            steps_max: 16,
            phase: 1,
            tap_number: None,
        }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.regulator_controls
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.regulator_controls
    }

    fn enable(&mut self, on: bool) {
        self.enabled = on;
    }

    fn set(&mut self, property: &'static str, value: Value, _context: &mut Context) -> Result<bool> {
        match property {
            "transformer" => {
                let name = value.name();
                self.transformer = name.strip_prefix("transformer.").unwrap_or(&name).to_owned();
            }
            "winding" => {
                self.winding = value.count(1..=8)?;
                self.tap_winding = self.winding;
            }
            "tapwinding" => self.tap_winding = value.count(1..=8)?,
            "vreg" => self.vreg = value.positive()?,
            "band" => self.band = value.number()?,
            "ptratio" => self.pt_ratio = value.positive()?,
            "ctprim" => self.ct_primary_a = value.positive()?,
            "r" => self.r_v = value.number()?,
            "x" => self.x_v = value.number()?,
            "delay" => self.delay_s = value.number()?,
            "maxtapchange" => self.steps_max = value.count(0..=1000)?,
            "ptphase" => self.phase = value.count(1..=3)?,
            "tapnum" => self.tap_number = Some(value.number()?.clamp(-1000.0, 1000.0).round() as i32),
            "bus" => return Ok(value.text().is_empty()),
            "reversible" | "inversetime" | "cogen" => return Ok(!value.switch()?),
            "vlimit" | "ldc_z" => return Ok(value.number()? == 0.0),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A `CapControl`: switches a capacitor by what it sees at an element.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CapacitorSwitch {
    pub enabled: bool,
    /// Class and name of the element it watches.
    pub element: String,
    pub terminal: usize,
    pub capacitor: String,
    pub watches: CapacitorWatches,
    pub pt_ratio: f64,
    pub ct_ratio: f64,
    pub on_setting: f64,
    pub off_setting: f64,
    pub delay_on_s: f64,
    pub delay_off_s: f64,
    pub dead_time_s: f64,
    pub override_on: bool,
    pub override_v: (f64, f64),
    pub phases: (usize, usize),
}

impl Class for CapacitorSwitch {
    const NAME: &'static str = "capcontrol";
    const PROPERTIES: &'static [&'static str] = &[
        "element",
        "terminal",
        "capacitor",
        "type",
        "ptratio",
        "ctratio",
        "onsetting",
        "offsetting",
        "delay",
        "voltoverride",
        "vmax",
        "vmin",
        "delayoff",
        "deadtime",
        "ctphase",
        "ptphase",
        "vbus",
        "eventlog",
        "usermodel",
        "userdata",
        "pctminkvar",
        "reset",
        "controlsignal",
    ];
    const INERT: &'static [&'static str] = &["eventlog", "pctminkvar", "reset"];

    fn new(_frequency_hz: f64) -> Self {
        Self {
            enabled: true,
            element: String::new(),
            terminal: 1,
            capacitor: String::new(),
            watches: CapacitorWatches::Current,
            pt_ratio: 60.0,
            ct_ratio: 60.0,
            on_setting: 300.0,
            off_setting: 200.0,
            delay_on_s: 15.0,
            delay_off_s: 15.0,
            dead_time_s: 300.0,
            override_on: false,
            override_v: (115.0, 126.0),
            phases: (1, 1),
        }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.capacitor_switches
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.capacitor_switches
    }

    fn enable(&mut self, on: bool) {
        self.enabled = on;
    }

    fn set(&mut self, property: &'static str, value: Value, _context: &mut Context) -> Result<bool> {
        match property {
            "element" => self.element = value.name(),
            "terminal" => self.terminal = value.count(1..=8)?,
            "capacitor" => {
                let name = value.name();
                self.capacitor = name.strip_prefix("capacitor.").unwrap_or(&name).to_owned();
            }
            "type" => {
                self.watches = match value.name().chars().next() {
                    Some('c') => CapacitorWatches::Current,
                    Some('v') => CapacitorWatches::Voltage,
                    Some('k') => CapacitorWatches::ReactivePower,
                    Some('t') => CapacitorWatches::Nothing,
                    _ => return Ok(false),
                }
            }
            "ptratio" => self.pt_ratio = value.positive()?,
            "ctratio" => self.ct_ratio = value.positive()?,
            "onsetting" => self.on_setting = value.number()?,
            "offsetting" => self.off_setting = value.number()?,
            "delay" => self.delay_on_s = value.number()?,
            "delayoff" => self.delay_off_s = value.number()?,
            "deadtime" => self.dead_time_s = value.number()?,
            "voltoverride" => self.override_on = value.switch()?,
            "vmin" => self.override_v.0 = value.number()?,
            "vmax" => self.override_v.1 = value.number()?,
            "ctphase" => self.phases.0 = value.count(1..=PHASES_MAX)?,
            "ptphase" => self.phases.1 = value.count(1..=PHASES_MAX)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
