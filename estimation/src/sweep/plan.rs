//! What the sweep knows of a topology: compact records by tree position, made once.

use super::phasors::Matrix;
use crate::circuit::{Circuit, Coupling, GROUND, NotATree, Tree};
use nalgebra::DMatrix;
use num_complex::Complex64;

/// No extra record.
pub(super) const NONE: u32 = u32::MAX;
/// Subtrees up to this size are walked down and up again while they are in the cache.
const BLOCK: u32 = 256;

/// Shape of the tree at a position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Distance to the source behind its impedance: 1 at the root.
    pub depth: u32,
    /// Position of the parent; the root is its own.
    pub parent: u32,
    /// Load record; 0 is empty.
    pub load: u32,
    /// Part of the tree with the same no-load voltage.
    pub zone: u32,
    /// Record of what lines do not have, or [`NONE`].
    pub extra: u32,
}

/// Impedance of the element above and shunt at the bus: own re, own im, mutual re, mutual im.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Link {
    /// Z.
    pub z: [f64; 4],
    /// Y.
    pub y: [f64; 4],
}

/// What few elements have. A full Z or Y adds to an empty one in the [`Link`].
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    /// T and its adjoint.
    pub ratio: Option<(Matrix, Matrix)>,
    /// Full impedance.
    pub z: Option<Matrix>,
    /// Full shunt.
    pub y: Option<Matrix>,
    /// Below is a transformer that mixes wires: the subtree's response is a full matrix.
    pub mixed: bool,
    /// So it is at the parent.
    pub under: bool,
}

/// A stretch of the depth-first order: a whole subtree, or a bus above such.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// First position.
    pub start: usize,
    /// Behind the last.
    pub end: usize,
    /// Whether it is a whole subtree.
    pub block: bool,
}

/// Where a port of the circuit is.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortPlace {
    /// Number in the circuit.
    pub port: u32,
    /// Tree position of its bus.
    pub position: u32,
    /// Its load record.
    pub load: u32,
    /// Wire it is taken from.
    pub plus: u8,
    /// Wire it returns to, or [`GROUND`].
    pub minus: u8,
}

/// Everything that depends on topology and equipment only.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// 1 or 3.
    pub wires: usize,
    /// All wires of the circuit, dead ones included.
    pub wire_count: usize,
    /// By position.
    pub nodes: Vec<Node>,
    /// By position.
    pub links: Vec<Link>,
    /// By position: first global wire.
    pub first_wire: Vec<u32>,
    /// Wires of dead buses.
    pub dead_wires: Vec<u32>,
    /// By position: bus.
    pub buses: Vec<u32>,
    /// See [`Node::extra`].
    pub extras: Vec<Extra>,
    /// The order cut into blocks.
    pub items: Vec<Item>,
    /// Ports on live buses by position.
    pub ports: Vec<PortPlace>,
    /// Load records, the empty one included.
    pub loads: usize,
    /// No-load voltage by zone.
    pub zones: Vec<[Complex64; 3]>,
    /// Largest depth.
    pub depth: usize,
    /// Whether the source leaves a voltage undetermined.
    pub floating: bool,
}

impl Plan {
    pub(super) fn new(circuit: &Circuit, tree: &Tree) -> Result<Self, NotATree> {
        let wires = circuit.uniform_wires().filter(|wires| matches!(wires, 1 | 3)).ok_or(NotATree::Wires)?;
        let root = *tree.order.first().ok_or(NotATree::Sources(0))?;
        let shunts = shunts(circuit, tree, wires);
        let (emf, z_source) = source(circuit, root, wires);
        let mixed = mixed(circuit, tree);
        let mut plan = Self {
            wires,
            wire_count: circuit.wire_count(),
            nodes: Vec::with_capacity(tree.order.len()),
            links: Vec::with_capacity(tree.order.len()),
            first_wire: tree.order.iter().map(|&bus| circuit.buses[bus as usize].first_wire).collect(),
            dead_wires: (0..circuit.buses.len() as u32)
                .filter(|&bus| tree.position[bus as usize] == NONE)
                .flat_map(|bus| circuit.wires(bus))
                .map(|wire| wire as u32)
                .collect(),
            buses: tree.order.clone(),
            extras: Vec::new(),
            items: items(tree),
            ports: Vec::new(),
            loads: 1,
            zones: vec![padded(&emf)],
            depth: 1,
            floating: z_source.is_none(),
        };
        for (position, y) in shunts.iter().enumerate() {
            let mut node = Node { depth: 1, parent: 0, load: 0, zone: 0, extra: NONE };
            let (mut ratio, mut z) = (None, z_source.clone().unwrap_or_default());
            if position > 0 {
                let above = plan.nodes[tree.parent[position] as usize];
                (ratio, z) = tree.downstream(circuit, position)?;
                node = Node { depth: above.depth + 1, parent: tree.parent[position], ..above };
            }
            let under = position > 0 && mixed[tree.parent[position] as usize];
            plan.push(node, (mixed[position], under), ratio, &z, y);
        }
        plan.place_ports(circuit, tree);
        Ok(plan)
    }

    fn push(
        &mut self,
        mut node: Node,
        (mixed, under): (bool, bool),
        ratio: Option<DMatrix<Complex64>>,
        z: &Coupling,
        y: &Coupling,
    ) {
        let mut extra = Extra::default();
        if let Some(ratio) = ratio {
            let (t, adjoint) = (matrix(&ratio), matrix(&ratio.adjoint()));
            let above = self.zones[node.zone as usize];
            node.zone = self.zones.len() as u32;
            self.zones.push(std::array::from_fn(|row| (0..3).map(|k| t.at(row, k) * above[k]).sum()));
            extra.ratio = Some((t, adjoint));
        }
        let mut link = Link::default();
        match even(z, self.wires) {
            Some(values) => link.z = values,
            None => extra.z = Some(matrix(&z.to_matrix(self.wires))),
        }
        match even(y, self.wires) {
            Some(values) => link.y = values,
            None => extra.y = Some(matrix(&y.to_matrix(self.wires))),
        }
        (extra.mixed, extra.under) = (mixed, under);
        let special = extra.ratio.is_some() || extra.z.is_some() || extra.y.is_some() || mixed || under;
        node.extra = if special { self.extras.len() as u32 } else { NONE };
        self.extras.extend(special.then_some(extra));
        self.depth = self.depth.max(node.depth as usize);
        self.nodes.push(node);
        self.links.push(link);
    }

    fn place_ports(&mut self, circuit: &Circuit, tree: &Tree) {
        for (number, port) in circuit.ports.iter().enumerate() {
            let position = tree.position[port.bus as usize];
            if position != NONE {
                let port =
                    PortPlace { port: number as u32, position, load: 0, plus: port.plus, minus: port.minus };
                self.ports.push(port);
            }
        }
        self.ports.sort_by_key(|place| place.position);
        for place in &mut self.ports {
            let node = &mut self.nodes[place.position as usize];
            if node.load == 0 {
                node.load = self.loads as u32;
                self.loads += 1;
            }
            place.load = node.load;
        }
    }
}

impl Matrix {
    pub(super) fn at(&self, row: usize, column: usize) -> Complex64 {
        Complex64::new(self.re[column][row], self.im[column][row])
    }
}

fn padded(values: &[Complex64]) -> [Complex64; 3] {
    std::array::from_fn(|wire| values.get(wire).copied().unwrap_or_default())
}

/// A small matrix in columns.
fn matrix(full: &DMatrix<Complex64>) -> Matrix {
    let mut m = Matrix::default();
    for column in 0..full.ncols().min(3) {
        for row in 0..full.nrows().min(3) {
            m.re[column][row] = full[(row, column)].re;
            m.im[column][row] = full[(row, column)].im;
        }
    }
    m
}

/// Positions with a transformer that mixes wires somewhere below them.
fn mixed(circuit: &Circuit, tree: &Tree) -> Vec<bool> {
    let mut mixed = vec![false; tree.order.len()];
    for position in (1..tree.order.len()).rev() {
        let ratio = circuit.series[tree.element[position] as usize].ratio.as_deref();
        let mixes = ratio.is_some_and(|t| {
            (0..t.nrows()).any(|row| (0..row).any(|k| t[(row, k)].norm() + t[(k, row)].norm() > 0.0))
        });
        if mixes || mixed[position] {
            mixed[tree.parent[position] as usize] = true;
        }
    }
    mixed
}

/// As one value on and one beside the diagonal, when it is so.
fn even(coupling: &Coupling, wires: usize) -> Option<[f64; 4]> {
    let (own, mutual) = (coupling.at(0, 0), if wires > 1 { coupling.at(0, 1) } else { Complex64::ZERO });
    let same = |row, column| coupling.at(row, column) == if row == column { own } else { mutual };
    let regular = (0..wires).all(|row| (0..wires).all(|column| same(row, column)));
    regular.then_some([own.re, own.im, mutual.re, mutual.im])
}

/// Everything linear at each position: ends of series elements, shunts, elements that touch one live bus only.
fn shunts(circuit: &Circuit, tree: &Tree, wires: usize) -> Vec<Coupling> {
    let mut shunts = vec![Coupling::Zero; tree.order.len()];
    let mut add = |bus: u32, y: &Coupling| {
        let position = tree.position[bus as usize];
        if position != NONE && *y != Coupling::Zero {
            let sum = shunts[position as usize].plus(y, wires);
            shunts[position as usize] = sum;
        }
    };
    for series in &circuit.series {
        add(series.from, &series.y_from);
        add(series.to, &series.y_to);
    }
    for shunt in &circuit.shunts {
        add(shunt.bus, &shunt.y);
    }
    for element in &circuit.general {
        let rows: Vec<Option<(u32, usize)>> = element
            .terminals
            .iter()
            .flat_map(|(bus, locals)| {
                let live = tree.position[*bus as usize] != NONE;
                locals.iter().map(move |&wire| (live && wire != GROUND).then_some((*bus, usize::from(wire))))
            })
            .collect();
        let Some(bus) = rows.iter().flatten().next().map(|row| row.0) else { continue };
        let mut y = DMatrix::zeros(wires, wires);
        for (row, to) in rows.iter().enumerate() {
            for (column, from) in rows.iter().enumerate() {
                if let (Some(to), Some(from)) = (to, from) {
                    y[(to.1, from.1)] += element.y[(row, column)];
                }
            }
        }
        add(bus, &Coupling::Full(Box::new(y)));
    }
    shunts
}

/// All sources of the root as one voltage behind one impedance; no impedance when a wire floats.
fn source(circuit: &Circuit, root: u32, wires: usize) -> (Vec<Complex64>, Option<Coupling>) {
    let mut sources = circuit.sources.iter().filter(|source| source.bus == root);
    let mut y = DMatrix::<Complex64>::zeros(wires, wires);
    let mut current = DMatrix::<Complex64>::zeros(wires, 1);
    for source in sources.by_ref() {
        let own = source.y.to_matrix(wires);
        current += &own * DMatrix::from_fn(wires, 1, |row, _| source.emf[row]);
        y += own;
    }
    match y.try_inverse() {
        Some(z) => {
            let emf = &z * current;
            (emf.iter().copied().collect(), Some(tidy(z, wires)))
        }
        None => (vec![Complex64::ZERO; wires], None),
    }
}

/// The inverse of a regular matrix is regular up to rounding; keeps it so.
fn tidy(z: DMatrix<Complex64>, wires: usize) -> Coupling {
    let (own, mutual) = (z[(0, 0)], if wires > 1 { z[(0, 1)] } else { Complex64::ZERO });
    let value = |row, column| if row == column { own } else { mutual };
    let scale = z.norm() * 1e-13;
    let near = |row, column| (z[(row, column)] - value(row, column)).norm() <= scale;
    if (0..wires).all(|row| (0..wires).all(|column| near(row, column))) {
        Coupling::Even { own, mutual }
    } else {
        Coupling::Full(Box::new(z))
    }
}

fn items(tree: &Tree) -> Vec<Item> {
    let mut items = Vec::new();
    let mut start = 0;
    while start < tree.order.len() {
        let block = start > 0 && tree.size[start] <= BLOCK;
        let end = start + if block { tree.size[start] as usize } else { 1 };
        items.push(Item { start, end, block });
        start = end;
    }
    items
}
