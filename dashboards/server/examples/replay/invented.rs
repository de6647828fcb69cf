//! The invented feeder and evening.

use actors::picture::*;
use grid::{BranchId, BusId, Observability, Phase, PointId, Quality, Slot, Timestamp, UsagePointId};
use std::time::Duration;

/// Where the loading would pass its limit without activations, and what relief is bought, as fractions.
const PEAK: f64 = 0.62;
const RELIEF: f64 = 0.22;
const RATED_KVA: f64 = 250.0;

/// A small linear congruential generator; the same feeder on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(u32::MAX >> 1)
    }
}

pub fn network() -> NetworkPicture {
    let mut dice = Dice(7);
    let mut buses = vec![bus(0, 0.0, 12.0, 11_000.0), bus(1, 0.0, 0.0, 416.0)];
    let mut branches = vec![];
    let mut usage_points = vec![];
    for street in 0..6 {
        let mut from = if street == 0 { 1 } else { 10 + street * 14 };
        let mut heading: f64 = [-0.5, 0.9, -1.9, 0.4, -1.2, 1.5][street] - 0.6;
        for step in 0..(60 - street * 6) {
            heading += (dice.roll() - 0.5) * 0.35;
            let (x, y) = (buses[from].x_m.unwrap_or(0.0), buses[from].y_m.unwrap_or(0.0));
            let to = buses.len();
            buses.push(bus(to, x + 7.0 * heading.cos(), y + 7.0 * heading.sin(), 416.0));
            branches.push((from, to));
            from = to;
            if step % 5 == 3 {
                let side = heading + if dice.roll() > 0.5 { 1.4 } else { -1.4 };
                let (x, y) = (buses[from].x_m.unwrap_or(0.0), buses[from].y_m.unwrap_or(0.0));
                let home = buses.len();
                buses.push(bus(home, x + 14.0 * side.cos(), y + 14.0 * side.sin(), 416.0));
                branches.push((from, home));
                let mut devices = vec![];
                for (kind, share) in
                    [(DeviceKind::Charger, 0.5), (DeviceKind::HeatPump, 0.35), (DeviceKind::Battery, 0.2)]
                {
                    if dice.roll() < share {
                        devices.push(kind);
                    }
                }
                let phase = Some(Phase::ALL[usage_points.len() % 3]);
                let id = UsagePointId(usage_points.len() as u32 + 1);
                usage_points.push(UsagePointPicture { id, bus: home, phase, devices });
            }
        }
    }
    let mut branches: Vec<BranchPicture> = branches
        .into_iter()
        .enumerate()
        .map(|(index, (from, to))| BranchPicture {
            id: BranchId(1000 + index as u32),
            kind: BranchKind::Line,
            from,
            to,
            rated_a: Some(250.0),
            rated_kva: None,
        })
        .collect();
    let kind = BranchKind::Transformer;
    branches.push(BranchPicture {
        id: BranchId(1),
        kind,
        from: 0,
        to: 1,
        rated_a: None,
        rated_kva: Some(RATED_KVA),
    });
    let notes = vec!["Invented feeder: nothing on this page comes from physics or from a market.".to_owned()];
    NetworkPicture {
        name: "Invented evening".to_owned(),
        notes,
        area: "replay".to_owned(),
        buses,
        branches,
        usage_points,
    }
}

fn bus(id: usize, x: f64, y: f64, u_rated_v: f64) -> BusPicture {
    BusPicture { id: BusId(id as u32), x_m: Some(x), y_m: Some(y), u_rated_v }
}

pub struct Evening {
    flexible: bool,
    seq: u64,
    now: Timestamp,
    start: Timestamp,
    distance: Vec<f64>,
    downstream: Vec<f64>,
    history: Vec<HistoryEntry>,
    feed: Vec<FeedEntry>,
    totals: Totals,
}

impl Evening {
    pub fn new(network: &NetworkPicture, flexible: bool) -> Self {
        let mut distance: Vec<f64> = vec![0.0; network.buses.len()];
        let mut downstream = vec![0.0; network.buses.len()];
        for home in &network.usage_points {
            downstream[home.bus] += 1.0;
        }
        let mut lines: Vec<&BranchPicture> =
            network.branches.iter().filter(|branch| branch.kind == BranchKind::Line).collect();
        // Two hundred sweeps reach the end of any feeder shown here, in whatever order its lines come.
        for _ in 0..200 {
            for line in &lines {
                distance[line.to] = distance[line.from] + 1.0;
            }
        }
        lines.sort_by(|a, b| distance[b.to].total_cmp(&distance[a.to]));
        for line in lines {
            downstream[line.from] += downstream[line.to];
        }
        let start = Timestamp::from_seconds(1_768_494_600); // 2026-01-15T16:30:00Z
        let mut evening = Self {
            flexible,
            seq: 0,
            now: start,
            start,
            distance,
            downstream,
            history: vec![],
            feed: vec![],
            totals: Totals::default(),
        };
        for minute in (1..=120_u64).rev() {
            evening.remember(start.minus(Duration::from_secs(60 * minute)));
        }
        evening
    }

    /// A quarter of a second at sixty-fold speed.
    pub fn step(&mut self) {
        let before = self.minute();
        self.now = self.now.plus(Duration::from_secs(15));
        if self.minute() != before {
            self.remember(self.now);
            self.tell(self.minute());
        }
    }

    fn minute(&self) -> u64 {
        self.now.since(self.start).as_secs() / 60
    }

    fn contracted(&self) -> bool {
        self.totals.contracts > 0
    }

    /// Loading without activations.
    fn plain(at: Timestamp) -> f64 {
        let hours = (at.seconds() - 1_768_500_000) as f64 / 3600.0; // around 18:00Z
        0.58 + PEAK * (-(hours * hours) / 1.1).exp() + 0.012 * (at.seconds() as f64 / 97.0).sin()
    }

    fn loading(&self, at: Timestamp) -> f64 {
        let plain = Self::plain(at);
        let active = self.contracted() && at.seconds() > self.start.seconds() + 2700;
        if active { plain - RELIEF.min((plain - 0.8).max(0.0)) } else { plain }
    }

    fn remember(&mut self, at: Timestamp) {
        let estimated = self.loading(at) * RATED_KVA;
        let gap = at.seconds() / 60 % 41 < 4;
        self.history.push(HistoryEntry {
            at,
            measured_kva: (!gap).then_some(estimated * (1.0 + 0.012 * (at.seconds() as f64).sin())),
            estimated_kva: Some(estimated),
            without_flex_kva: self.contracted().then(|| Self::plain(at) * RATED_KVA),
        });
        let extra = self.history.len().saturating_sub(HISTORY_MINUTES);
        self.history.drain(..extra);
    }

    fn say(&mut self, kind: FeedKind, text: &str) {
        let seq = self.feed.last().map_or(1, |entry| entry.seq + 1);
        self.feed.push(FeedEntry { seq, at: self.now, kind, text: text.to_owned() });
        let extra = self.feed.len().saturating_sub(FEED_ENTRIES_MAX);
        self.feed.drain(..extra);
    }

    fn tell(&mut self, minute: u64) {
        match minute {
            9..=62 if !self.flexible => {}
            1 => self.say(FeedKind::Link, "telemetry link is up, 412 points subscribed"),
            4 => self.say(
                FeedKind::Offer,
                "FlexOffer ev-12-3 of prosumer 12: charger, 11.2 kWh, up to 7.4 kW, until 05:45",
            ),
            5 => self.say(
                FeedKind::Offer,
                "FlexOffer hp-31-88 of prosumer 31: heat pump, down to 40 % for 3 quarter-hours",
            ),
            8 => self
                .say(FeedKind::Need, "transformer 1 needs −36.5 kWh from 18:15 to 20:45, at most 0.60 €/kWh"),
            11 => self.say(
                FeedKind::Clearing,
                "round 11: 9 of 14 aggregates taken, 34.1 of 36.5 kWh met, cost 7.31 €",
            ),
            12 => {
                self.say(FeedKind::Contract, "contract c-1 with 23 FlexOffers: −34.1 kWh for 7.31 €");
                self.totals.contracts = 1;
                self.totals.ordered_kwh = 34.1;
            }
            13..=22 => {
                self.say(
                    FeedKind::Activation,
                    &format!("charger {} shall take 1.2 kW instead of 7.4 kW until 20:30", minute + 100),
                );
                self.totals.activations += 1;
            }
            24 => self.say(
                FeedKind::Rejected,
                "FlexOffer x-9 refused: acceptance deadline has passed (deadline_passed)",
            ),
            26 => {
                self.say(FeedKind::Restart, "estimator of region 1 restarted after an error, 1 of 5 in 10 s")
            }
            30..=60 if minute.is_multiple_of(3) => {
                self.say(
                    FeedKind::Delivery,
                    &format!("charger {} delivered 1.52 of 1.55 kWh from 18:15 to 18:30", minute + 83),
                );
                self.totals.delivered_kwh += 1.52;
                self.totals.confirmed += 1;
            }
            31..=61 if minute % 3 == 1 => {
                self.say(FeedKind::Settlement, "offer ev-12-3 earns 0.33 €, fee 0.01 €");
                self.totals.settled += 1;
                self.totals.paid_eur += 0.34;
            }
            _ => {}
        }
        self.totals.offers = minute.min(55);
    }

    pub fn picture(&mut self, network: &NetworkPicture) -> Picture {
        self.seq += 1;
        let loading = self.loading(self.now);
        let needs = self.needs();
        self.totals.need_kwh = needs.iter().map(|need| need.change_kwh.abs()).sum();
        Picture {
            estimate: None,
            seq: self.seq,
            clock: ClockPicture { now: self.now, speed: 60.0, zone: "Europe/Berlin".to_owned() },
            health: self.health(),
            transformer: Some(self.transformer(loading)),
            voltages: self.voltages(loading),
            branch_loading: network
                .branches
                .iter()
                .map(|branch| match branch.kind {
                    BranchKind::Line => Some((loading * 0.9 * self.downstream[branch.to] / 60.0) as f32),
                    BranchKind::Transformer => Some(loading as f32),
                })
                .collect(),
            points: self.points(loading),
            needs,
            clearing: None,
            totals: self.totals.clone(),
            feed: self.feed.clone(),
        }
    }

    fn health(&self) -> Health {
        let minutes = self.minute();
        Health {
            link: Link::Up,
            last_telemetry_at: Some(self.now.minus(Duration::from_secs(9))),
            received: 412 * minutes,
            rejected: u64::from(minutes > 24),
            skipped: 0,
            restarts: u64::from(minutes > 26),
            quarantined: 0,
            journal_records: 3 * self.feed.len() as u64,
            estimator: EstimatorHealth {
                ok: true,
                at: Some(self.now.minus(Duration::from_secs(12))),
                iterations: 4,
                objective_ratio: Some(0.93),
                chance: Some(0.7),
                suspects: Vec::new(),
                alarms: Default::default(),
                message: None,
            },
            offers_open: minutes.min(55),
            skips: Vec::new(),
            rejections: if minutes > 24 {
                vec![RejectionCount { code: "deadline_passed".to_owned(), count: 1 }]
            } else {
                vec![]
            },
        }
    }

    fn transformer(&self, loading: f64) -> TransformerPicture {
        let first = self.now.slot();
        let outlook = (1..=24)
            .map(|count| {
                let slot_start = first.plus(count).start();
                let (expected, plain) = (self.loading(slot_start), Self::plain(slot_start));
                let p90 = expected + 0.03 + 0.004 * count as f64;
                let probability = 1.0 / (1.0 + (-(expected - 1.0) * 40.0).exp());
                let loading_without_flex = Some(plain);
                OutlookEntry {
                    slot_start,
                    loading: expected,
                    loading_p90: p90,
                    probability,
                    loading_without_flex,
                }
            })
            .collect();
        let last = self.history.iter().rev().find(|entry| entry.measured_kva.is_some());
        TransformerPicture {
            branch: BranchId(1),
            rated_kva: RATED_KVA,
            loading: Some(loading),
            loading_std: Some(0.011),
            estimated_kva: Some(loading * RATED_KVA),
            measured_kva: last.and_then(|entry| entry.measured_kva),
            measured_at: last.map(|entry| entry.at),
            history: self.history.clone(),
            outlook,
        }
    }

    fn voltages(&self, loading: f64) -> Voltages {
        let farthest = self.distance.iter().copied().fold(1.0, f64::max);
        let volts = |share: f64| {
            let pu = |distance: &f64| Some((1.045 - 0.118 * share * loading * distance / farthest) as f32);
            self.distance.iter().map(pu).collect::<Vec<_>>()
        };
        let mut a = volts(1.0);
        let unobserved = a.len() - 14;
        a[unobserved..].fill(None);
        let (mut b, mut c) = (volts(0.82), volts(0.93));
        b[unobserved..].fill(None);
        c[unobserved..].fill(None);
        let std =
            self.distance.iter().map(|distance| Some((0.001 + 0.002 * distance / farthest) as f32)).collect();
        // The head of the feeder is measured, the middle rests on expectations, the end is unknown.
        let know = |bus: usize| match bus {
            bus if bus >= unobserved => Observability::Unobservable,
            bus if bus < 5 => Observability::Measured,
            _ => Observability::Expected,
        };
        let observability = (0..a.len()).map(know).collect();
        Voltages { at: Some(self.now.minus(Duration::from_secs(12))), a, b, c, std, observability }
    }

    fn points(&self, loading: f64) -> Vec<PointRow> {
        let row = |point: &str, unit, value: f64, age: u64, quality, normalized: f64| PointRow {
            point: point.parse::<PointId>().unwrap_or_else(|error| unreachable!("{error}")),
            value: (quality != Quality::Missing).then_some(value),
            unit,
            quality,
            rule: None,
            refused: None,
            measured_at: Some(self.now.minus(Duration::from_secs(age))),
            estimated: Some(value * (1.0 - normalized * 0.004)),
            normalized: (quality != Quality::Missing).then_some(normalized),
            detectable: Some(value.abs() * 0.02),
            untestable: None,
        };
        let mut rows = vec![];
        for (index, phase) in ["a", "b", "c"].into_iter().enumerate() {
            let wobble = ((self.now.seconds() / 60 + index as i64) as f64).sin();
            let power = loading * 83_000.0 * (1.0 + 0.05 * index as f64);
            rows.push(row(&format!("branch.1000.p.{phase}"), "W", power, 9, Quality::Measured, wobble));
            rows.push(row(
                &format!("bus.1.u.{phase}"),
                "V",
                244.1 - loading * 2.0,
                9,
                Quality::Measured,
                -0.4 * wobble,
            ));
            rows.push(row(
                &format!("branch.1021.i.{phase}"),
                "A",
                81.3 * loading,
                9,
                Quality::Measured,
                0.7 * wobble,
            ));
        }
        for meter in 1..=30_u32 {
            let (age, quality, normalized) = match meter {
                7 => (5040, Quality::Substituted, -1.4),
                9 => (9000, Quality::Missing, 0.0),
                11 => (660, Quality::Measured, 4.2),
                _ => (420 + 13 * u64::from(meter), Quality::Measured, (f64::from(meter) * 1.7).sin()),
            };
            rows.push(row(
                &format!("meter.{meter}.energy"),
                "Wh",
                180.0 + 23.0 * f64::from(meter),
                age,
                quality,
                normalized,
            ));
        }
        rows
    }

    fn needs(&self) -> Vec<NeedRow> {
        if self.minute() < 8 || self.minute() > 90 {
            return vec![];
        }
        let first = self.now.slot();
        let outside = |count: i64| -> Option<NeedRow> {
            let slot: Slot = first.plus(count);
            let over = self.loading(slot.start()) - 0.95;
            (over > 0.0).then(|| NeedRow {
                bid: market::BidId::new(format!("need-{}-t1", self.minute() / 15))
                    .unwrap_or_else(|error| unreachable!("{error}")),
                element: "transformer 1".to_owned(),
                phase: None,
                slot_start: slot.start(),
                change_kwh: -over * RATED_KVA * Slot::HOURS,
                price_per_kwh: 0.6,
            })
        };
        (1..=24).filter_map(outside).collect()
    }
}
