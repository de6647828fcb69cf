use super::*;
use crate::plant;
use connectors::{Area, Arrival, loopback};
use estimation::Feeder;
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, Measurement, Quantity};
use market::{ActivationId, ActivationStatus, ContractId, DeviceReport, DeviceState, FlexOfferId, Schedule};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Virtual time: tokio's paused clock.
#[derive(Debug)]
struct Paused(Timestamp, Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        self.0.plus(self.1.elapsed())
    }
}

impl Pace for Paused {
    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep_until(self.1 + at.since(self.0)).await;
    }
}

/// What the system heard, and when.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    telemetry: Vec<(Timestamp, Measurement)>,
    reports: Vec<(Timestamp, DeviceReport)>,
    statuses: Vec<(Timestamp, ActivationStatus)>,
}

impl Heard {
    fn take(&mut self, now: Timestamp, batch: Vec<Arrival>) {
        for arrival in batch {
            match arrival {
                Arrival::Message(Message::Telemetry(values)) => {
                    self.telemetry.extend(values.into_iter().map(|value| (now, value)));
                }
                Arrival::Message(Message::Device(report)) => self.reports.push((now, report)),
                Arrival::Message(Message::Status(status)) => self.statuses.push((now, status)),
                _ => {}
            }
        }
    }
}

/// Runs the field for so many minutes and sends these orders after so many seconds.
async fn listen(minutes: u32, orders: &[(u64, Activation)]) -> (Heard, Vec<Minute>, Scenario) {
    let mut scenario = Scenario::first_light().unwrap();
    scenario.duration_minutes = minutes;
    let feeder = Arc::new(Feeder::new(&plant::network(&scenario).unwrap()).unwrap());
    let plant = Plant::new(&scenario, feeder).unwrap();
    let pace = Arc::new(Paused(scenario.start, Instant::now()));
    let (system, field) = loopback::pair(&Area::new("test").unwrap(), pace.clone());
    let Link { outbound, mut inbox, .. } = system;
    let log = FieldLog::default();
    let task = tokio::spawn(run(plant, field, pace.clone(), log.clone(), scenario.clone()));
    let mut heard = Heard::default();
    let mut orders = orders.iter();
    let mut order = orders.next();
    let end = scenario.end().plus(Duration::from_secs(1));
    while pace.now() < end {
        let due = order.map_or(end, |(seconds, _)| scenario.start.plus(Duration::from_secs(*seconds)));
        tokio::select! {
            batch = inbox.recv_batch() => heard.take(pace.now(), batch.unwrap()),
            () = pace.sleep_until(due) => if let Some((_, activation)) = order {
                outbound.send(Message::Activation(activation.clone())).await.unwrap();
                order = orders.next();
            },
        }
    }
    drop(outbound);
    task.await.unwrap().unwrap();
    (heard, log.minutes(), scenario)
}

fn discharge(name: &str, device: DeviceId) -> Activation {
    let start = "2026-01-15T16:45:00Z".parse::<Timestamp>().unwrap().slot();
    Activation {
        id: ActivationId::new(name).unwrap(),
        device,
        offer: FlexOfferId::new("o").unwrap(),
        contract: ContractId::new("c").unwrap(),
        schedule: Schedule { start, energies: vec![EnergyMwh(-1_000_000)] },
        replaces_from: start,
    }
}

#[tokio::test(start_paused = true)]
async fn monitors_read_the_truth_with_a_small_error() {
    let (heard, minutes, _) = listen(20, &[]).await;
    assert_eq!(minutes.len(), 20);
    let power = |at: Timestamp| {
        let values = heard.telemetry.iter().filter(|(_, value)| {
            value.measured_at == at
                && value.point.element == Element::Branch(grid::BranchId(1001))
                && value.point.quantity == Quantity::ActivePower
        });
        let values: Vec<f64> = values.map(|(_, value)| value.value).collect();
        assert_eq!(values.len(), 3, "{at}");
        values.iter().sum::<f64>()
    };
    for minute in &minutes {
        let truth = minute.power.total_w();
        let read = power(minute.at);
        assert!((read / truth - 1.0).abs() < 0.04, "{}: {read} W read, {truth} W used", minute.at);
    }
    let first: Vec<_> =
        heard.telemetry.iter().filter(|(_, value)| value.measured_at == minutes[0].at).collect();
    let monitors: std::collections::BTreeSet<_> = first
        .iter()
        .filter(|(_, v)| matches!(v.point.element, Element::Branch(_)))
        .map(|(_, v)| v.point.element)
        .collect();
    assert_eq!(monitors.len(), 6);
    assert!(first.iter().all(|(at, value)| at.since(value.measured_at) < Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn meters_are_late_and_some_never_arrive() {
    let (heard, _, scenario) = listen(180, &[]).await;
    let mut arrived: BTreeMap<bool, usize> = BTreeMap::new();
    for (at, value) in
        heard.telemetry.iter().filter(|(_, value)| value.point.quantity == Quantity::SlotEnergy)
    {
        let device = matches!(value.point.element, Element::Device(_));
        let delay = at.since(value.measured_at).as_secs();
        let longest = if device { 240 } else { 720 };
        assert!(delay >= 60 && delay <= longest + 60, "{value:?} after {delay} s");
        assert_eq!(value.value, value.value.round());
        // Slots that ended before the last quarter-hour have arrived by now, or never will.
        if value.measured_at > scenario.start
            && value.measured_at <= scenario.end().minus(Duration::from_secs(900))
        {
            *arrived.entry(device).or_default() += 1;
        }
    }
    let devices = scenario.chargers.count + scenario.batteries.count + scenario.heat_pumps.count;
    let (meters, device_meters) =
        (arrived[&false] as f64 / (11.0 * 55.0), arrived[&true] as f64 / (11 * devices) as f64);
    assert!((0.93..1.0).contains(&meters), "{meters}");
    assert!((0.97..1.0).contains(&device_meters), "{device_meters}");
}

#[tokio::test(start_paused = true)]
async fn an_order_is_answered_at_once_and_obeyed_once() {
    let (quiet, ..) = listen(1, &[]).await;
    let battery =
        quiet.reports.iter().find(|(_, r)| matches!(r.state, DeviceState::Battery { .. })).unwrap().1.device;
    let orders =
        [(30, discharge("a", battery)), (31, discharge("a", battery)), (32, discharge("b", DeviceId(7)))];
    let (heard, _, scenario) = listen(40, &orders).await;
    assert_eq!(heard.statuses.len(), 3);
    for ((at, status), (seconds, activation)) in heard.statuses.iter().zip(&orders) {
        assert_eq!(at.since(scenario.start).as_secs(), *seconds);
        assert_eq!((&status.activation, status.device), (&activation.id, activation.device));
    }
    assert_eq!(heard.statuses[0].1, heard.statuses[1].1);
    assert!(heard.statuses[0].1.accepted && !heard.statuses[2].1.accepted);
    let metered = heard.telemetry.iter().find(|(_, value)| {
        value.point.element == Element::Device(battery)
            && value.measured_at == "2026-01-15T17:00:00Z".parse().unwrap()
    });
    assert_eq!(metered.unwrap().1.value, -1000.0);
}

#[tokio::test(start_paused = true)]
async fn devices_report_at_least_every_five_minutes_and_when_they_change() {
    let (heard, _, scenario) = listen(30, &[]).await;
    let mut by_device: BTreeMap<DeviceId, Vec<&DeviceReport>> = BTreeMap::new();
    for (_, report) in &heard.reports {
        by_device.entry(report.device).or_default().push(report);
    }
    assert_eq!(
        by_device.len(),
        scenario.chargers.count + scenario.batteries.count + scenario.heat_pumps.count
    );
    for reports in by_device.values() {
        assert!(reports.windows(2).all(|pair| pair[1].at.since(pair[0].at) <= Duration::from_secs(300)));
        assert_eq!(reports[0].at, scenario.start);
    }
}

/// Orders come when the next minute has been lived through already: it is as if it had not been.
#[tokio::test(start_paused = true)]
async fn minutes_are_those_of_a_plant_that_waits_for_orders() {
    let (quiet, ..) = listen(1, &[]).await;
    let battery = |(_, report): &&(_, DeviceReport)| matches!(report.state, DeviceState::Battery { .. });
    let batteries: Vec<_> = quiet.reports.iter().filter(battery).map(|(_, report)| report.device).collect();
    let names = ["a", "b", "c", "d"];
    let of = |at: u64, name: usize| (at, discharge(names[name], batteries[name]));
    // At a full minute, before devices report, after that, and in the slot itself.
    let orders = [of(600, 0), of(845, 1), of(890, 2), of(1000, 3)];
    let (heard, minutes, scenario) = listen(40, &orders).await;
    assert!(heard.statuses.iter().all(|(_, status)| status.accepted), "{:?}", heard.statuses);

    let feeder = Arc::new(Feeder::new(&plant::network(&scenario).unwrap()).unwrap());
    let mut alone = Plant::new(&scenario, feeder).unwrap();
    let mut orders = orders.iter().peekable();
    for minute in &minutes {
        while let Some((at, activation)) =
            orders.next_if(|(at, _)| scenario.start.plus(Duration::from_secs(*at)) < minute.at)
        {
            alone.activate(activation, scenario.start.plus(Duration::from_secs(*at)));
        }
        alone.step(minute.at).unwrap();
        assert_eq!(*minute, Minute::of(&alone));
    }
    // And what devices report of a full minute knows the orders before it.
    let reports = |device| heard.reports.iter().filter(move |(_, report)| report.device == device);
    for (at, report) in batteries.iter().flat_map(|&device| reports(device)) {
        let late = if report.at == scenario.start { Duration::ZERO } else { REPORTS_AFTER };
        assert_eq!(*at, report.at.plus(late));
    }
}

#[test]
fn the_same_seed_says_the_same() {
    let hear = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(listen(45, &[(100, discharge("a", DeviceId(7)))])).0
    };
    assert_eq!(hear(), hear());
}

#[test]
fn after_a_restart_meters_send_what_was_under_way() {
    let mut scenario = Scenario::first_light().unwrap();
    scenario.field.meter_missing = 0.0;
    let feeder = Arc::new(Feeder::new(&plant::network(&scenario).unwrap()).unwrap());
    let mut plant = Plant::new(&scenario, feeder).unwrap();
    let until = scenario.start.plus(Duration::from_secs(3600 + 300));
    let mut whole = Meters::new(&plant, &scenario);
    let mut late = Vec::new();
    let mut restarted = None;
    while plant.now() < until.plus(Duration::from_secs(900)) {
        plant.step(plant.now().plus(STEP)).unwrap();
        let due = whole.due(&plant);
        if plant.now() > until {
            late.extend(due);
        }
        if plant.now() == until {
            restarted = Some(Meters::new(&plant, &scenario));
        }
    }
    let again = restarted.unwrap().due(&plant);
    for value in &late {
        assert!(
            again.iter().any(|other| (other.point, other.measured_at) == (value.point, value.measured_at))
        );
    }
    assert!(!late.is_empty() && again.len() < late.len() + 60);
}
