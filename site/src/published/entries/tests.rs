//! A small network's picture as variables.

use super::*;
use actors::picture::{BranchKind, BranchPicture, BusPicture, TransformerPicture, Voltages};
use grid::{BranchEstimate, BranchId, BusEstimate, BusId, Observability::*};

fn network() -> NetworkPicture {
    let bus = |id| BusPicture { id: BusId(id), x_m: None, y_m: None, u_rated_v: 400.0 };
    let branch = BranchPicture {
        id: BranchId(11),
        kind: BranchKind::Line,
        from: 0,
        to: 1,
        rated_a: Some(200.0),
        rated_kva: None,
    };
    NetworkPicture {
        area: "riverside".into(),
        buses: vec![bus(2), bus(3)],
        branches: vec![branch],
        ..NetworkPicture::default()
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_768_500_000 + seconds)
}

/// An estimate of `at`: 230 V everywhere, known at the first bus, expected at the second, whose phase c is not known.
fn picture(describes: i64, now: i64) -> Picture {
    let bus = |id, observability| BusEstimate {
        bus: BusId(id),
        u_v: [230.0; 3],
        u_angle_rad: [0.0; 3],
        u_std_v: [0.5; 3],
        u_pu: [230.0 / 400.0 * 3.0_f64.sqrt(); 3],
        observability,
    };
    let branch = BranchEstimate {
        branch: BranchId(11),
        p_from_w: [1000.0, 2000.0, -500.0],
        q_from_var: [100.0; 3],
        i_a: [5.0; 3],
        loading: Some(0.25),
        loading_std: Some(0.01),
    };
    let estimate = Estimate {
        at: at(describes),
        buses: vec![bus(2, [Measured; 3]), bus(3, [Measured, Expected, Unobservable])],
        branches: vec![branch],
        usage_points: Vec::new(),
        residuals: Vec::new(),
        objective: 1.0,
        degrees_of_freedom: 1,
        iterations: 2,
        consistency: Default::default(),
    };
    let pu = Some(estimate.buses[0].u_pu[0] as f32);
    let mut picture = Picture {
        seq: 1,
        voltages: Voltages {
            at: Some(at(describes)),
            a: vec![pu; 2],
            b: vec![pu; 2],
            c: vec![pu, None],
            std: vec![None; 2],
            observability: vec![Measured, Unobservable],
        },
        branch_loading: vec![Some(0.25)],
        estimate: Some(estimate.into()),
        ..Picture::default()
    };
    picture.clock.now = at(now);
    picture.health.estimator.at = Some(at(describes));
    picture.health.last_telemetry_at = Some(at(now));
    picture
}

struct Shown(Vec<String>, View);

impl Shown {
    fn new() -> Self {
        let (catalogue, view) = View::new(&network());
        Self(catalogue.variables.into_iter().map(|variable| variable.id).collect(), view)
    }

    fn all(&mut self, picture: &Picture) -> impl Fn(&str) -> Entry + use<> {
        let entries = self.1.entries(picture);
        let named: std::collections::BTreeMap<String, Entry> =
            self.0.iter().cloned().zip(entries.into_iter().flatten()).collect();
        move |id| named.get(id).unwrap_or_else(|| panic!("no variable {id}")).clone()
    }
}

fn number(entry: &Entry) -> f64 {
    let Some(Value::Number(number)) = entry.value else { panic!("no number: {entry:?}") };
    number
}

#[test]
fn every_variable_has_a_name_of_its_own_and_stands_in_a_folder() {
    let (catalogue, _) = View::new(&network());
    let mut ids: Vec<_> = catalogue.variables.iter().map(|variable| &variable.id).collect();
    ids.extend(catalogue.folders.iter().map(|folder| &folder.id));
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for variable in &catalogue.variables {
        assert!(catalogue.folders.iter().any(|folder| folder.id == variable.folder), "{variable:?}");
    }
}

#[test]
fn before_the_first_estimate_everything_waits() {
    let shown = Shown::new().all(&Picture::default());
    for id in ["bus.2.u.a", "bus.2.u.a.std", "branch.11.p.a", "branch.11.alarm", "outlook.loading"] {
        let entry = shown(id);
        assert_eq!((entry.value, entry.standing), (None, Standing::Waiting), "{id}");
    }
    assert_eq!(shown("alarms.estimator").value, Some(Value::Flag(true)));
    assert_eq!(shown("alarms.text").value, Some(Value::Text("no telemetry; no estimate".into())));
}

#[test]
fn values_come_with_what_they_rest_on_and_the_instant_they_describe() {
    let mut all = Shown::new();
    let shown = all.all(&picture(0, 20));
    let known = shown("bus.2.u.a");
    assert!((number(&known) - 230.0).abs() < 1e-4);
    assert_eq!((known.standing, known.at), (Standing::Good, at(0)));
    assert_eq!(number(&shown("bus.2.u.a.std")), 0.5);
    assert_eq!(shown("bus.3.u.b").standing, Standing::Expected);
    let unknown = shown("bus.3.u.c");
    assert_eq!((unknown.value, unknown.standing), (None, Standing::Unknown));
    // A flow is known no better than the voltages at its ends.
    assert_eq!(
        (number(&shown("branch.11.p.b")), shown("branch.11.p.b").standing),
        (2000.0, Standing::Expected)
    );
    assert_eq!(shown("branch.11.p.a").standing, Standing::Good);
    assert_eq!(shown("branch.11.p.c").value, None);
    assert_eq!(number(&shown("branch.11.loading")), 25.0);
    assert_eq!(shown("branch.11.alarm").value, Some(Value::Flag(false)));
    assert_eq!(number(&shown("alarms.count")), 0.0);
}

#[test]
fn a_voltage_that_moved_since_the_estimate_is_as_new_as_its_movement() {
    let mut all = Shown::new();
    drop(all.all(&picture(0, 20)));
    let mut moved = picture(0, 25);
    moved.voltages.a[0] = Some(1.01);
    assert_eq!(all.all(&moved)("bus.2.u.a").at, at(25));
    moved.clock.now = at(26);
    assert_eq!(all.all(&moved)("bus.2.u.a").at, at(25));
    assert_eq!(all.all(&moved)("bus.2.u.b").at, at(0));
}

#[test]
fn an_estimate_of_long_ago_is_said_to_be_old_and_raises_an_alarm() {
    let mut all = Shown::new();
    let shown = all.all(&picture(0, 181));
    assert_eq!(
        (shown("bus.2.u.a").standing, shown("branch.11.alarm").standing),
        (Standing::Old, Standing::Old)
    );
    assert_eq!(shown("alarms.estimator").value, Some(Value::Flag(true)));
    assert_eq!(all.all(&picture(180, 200))("alarms.estimator").value, Some(Value::Flag(false)));
}

#[test]
fn limits_that_are_passed_are_told_with_the_instant_and_in_words() {
    let mut all = Shown::new();
    let mut bad = picture(0, 20);
    bad.branch_loading[0] = Some(1.2);
    bad.voltages.b[1] = Some(0.85);
    let shown = all.all(&bad);
    assert_eq!(
        (shown("branch.11.alarm").value, shown("branch.11.alarm").at),
        (Some(Value::Flag(true)), at(20))
    );
    assert_eq!(shown("bus.3.alarm").value, Some(Value::Flag(true)));
    let words = Value::Text("branch 11 is overloaded; bus 3 has a voltage outside its band".into());
    assert_eq!((shown("alarms.text").value, number(&shown("alarms.count"))), (Some(words), 2.0));
}

#[test]
fn the_outlook_is_told_as_lists_and_by_its_worst() {
    let mut ahead = picture(0, 20);
    let slot = |slot: i64, loading| OutlookEntry {
        slot_start: at(slot),
        loading,
        loading_p90: loading + 0.1,
        probability: loading / 2.0,
        loading_without_flex: None,
    };
    ahead.transformer = Some(TransformerPicture {
        branch: BranchId(1),
        rated_kva: 100.0,
        loading: None,
        loading_std: None,
        estimated_kva: None,
        measured_kva: None,
        measured_at: None,
        history: Vec::new(),
        outlook: vec![slot(900, 0.5), slot(1800, 1.25)],
    });
    let mut all = Shown::new();
    let shown = all.all(&ahead);
    assert_eq!(shown("outlook.loading").value, Some(Value::Numbers(vec![50.0, 125.0])));
    assert_eq!(shown("outlook.slot_start").value, Some(Value::Times(vec![at(900), at(1800)])));
    assert_eq!(
        (number(&shown("outlook.loading_max")), shown("outlook.loading_max_at").value),
        (125.0, Some(Value::Time(at(1800))))
    );
    assert_eq!(shown("alarms.congestion").value, Some(Value::Flag(true)));
    // It is not told anew while it is the same.
    ahead.clock.now = at(30);
    assert_eq!(all.all(&ahead)("outlook.loading").at, at(20));
}
