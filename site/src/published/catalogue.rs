//! Which variables there are. Their nodes are named after the numbers of the network file, so they stay when it grows.

use super::alarm;
use actors::picture::NetworkPicture;
use connectors::opcua::server::{Catalogue, Folder, Kind, Variable};
use grid::Phase;

/// What a variable shows; the position is that of bus or branch in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shows {
    Voltage(usize, Phase),
    VoltageStd(usize, Phase),
    ActivePower(usize, Phase),
    ReactivePower(usize, Phase),
    Current(usize, Phase),
    Loading(usize),
    LoadingStd(usize),
    Ahead(Ahead),
    /// Whether a bus's voltage, or a branch's loading, is outside its limits.
    VoltageAlarm(usize),
    OverloadAlarm(usize),
    Alarm(SystemAlarm),
    AlarmCount,
    AlarmText,
    Health(Health),
}

/// Of the transformer's next 24 hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ahead {
    SlotStart,
    Loading,
    LoadingP90,
    Probability,
    LoadingMax,
    LoadingMaxAt,
    ProbabilityMax,
}

/// Alarms about the area or the system as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemAlarm {
    Congestion,
    Telemetry,
    Estimator,
}

impl SystemAlarm {
    pub const ALL: [SystemAlarm; 3] = [Self::Congestion, Self::Telemetry, Self::Estimator];
}

/// How the system itself is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Health {
    EstimateAt,
    TelemetryAt,
    ObjectiveRatio,
    Refused,
    Now,
}

/// A catalogue under construction, and what its variables show.
struct Draft {
    catalogue: Catalogue,
    shows: Vec<Shows>,
}

impl Draft {
    fn folder(&mut self, id: &str, name: &str, parent: Option<&str>) {
        let parent = parent.map(str::to_owned);
        self.catalogue.folders.push(Folder { id: id.to_owned(), name: name.to_owned(), parent });
    }

    /// `name` is added to the folder's id, which makes the variable's.
    fn variable(&mut self, folder: &str, name: &str, kind: Kind, shows: Shows, description: &str) {
        let variable = Variable {
            id: format!("{folder}.{name}"),
            name: name.to_owned(),
            folder: folder.to_owned(),
            kind,
            description: description.to_owned(),
        };
        self.catalogue.variables.push(variable);
        self.shows.push(shows);
    }
}

/// The catalogue of a network, and what each of its variables shows.
pub fn catalogue(network: &NetworkPicture) -> (Catalogue, Vec<Shows>) {
    let mut draft = Draft { catalogue: Catalogue::default(), shows: Vec::new() };
    draft.folder("gridflex", &format!("gridflex {}", network.area), None);
    for (id, name) in [
        ("buses", "Buses"),
        ("branches", "Branches"),
        ("outlook", "Outlook"),
        ("alarms", "Alarms"),
        ("health", "Health"),
    ] {
        draft.folder(id, name, Some("gridflex"));
    }
    for at in 0..network.buses.len() {
        bus(&mut draft, network, at);
    }
    for at in 0..network.branches.len() {
        branch(&mut draft, network, at);
    }
    outlook(&mut draft);
    alarms(&mut draft);
    health(&mut draft);
    (draft.catalogue, draft.shows)
}

fn bus(draft: &mut Draft, network: &NetworkPicture, at: usize) {
    let rated_v = network.buses[at].u_rated_v / 3.0_f64.sqrt();
    let folder = format!("bus.{}", network.buses[at].id.0);
    draft.folder(&folder, &folder, Some("buses"));
    let usual = Some((rated_v * alarm::VOLTAGE_PU.0, rated_v * alarm::VOLTAGE_PU.1));
    for phase in Phase::ALL {
        let name = letter(phase);
        let value = format!("estimated voltage, phase {name} to neutral");
        draft.variable(
            &folder,
            &format!("u.{name}"),
            Kind::Number("V", usual),
            Shows::Voltage(at, phase),
            &value,
        );
        let std = format!("standard deviation of u.{name}");
        draft.variable(
            &folder,
            &format!("u.{name}.std"),
            Kind::Number("V", None),
            Shows::VoltageStd(at, phase),
            &std,
        );
    }
    let what = "whether a voltage is outside 90 to 110 % of the rated one";
    draft.variable(&folder, "alarm", Kind::Flag, Shows::VoltageAlarm(at), what);
}

fn branch(draft: &mut Draft, network: &NetworkPicture, at: usize) {
    let branch = &network.branches[at];
    let folder = format!("branch.{}", branch.id.0);
    draft.folder(&folder, &folder, Some("branches"));
    let loading = Kind::Number("%", Some((0.0, 100.0)));
    draft.variable(
        &folder,
        "loading",
        loading,
        Shows::Loading(at),
        "estimated loading, per cent of the rating",
    );
    let std = "standard deviation of loading";
    draft.variable(&folder, "loading.std", Kind::Number("%", None), Shows::LoadingStd(at), std);
    for phase in Phase::ALL {
        let name = letter(phase);
        let side = "at the from side, positive towards the to side";
        let p = format!("estimated active power of phase {name} {side}");
        draft.variable(
            &folder,
            &format!("p.{name}"),
            Kind::Number("W", None),
            Shows::ActivePower(at, phase),
            &p,
        );
        let q = format!("estimated reactive power of phase {name} {side}");
        draft.variable(
            &folder,
            &format!("q.{name}"),
            Kind::Number("var", None),
            Shows::ReactivePower(at, phase),
            &q,
        );
        let i = format!("estimated current of phase {name}");
        let usual = branch.rated_a.map(|rated| (0.0, rated));
        draft.variable(
            &folder,
            &format!("i.{name}"),
            Kind::Number("A", usual),
            Shows::Current(at, phase),
            &i,
        );
    }
    draft.variable(
        &folder,
        "alarm",
        Kind::Flag,
        Shows::OverloadAlarm(at),
        "whether the loading is above 100 %",
    );
}

fn outlook(draft: &mut Draft) {
    let percent = Kind::Number("%", Some((0.0, 100.0)));
    for (name, kind, shows, what) in [
        ("slot_start", Kind::Times, Ahead::SlotStart, "first instants of the next quarter-hours"),
        (
            "loading",
            Kind::Numbers("%"),
            Ahead::Loading,
            "expected loading of the transformer in each, with everything contracted",
        ),
        (
            "loading_p90",
            Kind::Numbers("%"),
            Ahead::LoadingP90,
            "loading that is exceeded with 10 % probability",
        ),
        ("probability", Kind::Numbers("%"), Ahead::Probability, "probability that the loading exceeds 100 %"),
        ("loading_max", percent, Ahead::LoadingMax, "largest expected loading of the next 24 hours"),
        ("loading_max_at", Kind::Time, Ahead::LoadingMaxAt, "beginning of the quarter-hour of loading_max"),
        (
            "probability_max",
            percent,
            Ahead::ProbabilityMax,
            "largest probability of an overload in a quarter-hour",
        ),
    ] {
        draft.variable("outlook", name, kind, Shows::Ahead(shows), what);
    }
}

fn alarms(draft: &mut Draft) {
    for (name, alarm, what) in [
        (
            "congestion",
            SystemAlarm::Congestion,
            "whether an overload within 24 hours is more likely than not",
        ),
        ("telemetry", SystemAlarm::Telemetry, "whether no telemetry has come for three minutes"),
        ("estimator", SystemAlarm::Estimator, "whether there is no estimate of the last three minutes"),
    ] {
        draft.variable("alarms", name, Kind::Flag, Shows::Alarm(alarm), what);
    }
    draft.variable("alarms", "count", Kind::Number("", None), Shows::AlarmCount, "alarms that stand");
    draft.variable(
        "alarms",
        "text",
        Kind::Text,
        Shows::AlarmText,
        "those alarms in words, separated by semicolons",
    );
}

fn health(draft: &mut Draft) {
    let plain = Kind::Number("", None);
    for (name, kind, shows, what) in [
        ("estimate_at", Kind::Time, Health::EstimateAt, "the instant that the latest estimate describes"),
        ("telemetry_at", Kind::Time, Health::TelemetryAt, "when telemetry was last received"),
        ("objective_ratio", plain, Health::ObjectiveRatio, "about 1 when measurements and model agree"),
        ("refused", plain, Health::Refused, "telemetry values refused since the start"),
        ("now", Kind::Time, Health::Now, "the system's clock; it stands still when the system does"),
    ] {
        draft.variable("health", name, kind, Shows::Health(shows), what);
    }
}

fn letter(phase: Phase) -> char {
    match phase {
        Phase::A => 'a',
        Phase::B => 'b',
        Phase::C => 'c',
    }
}
