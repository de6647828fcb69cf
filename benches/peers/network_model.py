"""A network of power-grid-model JSON as admittances, built with numpy from the document alone.

Independent of every solver that is compared: it reads input.json, and from node voltages it says which power flows
where. Nodes, lines, two-winding transformers, links and shunts; anything else that carries current is refused.
Per unit with 1 MVA for three phases, `phases` is 3 or 1 (balanced). Admittances of a branch are arrays
(branches, phases, phases); voltages are (nodes, phases), complex, per unit of the phase voltage. Nodes joined by
closed links form one group: what flows through a link cannot be told from rounded voltages, whether a program took
it as a huge admittance or as no impedance at all, so powers into the network are sums over groups.
"""

import json

import numpy as np
from scipy.sparse import bsr_matrix, coo_matrix
from scipy.sparse.csgraph import connected_components

BASE_VA = 1e6
A = np.exp(2j * np.pi / 3)
FROM_SEQUENCE = np.array([[1, 1, 1], [1, A**2, A], [1, A, A**2]])
TO_SEQUENCE = np.linalg.inv(FROM_SEQUENCE)
LINK = 1e6 / (BASE_VA / 1e4**2) * (1 + 1j)
WYE_N, DELTA, ZIGZAG_N = 1, 2, 4
WITHOUT_CURRENT = {
    "node", "source", "sym_load", "asym_load", "sym_gen", "asym_gen",
    "sym_voltage_sensor", "asym_voltage_sensor", "sym_power_sensor", "asym_power_sensor",
}  # fmt: skip
WITH_ADMITTANCE = {"line", "transformer", "link", "shunt"}


def rows_of(document, kind):
    """The components of one kind, each as a dictionary whether or not the document names its attributes once."""
    names = (document.get("attributes") or {}).get(kind)
    rows = document["data"].get(kind, [])
    return [row if isinstance(row, dict) else dict(zip(names, row)) for row in rows]


def read(path):
    """The components of a power-grid-model JSON document, kind by kind."""
    document = json.loads(path.read_text())
    return {kind: rows_of(document, kind) for kind in document["data"]}


def column(rows, name, default=np.nan, dtype=float):
    """One attribute of all components; `default` where it is absent or null."""
    return np.array([default if row.get(name) is None else row[name] for row in rows], dtype=dtype)


class Ports:
    """Four admittances of branches of one sequence: from-from, from-to, to-from, to-to."""

    def __init__(self, series, shunt, ratio, ends):
        """`series` and `shunt` seen from the to side, complex `ratio` from:to, `ends` the two statuses."""
        closed, tap = ends.all(0), np.abs(ratio)
        with np.errstate(divide="ignore", invalid="ignore"):
            alone = 0.5 * shunt + 1 / (1 / series + 2 / shunt)  # what one end sees when the other is open
        alone = np.where(np.abs(shunt) < 1e-8, 0, alone)
        whole = series + 0.5 * shunt
        self.ff = np.where(closed, whole, np.where(ends[0], alone, 0)) / tap**2
        self.tt = np.where(closed, whole, np.where(ends[1], alone, 0))
        self.ft = np.where(closed, -series / np.conj(ratio), 0)
        self.tf = np.where(closed, -series / ratio, 0)

    def each(self):
        """The four, stacked."""
        return np.stack([self.ff, self.ft, self.tf, self.tt])


def in_phases(zero, positive, negative):
    """Sequence admittances (4, branches) as phase matrices (4, branches, 3, 3)."""
    sequence = np.zeros((*positive.shape, 3, 3), complex)
    for place, values in enumerate((zero, positive, negative)):
        sequence[..., place, place] = values
    return FROM_SEQUENCE @ sequence @ TO_SEQUENCE


class Network:
    """Admittances of one document, and the powers that node voltages cause."""

    def __init__(self, data, phases, frequency_hz=50.0):
        unknown = [kind for kind in data if kind not in WITHOUT_CURRENT | WITH_ADMITTANCE and data[kind]]
        if unknown:
            raise ValueError(f"the independent check does not know: {', '.join(unknown)}")
        self.data, self.phases, self.frequency_hz = data, phases, frequency_hz
        self.node_ids = column(data["node"], "id", dtype=int)
        self.u_rated = column(data["node"], "u_rated")
        self.place = {int(node): index for index, node in enumerate(self.node_ids)}
        parts = [self.lines(data.get("line", [])), self.links(data.get("link", []))]
        parts.append(self.transformers(data.get("transformer", [])))
        rows = data.get("line", []) + data.get("link", []) + data.get("transformer", [])
        self.branch_place = {row["id"]: index for index, row in enumerate(rows)}
        self.ends = self.end_nodes(rows)
        self.ports = np.concatenate(parts, axis=1)
        self.is_link = np.zeros(len(rows), bool)
        self.is_link[parts[0].shape[1] : parts[0].shape[1] + parts[1].shape[1]] = True
        self.groups, self.group = self.joined(rows)
        self.y_bus = self.assemble()

    def end_nodes(self, rows):
        """Indices of the from and to nodes, (2, branches)."""
        ends = [[self.place[row["from_node"]], self.place[row["to_node"]]] for row in rows]
        return np.array(ends, dtype=int).reshape(-1, 2).T

    def joined(self, rows):
        """How many groups of nodes the closed links make, and the group of each node."""
        closed = self.is_link & self.statuses(rows).all(0)
        start, end = self.ends[:, closed]
        size = len(self.node_ids)
        return connected_components(coo_matrix((np.ones(len(start)), (start, end)), shape=(size, size)), directed=False)

    def summed(self, values):
        """Per-node values summed over groups."""
        total = np.zeros((self.groups, *values.shape[1:]), values.dtype)
        np.add.at(total, self.group, values)
        return total

    def statuses(self, rows):
        """Which ends are connected, (2, branches)."""
        return np.stack([column(rows, "from_status", 1), column(rows, "to_status", 1)]).astype(bool)

    def shaped(self, zero, positive, negative):
        """Phase matrices, or 1x1 matrices of the positive sequence in a balanced calculation."""
        return in_phases(zero, positive, negative) if self.phases == 3 else positive[..., None, None]

    def lines(self, rows):
        """Lines: r, x, c, tan in both sequences."""
        if not rows:
            return np.zeros((4, 0, self.phases, self.phases), complex)
        base = BASE_VA / self.u_rated[self.end_nodes(rows)[0]] ** 2
        omega, ends = 2 * np.pi * self.frequency_hz, self.statuses(rows)

        def sequence(digit):
            with np.errstate(divide="ignore", invalid="ignore"):  # lines without impedance or data give no numbers
                series = 1 / (column(rows, f"r{digit}") + 1j * column(rows, f"x{digit}")) / base
            shunt = omega * column(rows, f"c{digit}") * (column(rows, f"tan{digit}") + 1j) / base
            return Ports(series, shunt, np.ones(len(rows)), ends).each()

        positive = sequence(1)
        zero = sequence(0) if self.phases == 3 else positive
        return self.shaped(zero, positive, positive)

    def links(self, rows):
        """Links: a large admittance."""
        series = np.full(len(rows), LINK)
        ports = Ports(series, 0 * series, np.ones(len(rows)), self.statuses(rows)).each()
        return self.shaped(ports, ports, ports)

    def transformers(self, rows):
        """Two-winding transformers with taps, clock and zero sequence by winding."""
        if not rows:
            return np.zeros((4, 0, self.phases, self.phases), complex)
        value = {name: column(rows, name) for name in ("u1", "u2", "sn", "uk", "pk", "i0", "p0", "tap_size", "clock")}
        for name in ("uk_min", "uk_max", "pk_min", "pk_max"):
            if np.isfinite(column(rows, name)).any():
                raise ValueError(f"the independent check does not know {name} of transformers")
        for name in ("r_grounding_from", "x_grounding_from", "r_grounding_to", "x_grounding_to"):
            if np.nan_to_num(column(rows, name)).any():
                raise ValueError(f"the independent check does not know {name} of transformers")
        nominal = column(rows, "tap_nom", 0)
        low, high = column(rows, "tap_min"), column(rows, "tap_max")
        position = column(rows, "tap_pos")
        position = np.where(np.isnan(position), nominal, position)
        position = np.clip(position, np.minimum(low, high), np.maximum(low, high))
        extra = np.where(high > low, 1, -1) * (position - nominal) * value["tap_size"]
        at_from = column(rows, "tap_side") == 0
        u1, u2 = value["u1"] + np.where(at_from, extra, 0), value["u2"] + np.where(at_from, 0, extra)
        start, end = self.end_nodes(rows)
        ratio = (u1 / u2) / (self.u_rated[start] / self.u_rated[end])
        base = BASE_VA / self.u_rated[end] ** 2
        resistance = value["pk"] * u2**2 / value["sn"] ** 2
        impedance = np.abs(value["uk"]) * u2**2 / value["sn"]
        reactance = np.sign(value["uk"]) * np.sqrt(np.maximum(impedance**2 - resistance**2, 0))
        series = 1 / (resistance + 1j * reactance) / base

        def magnetising(i0, p0):
            conductance = p0 / u2**2
            total = i0 * value["sn"] / u2**2
            return (conductance - 1j * np.sqrt(np.maximum(total**2 - conductance**2, 0))) / base

        shunt, ends = magnetising(value["i0"], value["p0"]), self.statuses(rows)
        turn = np.exp(1j * value["clock"] * np.pi / 6)
        positive = Ports(series, shunt, ratio * turn, ends).each()
        if self.phases == 1:
            return self.shaped(None, positive, None)
        i00 = column(rows, "i0_zero_sequence")
        i00 = np.where(np.isnan(i00), value["i0"], i00)
        p00 = column(rows, "p0_zero_sequence")
        p00 = np.where(np.isnan(p00), value["p0"] + value["pk"] * (i00**2 - value["i0"] ** 2), p00)
        zero = self.zero_sequence(rows, series, magnetising(i00, p00), ratio, ends, value)
        return self.shaped(zero, positive, Ports(series, shunt, ratio * np.conj(turn), ends).each())

    @staticmethod
    def zero_sequence(rows, series, shunt, ratio, ends, value):
        """Zero-sequence ports: through YNyn, to ground on the earthed side of the others."""
        windings = np.stack([column(rows, "winding_from"), column(rows, "winding_to")])
        flipped = np.isin(value["clock"], (2, 6, 10))
        through = Ports(series, shunt, ratio * np.where(flipped, -1, 1), ends).each()
        ground = np.zeros_like(through)
        yn, delta, zn = windings == WYE_N, windings == DELTA, windings == ZIGZAG_N
        both = yn.all(0)
        small = -1e-8j * value["sn"] / BASE_VA / value["uk"]  # keeps an isolated zero sequence solvable
        for side, other, port, scale in ((0, 1, 0, ratio**2), (1, 0, 3, 1.0)):
            to_ground = np.where(yn[side], shunt + np.where(delta[other], series, 0), 0) / scale
            to_ground = np.where(zn[side], series / 0.1 / scale, to_ground)
            carried = (yn[side] & (yn[other] | delta[other])) | zn[side]
            to_ground = to_ground + np.where(carried, 0, small)
            ground[port] = np.where(ends[side], to_ground, 0)
        # a YN side beside y, z or zn finds ground only through its magnetising branch
        return np.where(both, through, ground)

    def assemble(self):
        """The nodal admittance matrix with shunts and without links."""
        start, end = self.ends[:, ~self.is_link]
        rows = np.concatenate([start, start, end, end])
        columns = np.concatenate([start, end, start, end])
        blocks = self.ports[:, ~self.is_link].reshape(-1, self.phases, self.phases)
        shunts = self.data.get("shunt", [])
        if shunts:
            where = np.array([self.place[row["node"]] for row in shunts])
            base = BASE_VA / self.u_rated[where] ** 2
            status = column(shunts, "status", 1)
            sequences = [
                status * (column(shunts, f"g{d}", 0) + 1j * column(shunts, f"b{d}", 0)) / base for d in (0, 1, 1)
            ]
            rows, columns = np.concatenate([rows, where]), np.concatenate([columns, where])
            blocks = np.concatenate([blocks, self.shaped(*sequences)])
        order = np.argsort(rows, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(self.node_ids)))])
        size = len(self.node_ids) * self.phases
        return bsr_matrix((blocks[order], columns[order], offsets), shape=(size, size)).tocsr()

    def injections_va(self, u):
        """Complex power that flows from each group of nodes into the network, VA per phase (total when balanced)."""
        current = (self.y_bus @ u.reshape(-1)).reshape(u.shape)
        return self.summed(u * np.conj(current)) * BASE_VA / self.phases

    def flows_va(self, u):
        """Complex power into each branch at its from and its to end, VA per phase: (2, branches, phases)."""
        start, end = u[self.ends[0]][..., None], u[self.ends[1]][..., None]
        ff, ft, tf, tt = self.ports
        into_from, into_to = (ff @ start + ft @ end)[..., 0], (tf @ start + tt @ end)[..., 0]
        flows = np.stack([start[..., 0] * np.conj(into_from), end[..., 0] * np.conj(into_to)])
        return flows * BASE_VA / self.phases
