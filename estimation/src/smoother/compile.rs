//! From a circuit, its tree and the readings to the rows the passes work on.

use super::NotSmoothable;
use super::core::{Aim, Core, MadeAt, Place};
use super::cuts::{self, Cut, Place as CutPlace, Row};
use super::dense::{self, HALF, LANES, Matrix, Vector};
use super::injections::Load;
use super::lines::{self, Lines, NONE, Shunt};
use super::meters::{Meter, Says};
use super::posterior::Ends;
use super::precision::Factors;
use crate::circuit::{Circuit, Coupling, FlowPlace, PowerReading, Readings, Tree};
use crate::simd::Path;

/// Variance of a free wire's current, p.u.², when readings are small: a wide window around where it was. It grows with
/// the largest power measured, so that it stays wide beside every reading.
const WIDE: f64 = 1.0;
/// The smallest variance of a voltage reading, p.u.²: below it a reading would drown everything else in rounding.
const SHARPEST: f64 = 1e-18;

/// Where the values of readings went.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets {
    /// Per voltage reading: meters of magnitude and angle.
    pub voltages: Vec<(u32, u32)>,
    /// Per injection reading: load.
    pub injections: Vec<u32>,
    /// Per power reading: where P and Q went.
    pub powers: Vec<(Target, Target)>,
    /// Per current reading: rows along and across, or of the magnitude alone.
    pub currents: Vec<(Target, Target)>,
}

/// Where one value went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Nowhere.
    Nothing,
    /// Cut and row.
    Row(u32, u32),
    /// A wire of a load: a free wire whose bus is measured.
    Load(u32, u8),
}

/// The core and what leads from readings to it.
#[derive(Debug, Clone)]
pub(super) struct Compiled<const N: usize> {
    pub core: Core<N>,
    pub targets: Targets,
    /// Whether phasors fix the angles; otherwise the source's first wire does.
    pub phasors: bool,
    /// Admittances at the ends of the line above each position.
    pub ends: Vec<Ends>,
    /// Position → the element above, and whether it is fed at its `from` side.
    pub elements: Vec<(u32, bool)>,
    /// Positions with shunts or open ends of branches, rising.
    pub loaded: Vec<u32>,
}

/// Reads structure and values.
pub(super) fn compile<const N: usize>(
    circuit: &Circuit,
    tree: &Tree,
    readings: &Readings,
) -> Result<Compiled<N>, NotSmoothable> {
    let count = tree.order.len();
    let lines = Lines::<N>::new(circuit, tree)?;
    let nobody = Place { load: NONE, meter: NONE, site: NONE, level: 0 };
    let mut core = Core {
        path: Path::detect(),
        lines,
        place: vec![nobody; count],
        loads: Vec::new(),
        meters: Vec::new(),
        sites: Vec::new(),
        cuts: Vec::new(),
        drawn: Vec::new(),
        admittances: Vec::new(),
        levels: 0,
        root_free: 0,
        evident: 0,
        double: Factors::default(),
        single: Factors::default(),
        made_at: Vec::new(),
        root: dense::zero(),
        root_weak: dense::zero(),
        aim: Aim::FirstWire,
        root_start: [0.0; LANES],
        root_flow: (dense::zero(), dense::zero()),
        v: vec![[0.0; LANES]; count],
        mu: vec![[0.0; LANES]; count],
        j: vec![[0.0; LANES]; count],
        pull: vec![[0.0; LANES]; count],
    };
    for i in 1..count {
        core.place[i].level = core.place[core.lines.line[i].parent as usize].level + 1;
        core.levels = core.levels.max(core.place[i].level as usize);
    }
    let ends = (0..count).map(|i| ends(&mut core.lines, circuit, tree, i)).collect();
    let elements = (0..count).map(|i| (tree.element[i], tree.fed_at_from[i])).collect();
    let wide = wide(readings);
    let below = tree.below(circuit);
    let loaded = loaded(circuit, tree);
    let mut work = Work { circuit, tree, below, loaded, readings, core, targets: Targets::default(), wide };
    work.loads();
    let phasors = work.meters();
    work.cuts();
    work.evidence();
    let Work { mut core, targets, loaded, .. } = work;
    core.double = Factors::new(&core);
    core.single = Factors::new(&core);
    core.made_at = vec![MadeAt::NOWHERE; core.count()];
    Ok(Compiled { core, targets, phasors, ends, elements, loaded })
}

/// Positions with elements of their own beside loads.
fn loaded(circuit: &Circuit, tree: &Tree) -> Vec<u32> {
    let open = circuit.general.iter().flat_map(|element| element.terminals.iter().map(|terminal| terminal.0));
    let buses = circuit.shunts.iter().map(|shunt| shunt.bus).chain(open);
    let mut positions: Vec<u32> = buses.map(|bus| tree.position[bus as usize]).collect();
    positions.retain(|position| *position != NONE);
    positions.sort_unstable();
    positions.dedup();
    positions
}

struct Work<'a, const N: usize> {
    circuit: &'a Circuit,
    tree: &'a Tree,
    /// Series element → the position below it.
    below: Vec<u32>,
    /// Positions with shunts or open ends of branches, rising.
    loaded: Vec<u32>,
    readings: &'a Readings,
    core: Core<N>,
    targets: Targets,
    wide: f64,
}

/// The variance that is wide beside all powers measured, p.u.².
fn wide(readings: &Readings) -> f64 {
    let injections = readings.injections.iter().map(|reading| reading.s.norm_sqr());
    let powers = readings.powers.iter().map(|reading| reading.s.norm_sqr());
    let largest = injections.chain(powers).filter(|square| square.is_finite()).fold(0.0, f64::max);
    WIDE.max(10.0 * largest)
}

/// The admittances at the ends of the line above a position.
fn ends<const N: usize>(lines: &mut Lines<N>, circuit: &Circuit, tree: &Tree, position: usize) -> Ends {
    if position == 0 {
        return Ends { below: Shunt::default(), above: Shunt::default() };
    }
    let series = &circuit.series[tree.element[position] as usize];
    let (from, to) = (lines.shunt_of(&series.y_from), lines.shunt_of(&series.y_to));
    if tree.fed_at_from[position] { Ends { below: to, above: from } } else { Ends { below: from, above: to } }
}

impl<const N: usize> Work<'_, N> {
    fn position(&self, bus: u32) -> Option<usize> {
        let position = self.tree.position[bus as usize];
        (position != NONE).then_some(position as usize)
    }

    /// The bus and local wire of a global wire.
    fn wire(&self, wire: u32) -> (u32, u8) {
        let bus = self.circuit.buses.partition_point(|bus| bus.first_wire <= wire) - 1;
        (bus as u32, (wire - self.circuit.buses[bus].first_wire) as u8)
    }

    fn load(&mut self, position: usize) -> &mut Load {
        let mut at = self.core.place[position].load;
        if at == NONE {
            at = self.core.loads.len() as u32;
            self.core.place[position].load = at;
            let zero = [0.0; LANES];
            self.core.loads.push(Load { position: position as u32, free: 0, measured: zero, variance: zero });
        }
        &mut self.core.loads[at as usize]
    }

    /// Injections and free wires. Loads are numbered in tree order, so that a pass meets them one after the other.
    fn loads(&mut self) {
        let readings = self.readings;
        let mut positions: Vec<usize> =
            readings.injections.iter().filter_map(|reading| self.position(reading.bus)).collect();
        let free: Vec<(u32, u8)> = readings.free.iter().map(|&wire| self.wire(wire)).collect();
        positions.extend(free.iter().filter_map(|&(bus, _)| self.position(bus)).filter(|&at| at != 0));
        let at_bus = |reading: &&PowerReading| matches!(reading.place, FlowPlace::Bus(_));
        for reading in readings.powers.iter().filter(at_bus) {
            let FlowPlace::Bus(bus) = reading.place else { continue };
            positions.extend(self.position(bus));
        }
        positions.sort_unstable();
        for position in positions {
            self.load(position);
        }
        self.targets.injections = vec![NONE; readings.injections.len()];
        for (index, reading) in readings.injections.iter().enumerate() {
            let Some(position) = self.position(reading.bus) else { continue };
            let at = self.core.place[position].load;
            self.targets.injections[index] = at;
            let k = usize::from(reading.wire);
            let load = self.load(position);
            let variances = [reading.variance_p, reading.variance_q];
            if variances.iter().any(|variance| !variance.is_finite()) {
                load.free |= 1 << k;
                continue;
            }
            (load.measured[k], load.measured[k + HALF]) = (reading.s.re, reading.s.im);
            (load.variance[k], load.variance[k + HALF]) = (reading.variance_p, reading.variance_q);
        }
        for (bus, wire) in free {
            match self.position(bus) {
                Some(0) => self.core.root_free |= 1 << wire,
                Some(position) => self.load(position).free |= 1 << wire,
                None => {}
            }
        }
        if self.core.place[0].load != NONE {
            let root = self.core.root_free;
            self.load(0).free |= root;
        }
        let wide = self.wide;
        self.core.loads.iter_mut().for_each(|load| widen(load, wide));
    }

    /// Meters, sorted by position; returns whether phasors fix the angles.
    fn meters(&mut self) -> bool {
        let readings = self.readings;
        let mut rows: Vec<(usize, Meter, u32)> = Vec::with_capacity(readings.voltages.len() + 3);
        let usable = |variance: f64| variance.is_finite();
        for (index, reading) in readings.voltages.iter().enumerate() {
            let Some(position) = self.position(reading.bus) else { continue };
            let meter = Meter {
                position: position as u32,
                wire: reading.wire,
                says: Says::Magnitude,
                value: reading.magnitude,
                variance: reading.variance.max(SHARPEST),
            };
            if usable(reading.variance) {
                rows.push((position, meter, index as u32));
            }
            if let Some(angle) = reading.angle.filter(|_| usable(reading.variance_across)) {
                let variance = reading.variance_across.max(SHARPEST);
                let across = Meter { says: Says::Angle, value: angle, variance, ..meter };
                rows.push((position, across, index as u32));
            }
        }
        let phasors = rows.iter().any(|row| row.1.says == Says::Angle);
        rows.sort_by_key(|row| (row.0, row.2));
        if !phasors && let Some(&(position, first, _)) = rows.first() {
            let of_wire = |wire: usize| {
                let found = rows.iter().find(|row| row.0 == position && usize::from(row.1.wire) == wire);
                found.map_or(first.variance, |row| row.1.variance)
            };
            let reference: Vec<_> = (0..N / 2)
                .map(|wire| {
                    let variance = of_wire(wire);
                    let meter =
                        Meter { wire: wire as u8, says: Says::Reference, value: 0.0, variance, ..first };
                    (position, meter, NONE)
                })
                .collect();
            rows.splice(0..0, reference);
        }
        self.targets.voltages = vec![(NONE, NONE); readings.voltages.len()];
        for (at, (position, meter, reading)) in rows.into_iter().enumerate() {
            let place = &mut self.core.place[position];
            if place.meter == NONE {
                place.meter = at as u32;
            }
            match meter.says {
                Says::Magnitude => self.targets.voltages[reading as usize].0 = at as u32,
                Says::Angle => self.targets.voltages[reading as usize].1 = at as u32,
                Says::Reference => {}
            }
            self.core.meters.push(meter);
        }
        phasors
    }

    /// Powers and currents. Cuts are sorted by position and place.
    fn cuts(&mut self) {
        let readings = self.readings;
        let mut found: Vec<(usize, CutPlace, u32)> = Vec::new();
        for (index, place) in readings
            .powers
            .iter()
            .map(|r| r.place)
            .chain(readings.currents.iter().map(|r| r.place))
            .enumerate()
        {
            if let Some((position, place)) = self.cut_place(place) {
                found.push((position, place, index as u32));
            }
        }
        found.sort_unstable();
        self.targets.powers = vec![(Target::Nothing, Target::Nothing); readings.powers.len()];
        self.targets.currents = vec![(Target::Nothing, Target::Nothing); readings.currents.len()];
        let mut rooted = false;
        for (position, place, index) in found {
            if position > 0 && !rooted {
                self.balance();
                rooted = true;
            }
            let index = index as usize;
            if index < readings.powers.len() {
                let reading = readings.powers[index];
                self.targets.powers[index] = self.power(position, place, &reading);
            } else {
                let at = index - readings.powers.len();
                self.targets.currents[at] = self.current(position, place, at);
            }
        }
        if !rooted {
            self.balance();
        }
    }

    fn cut_place(&self, place: FlowPlace) -> Option<(usize, CutPlace)> {
        let end = |element: u32, from: bool| {
            let child =
                Some(self.below[element as usize] as usize).filter(|&child| child != NONE as usize)?;
            let above = self.tree.fed_at_from[child] == from;
            Some((child, if above { CutPlace::Above } else { CutPlace::Below }))
        };
        match place {
            FlowPlace::SeriesFrom(element) => end(element, true),
            FlowPlace::SeriesTo(element) => end(element, false),
            FlowPlace::Bus(bus) => Some((self.position(bus)?, CutPlace::Own)),
            FlowPlace::Shunt(shunt) => {
                Some((self.position(self.circuit.shunts[shunt as usize].bus)?, CutPlace::Local))
            }
            FlowPlace::General { element, terminal } => {
                let bus = self.circuit.general[element as usize].terminals[usize::from(terminal)].0;
                Some((self.position(bus)?, CutPlace::Local))
            }
        }
    }

    /// The admittance between a cut and the measured current.
    fn admittance(&mut self, position: usize, place: CutPlace, flow: FlowPlace) -> u32 {
        let y: Matrix<N> = match flow {
            FlowPlace::Bus(bus) if place == CutPlace::Own && self.has_shunt(bus) => {
                let here = self.circuit.shunts.iter().filter(|shunt| shunt.bus == bus);
                lines::real_form(&here.map(|shunt| shunt.y.to_matrix(N / 2)).sum())
            }
            FlowPlace::Bus(_) => return NONE,
            FlowPlace::SeriesFrom(_) | FlowPlace::SeriesTo(_) => {
                let series = &self.circuit.series[self.tree.element[position] as usize];
                let child_is_to = self.tree.fed_at_from[position];
                let below = place == CutPlace::Below;
                let y = if below == child_is_to { &series.y_to } else { &series.y_from };
                if *y == Coupling::Zero {
                    return NONE;
                }
                lines::real_form(&y.to_matrix(N / 2))
            }
            FlowPlace::Shunt(shunt) => {
                lines::real_form(&self.circuit.shunts[shunt as usize].y.to_matrix(N / 2))
            }
            FlowPlace::General { element, terminal } => {
                let general = &self.circuit.general[element as usize];
                let y = lines::terminal_at_bus(general, N / 2, usize::from(terminal));
                lines::real_form(&y)
            }
        };
        self.core.admittances.push(y);
        (self.core.admittances.len() - 1) as u32
    }

    /// Whether something stands at a bus that is taken beside loads.
    fn has_shunt(&self, bus: u32) -> bool {
        let position = self.tree.position[bus as usize];
        self.loaded.binary_search(&position).is_ok()
            && self.circuit.shunts.iter().any(|shunt| shunt.bus == bus)
    }

    /// The cut at a place, made when it is the first there. Cuts of general elements are one each.
    fn cut(&mut self, position: usize, place: CutPlace, flow: FlowPlace) -> u32 {
        let last = self.core.cuts.last().map(|cut| (cut.position as usize, cut.place));
        if last == Some((position, place)) && place != CutPlace::Local {
            return (self.core.cuts.len() - 1) as u32;
        }
        let y = self.admittance(position, place, flow);
        self.core.cuts.push(Cut::new(position as u32, place, y));
        let at = (self.core.cuts.len() - 1) as u32;
        self.at_site(position, place, at);
        at
    }

    fn at_site(&mut self, position: usize, place: CutPlace, at: u32) {
        let site = self.core.site(position);
        match place {
            CutPlace::Own => site.own = at,
            CutPlace::Above => site.above = at,
            CutPlace::Local | CutPlace::Below if site.here.0 == site.here.1 => site.here = (at, at + 1),
            CutPlace::Local | CutPlace::Below => site.here.1 = at + 1,
        }
    }

    fn row(&mut self, cut: u32, says: cuts::Says, value: f64, variance: f64) -> Target {
        let rows = &mut self.core.cuts[cut as usize].rows;
        rows.push(Row::new(says, value, variance));
        Target::Row(cut, (rows.len() - 1) as u32)
    }

    fn power(&mut self, position: usize, place: CutPlace, reading: &PowerReading) -> (Target, Target) {
        if let (CutPlace::Own, Some(wire), Some(p), Some(q)) =
            (place, reading.wire, reading.variance_p, reading.variance_q)
        {
            // All that is known of a free wire: then it is the injection.
            let free = 1 << wire;
            let at = self.core.place[position].load;
            let shunted = self.has_shunt(self.tree.order[position]);
            let load = &mut self.core.loads[at as usize];
            if load.free & free != 0 && p.is_finite() && q.is_finite() && !shunted {
                load.free &= !free;
                let k = usize::from(wire);
                (load.measured[k], load.measured[k + HALF]) = (reading.s.re, reading.s.im);
                (load.variance[k], load.variance[k + HALF]) = (p, q);
                if position == 0 {
                    self.core.root_free &= !free;
                }
                return (Target::Load(at, wire), Target::Load(at, wire));
            }
        }
        let cut = self.cut(position, place, reading.place);
        let wire = reading.wire.unwrap_or(cuts::ALL);
        let known = |variance: Option<f64>| variance.filter(|variance| variance.is_finite());
        let mut targets = (Target::Nothing, Target::Nothing);
        if let Some(variance) = known(reading.variance_p) {
            targets.0 = self.row(cut, cuts::Says::Active(wire), reading.s.re, variance);
        }
        if let Some(variance) = known(reading.variance_q) {
            targets.1 = self.row(cut, cuts::Says::Reactive(wire), reading.s.im, variance);
        }
        targets
    }

    fn current(&mut self, position: usize, place: CutPlace, index: usize) -> (Target, Target) {
        let reading = self.readings.currents[index];
        let cut = self.cut(position, place, reading.place);
        let Some(angle) = reading.angle else {
            let says = cuts::Says::Magnitude(reading.wire);
            return (self.row(cut, says, reading.magnitude, reading.variance), Target::Nothing);
        };
        let says = |across| cuts::Says::Phasor {
            wire: reading.wire,
            across,
            relative: reading.angle_from_voltage,
            angle,
        };
        let along = self.row(cut, says(false), reading.magnitude, reading.variance);
        (along, self.row(cut, says(true), 0.0, reading.variance_across))
    }

    /// The root takes what it takes: where that is measured, nothing may flow in from elsewhere.
    fn balance(&mut self) {
        let all = (1_u32 << (N / 2)) - 1;
        let mut bound = all & !self.core.root_free;
        let own =
            self.core.place[0].site != NONE && self.core.sites[self.core.place[0].site as usize].own != NONE;
        if own {
            // A reading of the whole bus: even its free wires are accounted for.
            bound = all;
        }
        if bound == 0 {
            // Nothing is known of what the root takes.
            self.core.place[0].load = NONE;
            return;
        }
        let at = self.cut(0, CutPlace::Below, FlowPlace::Bus(self.tree.order[0]));
        for wire in (0..N / 2).filter(|wire| bound & (1 << wire) != 0) {
            for imaginary in [false, true] {
                let says = cuts::Says::Balance { wire: wire as u8, imaginary };
                self.row(at, says, 0.0, 0.0);
            }
        }
    }

    /// Numbers the lines with evidence below.
    fn evidence(&mut self) {
        let core = &mut self.core;
        let mut evident = vec![false; core.place.len()];
        for i in (0..core.place.len()).rev() {
            let place = core.place[i];
            let site = (place.site != NONE).then(|| core.sites[place.site as usize]);
            let here = site.is_some_and(|site| site.own != NONE || site.here.0 != site.here.1);
            evident[i] |= place.meter != NONE || here;
            if i == 0 {
                break;
            }
            if evident[i] {
                core.lines.line[i].evidence = core.evident as u32;
                core.evident += 1;
            }
            if evident[i] || site.is_some_and(|site| site.above != NONE) {
                evident[core.lines.line[i].parent as usize] = true;
            }
        }
    }
}

/// Gives free wires their wide window.
fn widen(load: &mut Load, wide: f64) {
    for k in (0..HALF).filter(|k| load.free & (1 << k) != 0) {
        (load.measured[k], load.measured[k + HALF]) = (0.0, 0.0);
        (load.variance[k], load.variance[k + HALF]) = (wide, wide);
    }
}

/// A root's voltage: nominal, from a magnitude and the angle of the first wire.
pub(super) fn nominal<const N: usize>(magnitude: f64, angle: f64) -> Vector {
    let mut v = [0.0; LANES];
    for k in 0..N / 2 {
        let angle = angle - k as f64 * std::f64::consts::TAU / (N / 2) as f64;
        (v[k], v[k + HALF]) = (magnitude * angle.cos(), magnitude * angle.sin());
    }
    v
}
