//! From what a script defined to the parts of a network: numbers for names, watts for kilowatts, conductors for nodes.

use super::bases::rated_voltages;
use super::error::Fault;
use super::line_code::Line;
use super::load::{Load, neutral_impedance};
use super::model::Model;
use super::shunt::{Capacitor, Reactor};
use super::transformer::{Transformer, Winding};
use super::value::BusName;
use grid::network::{
    Bus, CapacitorControl, Compensation, CoupledLine, CoupledWinding, NetworkParts, Source, TapRegulator,
    Terminal, TransformerSide, WindingTransformer, Wire,
};
use grid::{BranchId, BusId};
use num_complex::Complex64;
use std::collections::{BTreeMap, BTreeSet};

type Result<T> = std::result::Result<T, Fault>;

/// Every bus that an element in service names.
pub(super) fn buses_of(model: &Model) -> Vec<&str> {
    let sources = model.sources.items.iter().filter(|e| e.enabled).map(|e| &e.bus);
    let lines = model.lines.items.iter().filter(|e| e.enabled).flat_map(|e| &e.buses);
    let transformers = model.transformers.items.iter().filter(|e| e.enabled);
    let windings = transformers.flat_map(|e| e.unit.windings.iter().map(|winding| &winding.bus));
    let reactors = model.reactors.items.iter().filter(|e| e.enabled).flat_map(|e| &e.buses);
    let capacitors = model.capacitors.items.iter().filter(|e| e.enabled).map(|e| &e.bus);
    let loads = model.loads.items.iter().filter(|e| e.enabled).map(|e| &e.bus);
    let all = sources.chain(lines).chain(windings).chain(reactors).chain(capacitors).chain(loads);
    let mut seen = BTreeSet::new();
    all.map(|bus| bus.name.as_str()).filter(|name| !name.is_empty() && seen.insert(*name)).collect()
}

/// Numbers elements and collects them.
pub(super) struct Builder<'m> {
    model: &'m Model,
    pub parts: NetworkParts,
    buses: BTreeMap<&'m str, BusId>,
    /// Number of every branch and appliance by class and name.
    pub elements: BTreeMap<String, u32>,
}

impl<'m> Builder<'m> {
    /// Everything in service.
    pub fn build(model: &'m Model) -> Result<Self> {
        let name = model.name.clone().ok_or(Fault::NoCircuit)?;
        let parts = NetworkParts {
            name,
            dead_islands: true,
            frequency_hz: Some(model.frequency_hz),
            ..NetworkParts::default()
        };
        let mut builder = Self { model, parts, buses: BTreeMap::new(), elements: BTreeMap::new() };
        builder.number_buses();
        builder.branches()?;
        builder.appliances()?;
        builder.controls()?;
        Ok(builder)
    }

    fn number_buses(&mut self) {
        let rated = rated_voltages(self.model);
        for (at, name) in buses_of(self.model).into_iter().enumerate() {
            let id = at as u32;
            self.buses.insert(name, BusId(id));
            self.parts.names.insert(id, name.to_owned());
            self.parts.buses.push(Bus {
                id: BusId(id),
                u_rated_v: rated.get(name).copied().unwrap_or(1.0),
                position_m: self.model.coordinates.get(name).copied(),
            });
        }
    }

    fn number(&mut self, class: &str, name: &str) -> u32 {
        let id = self.parts.names.len() as u32;
        let full = format!("{class}.{name}");
        self.parts.names.insert(id, full.clone());
        self.elements.insert(full, id);
        id
    }

    fn terminal(&self, element: &str, bus: &BusName, conductors: Vec<u8>) -> Result<Terminal> {
        let reason = "it is connected to no bus".to_owned();
        let nowhere = || Fault::Element { element: element.to_owned(), reason };
        let bus = *self.buses.get(bus.name.as_str()).ok_or_else(nowhere)?;
        Ok(Terminal { bus, wires: conductors.into_iter().map(Wire).collect() })
    }

    fn branches(&mut self) -> Result<()> {
        let model = self.model;
        for (name, line) in model.lines.iter().filter(|(_, line)| line.enabled) {
            self.line(name, line)?;
        }
        for (name, reactor) in model.reactors.iter().filter(|(_, reactor)| reactor.enabled) {
            self.reactor(name, reactor)?;
        }
        for (name, transformer) in model.transformers.iter().filter(|(_, transformer)| transformer.enabled) {
            self.transformer(name, transformer)?;
        }
        Ok(())
    }

    fn line(&mut self, name: &str, line: &Line) -> Result<()> {
        let (z_ohm, y_s) = line.whole(self.model.frequency_hz);
        self.coupled("line", name, &line.buses, line.impedance.phases, (z_ohm, y_s), line.rated_a)
    }

    fn reactor(&mut self, name: &str, reactor: &Reactor) -> Result<()> {
        let element = || format!("reactor.{name}");
        if !reactor.in_ohms || reactor.buses[1].name.is_empty() {
            let what = format!("{} to earth or by its rated power", element());
            return Err(Fault::unsupported(what, "give two buses, r and x"));
        }
        let n = reactor.phases;
        let own = |at: usize| if at.is_multiple_of(n + 1) { reactor.z_ohm } else { Complex64::ZERO };
        let matrices = ((0..n * n).map(own).collect(), vec![Complex64::ZERO; n * n]);
        self.coupled("reactor", name, &reactor.buses, n, matrices, reactor.rated_a)
    }

    fn coupled(
        &mut self,
        class: &str,
        name: &str,
        buses: &[BusName; 2],
        phases: usize,
        (z_ohm, y_s): (Vec<Complex64>, Vec<Complex64>),
        rated_a: f64,
    ) -> Result<()> {
        let element = format!("{class}.{name}");
        let from = self.terminal(&element, &buses[0], buses[0].conductors(phases, phases))?;
        let to = self.terminal(&element, &buses[1], buses[1].conductors(phases, phases))?;
        let id = BranchId(self.number(class, name));
        self.parts.coupled_lines.push(CoupledLine {
            id,
            from,
            to,
            z_ohm,
            y_s,
            i_rated_a: (rated_a > 0.0).then_some(rated_a),
            from_closed: true,
            to_closed: true,
        });
        Ok(())
    }

    fn transformer(&mut self, name: &str, transformer: &Transformer) -> Result<()> {
        let element = format!("transformer.{name}");
        let unit = &transformer.unit;
        if unit.phases == 2 && unit.windings.iter().any(|winding| winding.delta) {
            return Err(Fault::unsupported(
                format!("{element}: delta of two phases"),
                "use single-phase units",
            ));
        }
        let windings = unit.windings.iter().map(|winding| self.winding(&element, winding, unit.phases));
        let windings = windings.collect::<Result<Vec<_>>>()?;
        let id = BranchId(self.number("transformer", name));
        self.parts.winding_transformers.push(WindingTransformer {
            id,
            phases: unit.phases as u8,
            windings,
            x_pu: unit.x_pu.clone(),
            no_load_loss_pu: unit.no_load_loss_pu,
            magnetising_pu: unit.magnetising_pu,
            antifloat_pu: unit.antifloat_pu,
            leads: transformer.leads,
        });
        Ok(())
    }

    fn winding(&self, element: &str, winding: &Winding, phases: usize) -> Result<CoupledWinding> {
        let mut conductors = winding.bus.conductors(phases, phases + 1);
        if winding.delta && phases > 1 {
            conductors.truncate(phases);
        }
        let neutral_wired = !winding.delta && conductors.last() != Some(&0) && phases > 1;
        let neutral_ohm = (neutral_wired && winding.neutral_ohm.0 >= 0.0).then_some(winding.neutral_ohm);
        Ok(CoupledWinding {
            terminal: self.terminal(element, &winding.bus, conductors)?,
            delta: winding.delta,
            u_rated_v: winding.kv * 1000.0,
            s_rated_va: winding.kva * 1000.0,
            r_pu: winding.r_pu,
            tap_pu: winding.tap_pu,
            tap_range_pu: winding.tap_range_pu,
            tap_steps: winding.tap_steps as u32,
            neutral_ohm,
        })
    }

    fn appliances(&mut self) -> Result<()> {
        let model = self.model;
        for (name, source) in model.sources.iter().filter(|(_, source)| source.enabled) {
            let element = format!("vsource.{name}");
            let nodes = source.bus.conductors(3, 3);
            if nodes != [1, 2, 3] {
                return Err(Fault::unsupported(
                    format!("{element} at other nodes than 1, 2, 3"),
                    "use those",
                ));
            }
            let bus = self.terminal(&element, &source.bus, nodes)?.bus;
            let rated_v = self.parts.buses[bus.0 as usize].u_rated_v;
            let [r1, x1, r0, x0] = source.impedance()?;
            let id = self.number("vsource", name);
            self.parts.sources.push(Source {
                id,
                bus,
                u_ref_pu: source.pu * source.base_kv * 1000.0 / rated_v,
                u_ref_angle_rad: source.angle_deg.to_radians(),
                z_ohm: Some((r1, x1, r0, x0)),
                ..Source::default()
            });
        }
        for (name, capacitor) in model.capacitors.iter().filter(|(_, capacitor)| capacitor.enabled) {
            self.capacitor(name, capacitor)?;
        }
        for (name, load) in model.loads.iter().filter(|(_, load)| load.enabled) {
            self.load(name, load)?;
        }
        Ok(())
    }

    fn capacitor(&mut self, name: &str, capacitor: &Capacitor) -> Result<()> {
        let conductors = capacitor.bus.conductors(capacitor.phases, capacitor.conductors());
        let terminal = self.terminal(&format!("capacitor.{name}"), &capacitor.bus, conductors)?;
        let id = self.number("capacitor", name);
        self.parts.capacitors.push(grid::network::Capacitor {
            id,
            terminal,
            delta: capacitor.delta,
            q_var: capacitor.kvar * 1000.0,
            u_rated_v: capacitor.kv * 1000.0,
            closed: capacitor.closed,
        });
        Ok(())
    }

    fn load(&mut self, name: &str, load: &Load) -> Result<()> {
        let element = format!("load.{name}");
        if neutral_impedance(load) {
            let what = format!("{element}: an impedance of its neutral");
            return Err(Fault::unsupported(what, "add a reactor"));
        }
        let mut conductors = load.bus.conductors(load.phases, load.conductors());
        // A single branch to earth is the same in both connections.
        let to_earth = conductors.last() == Some(&0) && (!load.delta || load.phases == 1);
        if to_earth {
            conductors.truncate(load.phases);
        }
        let (p_w, q_var) = load.power(self.model.options.load_multiplier);
        let each = |total: f64| vec![total / load.phases as f64; load.phases];
        let terminal = self.terminal(&element, &load.bus, conductors)?;
        let id = self.number("load", name);
        self.parts.loads.push(grid::network::Load {
            id,
            generates: false,
            terminal,
            delta: load.delta && !to_earth,
            u_branch_v: load.branch_v(),
            p_w: each(p_w),
            q_var: each(q_var),
            symmetric: false,
            dependence: load.dependence()?,
            closed: true,
        });
        Ok(())
    }

    fn element(&self, full: &str) -> Result<u32> {
        let (class, name) = full.split_once('.').unwrap_or(("line", full));
        let missing = || Fault::Missing { class: class.to_owned(), name: name.to_owned() };
        self.elements.get(&format!("{class}.{name}")).copied().ok_or_else(missing)
    }

    fn controls(&mut self) -> Result<()> {
        let model = self.model;
        let active = model.options.controls;
        for (name, control) in model.regulator_controls.iter().filter(|(_, control)| control.enabled) {
            let transformer = BranchId(self.element(&format!("transformer.{}", control.transformer))?);
            let place = self.parts.winding_transformers.iter().position(|t| t.id == transformer);
            let unit = place.map(|place| &mut self.parts.winding_transformers[place]);
            let count = unit.as_ref().map_or(0, |unit| unit.windings.len());
            if control.winding > count || control.tap_winding > count {
                let reason = "the transformer has no such winding".to_owned();
                return Err(Fault::Element { element: format!("regcontrol.{name}"), reason });
            }
            if let (Some(number), Some(unit)) = (control.tap_number, unit) {
                let tapped = &mut unit.windings[control.tap_winding - 1];
                let (low, high) = tapped.tap_range_pu;
                let step = (high - low) / f64::from(tapped.tap_steps.max(1));
                tapped.tap_pu = (0.5 * (low + high) + f64::from(number) * step).clamp(low, high);
            }
            let compensated = control.r_v != 0.0 || control.x_v != 0.0;
            let dial = Compensation::Dial {
                r_v: control.r_v,
                x_v: control.x_v,
                ct_a: control.ct_primary_a,
                pt_ratio: control.pt_ratio,
            };
            let id = self.number("regcontrol", name);
            self.parts.tap_regulators.push(TapRegulator {
                id,
                transformer,
                controlled: control.winding - 1,
                tapped: control.tap_winding - 1,
                phase: Some(control.phase as u8),
                u_set_v: control.vreg * control.pt_ratio,
                band_v: control.band * control.pt_ratio,
                compensation: if compensated { dial } else { Compensation::None },
                delay_s: control.delay_s,
                steps_max: control.steps_max as u32,
                active,
            });
        }
        for (name, control) in model.capacitor_switches.iter().filter(|(_, control)| control.enabled) {
            let element = format!("capcontrol.{name}");
            if control.phases.0 != control.phases.1 {
                let what = format!("{element}: different phases for current and voltage");
                return Err(Fault::unsupported(what, "use one phase"));
            }
            let side = match control.terminal {
                1 => TransformerSide::From,
                2 => TransformerSide::To,
                _ => TransformerSide::Third,
            };
            let capacitor = self.element(&format!("capacitor.{}", control.capacitor))?;
            let branch = BranchId(self.element(&control.element)?);
            let id = self.number("capcontrol", name);
            self.parts.capacitor_controls.push(CapacitorControl {
                id,
                capacitor,
                branch,
                side,
                phase: Some(control.phases.0 as u8),
                watches: control.watches,
                on_setting: control.on_setting,
                off_setting: control.off_setting,
                pt_ratio: control.pt_ratio,
                ct_ratio: control.ct_ratio,
                voltage_override: control.override_on.then_some(control.override_v),
                delay_s: (control.delay_on_s, control.delay_off_s),
                dead_time_s: control.dead_time_s,
                active,
            });
        }
        Ok(())
    }
}
