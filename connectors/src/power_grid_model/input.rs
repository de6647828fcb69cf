//! What a file of type `input` says: the parts of a network, its sensors, and where each row went.

use super::appliances::{self, UNKNOWN_TYPE};
use super::columns::Component;
use super::error::ReadError;
use super::frame::Document;
use super::row::Row;
use super::sensors::{self, Sigmas};
use super::stream::Sink;
use super::{branches, transformers};
use grid::network::{Load, NetworkParts, TransformerSide, VoltageDependence};
use grid::{Network, PhaseValue, Sensor, SensorPlace, SensorValue};

type Result<T> = std::result::Result<T, ReadError>;

/// One list of a file, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Which components.
    pub component: Component,
    /// Their ids in the order of the file.
    pub ids: Vec<u32>,
    /// Where the first of them is in its list of [`Input::parts`] or in [`Input::sensors`]; the others follow.
    pub first: usize,
}

/// A network with its sensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The network, not checked yet. Values that an update may still give are NaN.
    pub parts: NetworkParts,
    /// All sensors.
    pub sensors: Vec<Sensor>,
    /// The lists in the order of the file.
    pub lists: Vec<Listed>,
    /// As written, one per sensor.
    pub(super) sigmas: Vec<Sigmas>,
    /// Sign of each sensor's power.
    pub(super) signs: Vec<f64>,
    /// Sorted by id: list and row.
    pub(super) index: Vec<(u32, u16, u32)>,
}

impl Input {
    pub(super) fn new(name: &str) -> Self {
        let parts = NetworkParts {
            name: name.to_owned(),
            dead_islands: true,
            frequency_hz: Some(branches::FREQUENCY_HZ),
            ..NetworkParts::default()
        };
        Self {
            parts,
            sensors: Vec::new(),
            lists: Vec::new(),
            sigmas: Vec::new(),
            signs: Vec::new(),
            index: Vec::new(),
        }
    }

    /// The input of a network from another kind of file, so that its results can be written. Components without a
    /// power-grid-model counterpart (transformers winding by winding, capacitors) take part but are not listed.
    pub fn from_parts(parts: NetworkParts) -> Self {
        Self::from_study(parts, Vec::new())
    }

    /// As [`Input::from_parts`], with sensors. Loads and sensors of one kind stand together.
    pub fn from_study(parts: NetworkParts, sensors: Vec<Sensor>) -> Self {
        use Component as C;
        let mut lists = Vec::new();
        let mut list = |component, ids: Vec<u32>, first| {
            if !ids.is_empty() {
                lists.push(Listed { component, ids, first });
            }
        };
        list(C::Node, parts.buses.iter().map(|one| one.id.0).collect(), 0);
        list(C::Line, parts.lines.iter().map(|one| one.id.0).collect(), 0);
        list(C::AsymLine, parts.coupled_lines.iter().map(|one| one.id.0).collect(), 0);
        list(C::Link, parts.links.iter().map(|one| one.id.0).collect(), 0);
        list(C::GenericBranch, parts.generic_branches.iter().map(|one| one.id.0).collect(), 0);
        list(C::Transformer, parts.transformers.iter().map(|one| one.id.0).collect(), 0);
        let three = parts.three_winding_transformers.iter().map(|one| one.id.0).collect();
        list(C::ThreeWindingTransformer, three, 0);
        list(C::Source, parts.sources.iter().map(|one| one.id).collect(), 0);
        let mut first = 0;
        for loads in parts.loads.chunk_by(|one, next| kind_of(one) == kind_of(next)) {
            list(kind_of(&loads[0]), loads.iter().map(|one| one.id).collect(), first);
            first += loads.len();
        }
        list(C::Shunt, parts.shunts.iter().map(|one| one.id).collect(), 0);
        list(C::VoltageRegulator, parts.voltage_regulators.iter().map(|one| one.id).collect(), 0);
        let mut first = 0;
        for alike in sensors.chunk_by(|one, next| sensor_kind(one) == sensor_kind(next)) {
            list(sensor_kind(&alike[0]), alike.iter().map(|one| one.id).collect(), first);
            first += alike.len();
        }
        let (sigmas, signs) = (vec![Sigmas::NONE; sensors.len()], sensors.iter().map(sensor_sign).collect());
        Self { parts, sensors, lists, sigmas, signs, ..Self::new("") }
    }

    /// The list of a component.
    pub fn listed(&self, component: Component) -> Option<&Listed> {
        self.lists.iter().find(|list| list.component == component)
    }

    /// Which component has an id, and its row in that component's list.
    pub fn find(&self, id: u32) -> Option<(Component, usize)> {
        let place = self.index.binary_search_by_key(&id, |entry| entry.0).ok()?;
        let (_, list, row) = self.index[place];
        Some((self.lists[usize::from(list)].component, row as usize))
    }

    /// The checked network of the present values. A power that is missing on some phases of a load is zero there.
    ///
    /// # Errors
    /// A value that neither the input nor an update has given, or what makes the parts no network.
    pub fn network(&self) -> Result<Network> {
        let mut parts = self.parts.clone();
        complete(&mut parts)?;
        Ok(Network::new(parts)?)
    }

    /// As [`Input::network`], but powers of loads need not be given: an estimate does not use them.
    ///
    /// # Errors
    /// As [`Input::network`].
    pub fn network_to_estimate(&self) -> Result<Network> {
        let mut parts = self.parts.clone();
        for load in &mut parts.loads {
            if load.dependence == UNKNOWN_TYPE {
                load.dependence = VoltageDependence::POWER;
            }
            let values = load.p_w.iter_mut().chain(load.q_var.iter_mut());
            values.filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        }
        for source in parts.sources.iter_mut().filter(|source| source.u_ref_pu.is_nan()) {
            source.u_ref_pu = 1.0;
        }
        complete(&mut parts)?;
        Ok(Network::new(parts)?)
    }

    /// As [`Input::network`], without keeping the parts.
    ///
    /// # Errors
    /// As [`Input::network`].
    pub fn into_network(self) -> Result<(Network, Vec<Sensor>)> {
        let mut parts = self.parts;
        complete(&mut parts)?;
        Ok((Network::new(parts)?, self.sensors))
    }

    /// Fills in what refers to other components, and checks that they are there.
    pub(super) fn finish(&mut self) -> Result<()> {
        for (list, listed) in self.lists.iter().enumerate() {
            let rows = listed.ids.iter().enumerate();
            self.index.extend(rows.map(|(row, &id)| (id, list as u16, row as u32)));
        }
        self.index.sort_unstable();
        if let Some(pair) = self.index.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = |entry: (u32, u16, u32)| self.lists[usize::from(entry.1)].component.name();
            return Err(ReadError::DuplicateId {
                component: name(pair[1]),
                id: pair[0].0,
                other: name(pair[0]),
            });
        }
        self.rate_loads();
        self.find_taps()?;
        self.check_references()
    }

    fn rate_loads(&mut self) {
        let mut rated: Vec<(u32, f64)> =
            self.parts.buses.iter().map(|bus| (bus.id.0, bus.u_rated_v)).collect();
        rated.sort_unstable_by_key(|entry| entry.0);
        for load in &mut self.parts.loads {
            // A missing bus is named when the network is checked.
            if let Ok(place) = rated.binary_search_by_key(&load.terminal.bus.0, |entry| entry.0) {
                load.u_branch_v = rated[place].1 / 3.0_f64.sqrt();
            }
        }
    }

    fn find_taps(&mut self) -> Result<()> {
        for at in 0..self.parts.tap_regulators.len() {
            let (id, transformer) =
                (self.parts.tap_regulators[at].id, self.parts.tap_regulators[at].transformer);
            let (tap, windings) = match self.find(transformer.0) {
                Some((Component::Transformer, row)) => (self.parts.transformers[row].tap, 2),
                Some((Component::ThreeWindingTransformer, row)) => {
                    (self.parts.three_winding_transformers[row].tap, 3)
                }
                _ => return Err(dangling("transformer_tap_regulator", id, transformer.0, "transformer")),
            };
            let regulator = &mut self.parts.tap_regulators[at];
            if regulator.controlled >= windings {
                return Err(ReadError::Attribute {
                    component: "transformer_tap_regulator",
                    id,
                    attribute: "control_side".into(),
                    reason: format!(
                        "is {}, transformer {transformer} has {windings} sides",
                        regulator.controlled
                    ),
                });
            }
            let Some(tap) = tap else {
                return Err(ReadError::Attribute {
                    component: "transformer_tap_regulator",
                    id,
                    attribute: "regulated_object".into(),
                    reason: format!("is {transformer}, which has no tap changer"),
                });
            };
            regulator.tapped = match tap.side {
                TransformerSide::From => 0,
                TransformerSide::To => 1,
                TransformerSide::Third => 2,
            };
        }
        Ok(())
    }

    fn check_references(&self) -> Result<()> {
        use Component as C;
        for regulator in &self.parts.voltage_regulators {
            let found = self.find(regulator.appliance).map(|found| found.0);
            if !matches!(found, Some(C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen)) {
                return Err(dangling(
                    "voltage_regulator",
                    regulator.id,
                    regulator.appliance,
                    "load or generator",
                ));
            }
        }
        for list in self.lists.iter().filter(|list| list.component.is_sensor()) {
            for (row, &id) in list.ids.iter().enumerate() {
                let (object, wanted) = match self.sensors[list.first + row].place {
                    SensorPlace::Bus(bus) | SensorPlace::BusInjection(bus) => (bus.0, "node"),
                    SensorPlace::Branch(branch, _) => (branch.0, "branch"),
                    SensorPlace::Appliance(appliance) => (appliance, "appliance"),
                };
                let is = match self.find(object) {
                    None => "nothing",
                    Some((C::Node, _)) => "node",
                    Some((
                        C::Line
                        | C::AsymLine
                        | C::Link
                        | C::GenericBranch
                        | C::Transformer
                        | C::ThreeWindingTransformer,
                        _,
                    )) => "branch",
                    Some((C::Source | C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen | C::Shunt, _)) => {
                        "appliance"
                    }
                    Some((other, _)) => other.name(),
                };
                if is != wanted {
                    return Err(dangling(list.component.name(), id, object, wanted));
                }
            }
        }
        Ok(())
    }
}

/// The component that a load is.
fn kind_of(load: &Load) -> Component {
    match (load.symmetric, load.generates) {
        (true, false) => Component::SymLoad,
        (true, true) => Component::SymGen,
        (false, false) => Component::AsymLoad,
        (false, true) => Component::AsymGen,
    }
}

/// The component that a sensor is.
fn sensor_kind(sensor: &Sensor) -> Component {
    let symmetric = |value: &PhaseValue| matches!(value, PhaseValue::Symmetric(_));
    match &sensor.value {
        SensorValue::Voltage { u_v, .. } if symmetric(u_v) => Component::SymVoltageSensor,
        SensorValue::Voltage { .. } => Component::AsymVoltageSensor,
        SensorValue::Power { p_w, .. } if symmetric(p_w) => Component::SymPowerSensor,
        SensorValue::Power { .. } => Component::AsymPowerSensor,
        SensorValue::Current { i_a, .. } if symmetric(i_a) => Component::SymCurrentSensor,
        SensorValue::Current { .. } => Component::AsymCurrentSensor,
    }
}

/// The sign in which results write a sensor's power: power-grid-model counts a whole bus as given to the grid.
fn sensor_sign(sensor: &Sensor) -> f64 {
    if matches!(sensor.place, SensorPlace::BusInjection(_)) { -1.0 } else { 1.0 }
}

fn dangling(component: &'static str, id: u32, object: u32, wanted: &str) -> ReadError {
    let attribute = if component.ends_with("sensor") { "measured_object" } else { "regulated_object" };
    ReadError::Attribute {
        component,
        id,
        attribute: attribute.into(),
        reason: format!("is {object}, which is no {wanted}"),
    }
}

/// Refuses values that nobody gave.
fn complete(parts: &mut NetworkParts) -> Result<()> {
    let missing = |component, id, attribute: &str| {
        Err(ReadError::Attribute { component, id, attribute: attribute.into(), reason: "is missing".into() })
    };
    for source in &parts.sources {
        if source.u_ref_pu.is_nan() {
            return missing("source", source.id, "u_ref");
        }
    }
    for load in &mut parts.loads {
        let component = match (load.symmetric, load.generates) {
            (true, false) => "sym_load",
            (true, true) => "sym_gen",
            (false, false) => "asym_load",
            (false, true) => "asym_gen",
        };
        if load.dependence == UNKNOWN_TYPE {
            let (id, attribute) = (load.id, "type".to_owned());
            let reason = "is not 0 (power), 1 (impedance) or 2 (current)".into();
            return Err(ReadError::Attribute { component, id, attribute, reason });
        }
        for (attribute, values) in [("p_specified", &mut load.p_w), ("q_specified", &mut load.q_var)] {
            if values.iter().all(|value| value.is_nan()) {
                return missing(component, load.id, attribute);
            }
            values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        }
    }
    for regulator in &parts.voltage_regulators {
        if regulator.u_ref_pu.is_nan() {
            return missing("voltage_regulator", regulator.id, "u_ref");
        }
    }
    for regulator in parts.tap_regulators.iter().filter(|regulator| regulator.active) {
        if regulator.u_set_v.is_nan() || regulator.band_v.is_nan() {
            return missing("transformer_tap_regulator", regulator.id, "u_set or u_band");
        }
    }
    Ok(())
}

impl Sink for Input {
    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        use Component as C;
        let parts = &mut self.parts;
        match row.component {
            C::Node => parts.buses.push(branches::node(row)?),
            C::Line => parts.lines.push(branches::line(row)?),
            C::AsymLine => parts.coupled_lines.push(branches::asym_line(row)?),
            C::Link => parts.links.push(branches::link(row)?),
            C::GenericBranch => parts.generic_branches.push(branches::generic_branch(row)?),
            C::Transformer => parts.transformers.push(transformers::transformer(row)?),
            C::ThreeWindingTransformer => {
                parts.three_winding_transformers.push(transformers::three_winding(row)?);
            }
            C::Source => parts.sources.push(appliances::source(row)?),
            C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen => parts.loads.push(appliances::load(row)?),
            C::Shunt => parts.shunts.push(appliances::shunt(row)?),
            C::TransformerTapRegulator => parts.tap_regulators.push(appliances::tap_regulator(row)?),
            C::VoltageRegulator => parts.voltage_regulators.push(appliances::voltage_regulator(row)?),
            C::SymVoltageSensor | C::AsymVoltageSensor => {
                self.sensor(sensors::voltage_sensor(row)?, Sigmas::NONE, 1.0);
            }
            C::SymPowerSensor | C::AsymPowerSensor => {
                let (sensor, sigmas) = sensors::power_sensor(row)?;
                let terminal = row.code(super::columns::sym_power_sensor::measured_terminal_type, 0..=9)?;
                self.sensor(sensor, sigmas, sensors::sign(terminal.unwrap_or(0)));
            }
            C::SymCurrentSensor | C::AsymCurrentSensor => {
                self.sensor(sensors::current_sensor(row)?, Sigmas::NONE, 1.0);
            }
        }
        if let Some(list) = self.lists.last_mut() {
            list.ids.push(row.id());
        }
        Ok(())
    }
}

impl Input {
    fn sensor(&mut self, sensor: Sensor, sigmas: Sigmas, sign: f64) {
        self.sensors.push(sensor);
        self.sigmas.push(sigmas);
        self.signs.push(sign);
    }

    /// Sign in which a file writes the power of a sensor (a position in [`Input::sensors`]): −1 where it counts as given
    /// to the grid.
    pub fn sign(&self, sensor: usize) -> f64 {
        self.signs.get(sensor).copied().unwrap_or(1.0)
    }

    /// The same without what some sensors (positions in [`Input::sensors`]) say: their deviation is infinite.
    pub fn without(&self, sensors: &[u32]) -> Vec<Sensor> {
        let mut all = self.sensors.clone();
        for &at in sensors {
            let Some(sensor) = all.get_mut(at as usize) else { continue };
            match &mut sensor.value {
                SensorValue::Voltage { sigma_v, .. } => *sigma_v = f64::INFINITY,
                SensorValue::Power { p_sigma_w, q_sigma_var, .. } => {
                    let nothing = PhaseValue::Symmetric(f64::INFINITY);
                    (*p_sigma_w, *q_sigma_var) = (nothing, nothing);
                }
                SensorValue::Current { sigma_a, .. } => *sigma_a = f64::INFINITY,
            }
        }
        all
    }

    /// Sensors that say something, for messages.
    pub fn measured(&self) -> usize {
        let says = |value: &SensorValue| match value {
            SensorValue::Voltage { sigma_v, .. } => sigma_v.is_finite(),
            SensorValue::Power { .. } => true,
            SensorValue::Current { sigma_a, .. } => sigma_a.is_finite(),
        };
        self.sensors.iter().filter(|sensor| says(&sensor.value)).count()
    }
}

impl Document for Input {
    const KIND: &'static str = "input";
    const ID_OPTIONAL: bool = false;
    const BATCH: bool = false;

    fn scenario(&mut self) -> Result<()> {
        Ok(())
    }

    fn list(&mut self, component: Component) -> Result<()> {
        use Component as C;
        let parts = &self.parts;
        let first = match component {
            C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen => parts.loads.len(),
            component if component.is_sensor() => self.sensors.len(),
            _ => 0,
        };
        self.lists.push(Listed { component, ids: Vec::new(), first });
        Ok(())
    }
}
