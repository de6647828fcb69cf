//! The attributes of every component: name, type, and whether an update may change it.

/// How an attribute is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The id of a component.
    Id,
    /// A small code: status, winding, clock, tap position.
    Code,
    /// A number.
    Real,
    /// Three numbers, one per phase.
    Phases,
}

/// One attribute.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether an update may change it.
    pub(super) changes: bool,
}

macro_rules! columns {
    ($($(#[$doc:meta])* $component:ident { $($column:ident : $kind:ident $($changes:ident)?),* $(,)? })*) => { $(
        $(#[$doc])*
        #[allow(non_upper_case_globals, dead_code)]
        pub(super) mod $component {
            use super::{Column, Kind};
            #[allow(non_camel_case_types)]
            enum Place { $($column),* }
            $(pub(in super::super) const $column: usize = Place::$column as usize;)*
            pub(in super::super) const COLUMNS: &[Column] = &[$(Column {
                name: stringify!($column),
                kind: Kind::$kind,
                changes: [$(stringify!($changes),)? ""].len() > 1,
            }),*];
        }
    )* };
}

columns! {
    /// A bus; `x_m` and `y_m` are ours.
    node { id: Id, u_rated: Real, x_m: Real, y_m: Real }
    line {
        id: Id, from_node: Id, to_node: Id, from_status: Code changes, to_status: Code changes,
        r1: Real, x1: Real, c1: Real, tan1: Real, r0: Real, x0: Real, c0: Real, tan0: Real, i_n: Real,
    }
    asym_line {
        id: Id, from_node: Id, to_node: Id, from_status: Code changes, to_status: Code changes,
        r_aa: Real, r_ba: Real, r_bb: Real, r_ca: Real, r_cb: Real, r_cc: Real,
        r_na: Real, r_nb: Real, r_nc: Real, r_nn: Real,
        x_aa: Real, x_ba: Real, x_bb: Real, x_ca: Real, x_cb: Real, x_cc: Real,
        x_na: Real, x_nb: Real, x_nc: Real, x_nn: Real,
        c_aa: Real, c_ba: Real, c_bb: Real, c_ca: Real, c_cb: Real, c_cc: Real,
        c0: Real, c1: Real, i_n: Real,
    }
    link { id: Id, from_node: Id, to_node: Id, from_status: Code changes, to_status: Code changes }
    generic_branch {
        id: Id, from_node: Id, to_node: Id, from_status: Code changes, to_status: Code changes,
        r1: Real, x1: Real, g1: Real, b1: Real, k: Real, theta: Real, sn: Real,
    }
    transformer {
        id: Id, from_node: Id, to_node: Id, from_status: Code changes, to_status: Code changes,
        u1: Real, u2: Real, sn: Real, uk: Real, pk: Real, i0: Real, p0: Real,
        i0_zero_sequence: Real, p0_zero_sequence: Real,
        winding_from: Code, winding_to: Code, clock: Code,
        tap_side: Code, tap_pos: Code changes, tap_min: Code, tap_max: Code, tap_nom: Code, tap_size: Real,
        uk_min: Real, uk_max: Real, pk_min: Real, pk_max: Real,
        r_grounding_from: Real, x_grounding_from: Real, r_grounding_to: Real, x_grounding_to: Real,
    }
    three_winding_transformer {
        id: Id, node_1: Id, node_2: Id, node_3: Id,
        status_1: Code changes, status_2: Code changes, status_3: Code changes,
        u1: Real, u2: Real, u3: Real, sn_1: Real, sn_2: Real, sn_3: Real,
        uk_12: Real, uk_13: Real, uk_23: Real, pk_12: Real, pk_13: Real, pk_23: Real, i0: Real, p0: Real,
        winding_1: Code, winding_2: Code, winding_3: Code, clock_12: Code, clock_13: Code,
        tap_side: Code, tap_pos: Code changes, tap_min: Code, tap_max: Code, tap_nom: Code, tap_size: Real,
        uk_12_min: Real, uk_12_max: Real, uk_13_min: Real, uk_13_max: Real, uk_23_min: Real, uk_23_max: Real,
        pk_12_min: Real, pk_12_max: Real, pk_13_min: Real, pk_13_max: Real, pk_23_min: Real, pk_23_max: Real,
        r_grounding_1: Real, x_grounding_1: Real, r_grounding_2: Real, x_grounding_2: Real,
        r_grounding_3: Real, x_grounding_3: Real,
    }
    transformer_tap_regulator {
        id: Id, regulated_object: Id, status: Code changes, control_side: Code,
        u_set: Real changes, u_band: Real changes,
        line_drop_compensation_r: Real changes, line_drop_compensation_x: Real changes,
    }
    voltage_regulator {
        id: Id, regulated_object: Id, status: Code changes,
        u_ref: Real changes, q_min: Real changes, q_max: Real changes,
    }
    source {
        id: Id, node: Id, status: Code changes, u_ref: Real changes, u_ref_angle: Real changes,
        sk: Real, rx_ratio: Real, z01_ratio: Real,
    }
    /// `sym_load` and `sym_gen`.
    sym_appliance {
        id: Id, node: Id, status: Code changes, r#type: Code, p_specified: Real changes, q_specified: Real changes,
    }
    /// `asym_load` and `asym_gen`.
    asym_appliance {
        id: Id, node: Id, status: Code changes, r#type: Code,
        p_specified: Phases changes, q_specified: Phases changes,
    }
    shunt {
        id: Id, node: Id, status: Code changes,
        g1: Real changes, b1: Real changes, g0: Real changes, b0: Real changes,
    }
    sym_voltage_sensor {
        id: Id, measured_object: Id, u_sigma: Real changes, u_measured: Real changes, u_angle_measured: Real changes,
    }
    asym_voltage_sensor {
        id: Id, measured_object: Id, u_sigma: Real changes,
        u_measured: Phases changes, u_angle_measured: Phases changes,
    }
    /// `pseudo` is ours.
    sym_power_sensor {
        id: Id, measured_object: Id, measured_terminal_type: Code, power_sigma: Real changes,
        p_measured: Real changes, q_measured: Real changes, p_sigma: Real changes, q_sigma: Real changes,
        pseudo: Code,
    }
    /// `pseudo` is ours.
    asym_power_sensor {
        id: Id, measured_object: Id, measured_terminal_type: Code, power_sigma: Real changes,
        p_measured: Phases changes, q_measured: Phases changes, p_sigma: Phases changes, q_sigma: Phases changes,
        pseudo: Code,
    }
    sym_current_sensor {
        id: Id, measured_object: Id, measured_terminal_type: Code, angle_measurement_type: Code,
        i_sigma: Real changes, i_angle_sigma: Real changes, i_measured: Real changes, i_angle_measured: Real changes,
    }
    asym_current_sensor {
        id: Id, measured_object: Id, measured_terminal_type: Code, angle_measurement_type: Code,
        i_sigma: Real changes, i_angle_sigma: Real changes,
        i_measured: Phases changes, i_angle_measured: Phases changes,
    }
}

macro_rules! components {
    ($($variant:ident = $name:literal, $columns:ident;)*) => {
        /// A kind of component.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)] // power-grid-model's own names
        pub enum Component { $($variant),* }

        impl Component {
            /// All of them, buses and branches before what refers to them.
            pub const ALL: &[Component] = &[$(Component::$variant),*];

            /// Its name in a file.
            pub fn name(self) -> &'static str {
                match self { $(Component::$variant => $name),* }
            }

            pub(super) fn columns(self) -> &'static [Column] {
                match self { $(Component::$variant => $columns::COLUMNS),* }
            }
        }
    };
}

components! {
    Node = "node", node;
    Line = "line", line;
    AsymLine = "asym_line", asym_line;
    Link = "link", link;
    GenericBranch = "generic_branch", generic_branch;
    Transformer = "transformer", transformer;
    ThreeWindingTransformer = "three_winding_transformer", three_winding_transformer;
    Source = "source", source;
    SymLoad = "sym_load", sym_appliance;
    AsymLoad = "asym_load", asym_appliance;
    SymGen = "sym_gen", sym_appliance;
    AsymGen = "asym_gen", asym_appliance;
    Shunt = "shunt", shunt;
    TransformerTapRegulator = "transformer_tap_regulator", transformer_tap_regulator;
    VoltageRegulator = "voltage_regulator", voltage_regulator;
    SymVoltageSensor = "sym_voltage_sensor", sym_voltage_sensor;
    AsymVoltageSensor = "asym_voltage_sensor", asym_voltage_sensor;
    SymPowerSensor = "sym_power_sensor", sym_power_sensor;
    AsymPowerSensor = "asym_power_sensor", asym_power_sensor;
    SymCurrentSensor = "sym_current_sensor", sym_current_sensor;
    AsymCurrentSensor = "asym_current_sensor", asym_current_sensor;
}

impl Component {
    /// Whether it measures.
    pub fn is_sensor(self) -> bool {
        self >= Self::SymVoltageSensor
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|component| component.name() == name)
    }

    /// The position of an attribute. Files repeat the order of the row before, so `hint` is tried first.
    pub(super) fn column(self, name: &str, hint: usize) -> Option<usize> {
        let columns = self.columns();
        let is = |column: &Column| column.name == name || column.name.strip_prefix("r#") == Some(name);
        if columns.get(hint).is_some_and(is) { Some(hint) } else { columns.iter().position(is) }
    }
}
