"""Writes the cases of the assembly with power-grid-model (pip install power-grid-model, 1.12.110 was used).

Each folder under assembly/ is one situation: input.json and expected.json with everything power-grid-model says of it,
symmetric and asymmetric. assembly/windings holds every connection of a transformer and every clock in one file.
The tests only read the files: python estimation/cases/make_assembly.py
"""

import itertools
import json
from pathlib import Path

from power_grid_model import CalculationMethod, PowerGridModel
from power_grid_model.utils import json_deserialize

HERE = Path(__file__).parent / "assembly"
NOTE = "power-grid-model 1.12.110, Newton-Raphson, tolerance 1e-12 (1e-9 with links), 50 Hz; written by estimation/cases/make_assembly.py"


def document(data):
    return {"version": "1.0", "type": "input", "is_batch": False, "attributes": {}, "data": data}


def solve(data, symmetric):
    model = PowerGridModel(json_deserialize(json.dumps(document(data)).encode()), system_frequency=50.0)
    output = model.calculate_power_flow(
        symmetric=symmetric,
        error_tolerance=1e-9 if "link" in data else 1e-12,  # links are 1e8 p.u.: rounding ends earlier
        max_iterations=50,
        calculation_method=CalculationMethod.newton_raphson,
    )

    def plain(value):
        if getattr(value, "ndim", 0):
            return [plain(x) for x in value]
        value = value.item()
        return None if value != value else value

    return {
        str(getattr(name, "value", name)): [{key: plain(row[key]) for key in row.dtype.names} for row in table]
        for name, table in output.items()
        if len(table)
    }


def node(id, u_rated):
    return {"id": id, "u_rated": u_rated}


def line(id, start, end, **other):
    base = {"id": id, "from_node": start, "to_node": end, "from_status": 1, "to_status": 1, "r1": 0.31, "x1": 0.12,
            "c1": 3e-7, "tan1": 0.01, "r0": 1.1, "x0": 0.5, "c0": 1e-7, "tan0": 0.02, "i_n": 220.0}
    return base | other


def transformer(id, start, end, **other):
    base = {"id": id, "from_node": start, "to_node": end, "from_status": 1, "to_status": 1, "u1": 10750.0,
            "u2": 410.0, "sn": 630e3, "uk": 0.041, "pk": 5200.0, "i0": 0.006, "p0": 850.0, "winding_from": 2,
            "winding_to": 1, "clock": 11, "tap_side": 0, "tap_pos": 1, "tap_min": -2, "tap_max": 3, "tap_nom": 0,
            "tap_size": 250.0}
    return base | other


def source(id, at, **other):
    return {"id": id, "node": at, "status": 1, "u_ref": 1.03, "sk": 4e8, "rx_ratio": 0.2, "z01_ratio": 1.7} | other


def asym_load(id, at, kind, p, q, **other):
    return {"id": id, "node": at, "status": 1, "type": kind, "p_specified": p, "q_specified": q} | other


def sym_load(id, at, kind, p, q, **other):
    return asym_load(id, at, kind, p, q, **other)


def shunt(id, at, **other):
    return {"id": id, "node": at, "status": 1, "g1": 1e-5, "b1": 4e-5, "g0": 2e-5, "b0": 1e-5} | other


def lines_and_loads():
    """Loads and generators of every kind, charging lines with losses, a mesh, a shunt, an angle at the source."""
    return {
        "node": [node(i, 10500.0) for i in range(1, 6)],
        "line": [line(11, 1, 2), line(12, 2, 3, r1=0.9, x1=0.3), line(13, 3, 4, c1=0.0, c0=0.0), line(14, 4, 2),
                 line(15, 4, 5, x1=-0.2)],
        "source": [source(21, 1, u_ref_angle=0.4)],
        "sym_load": [sym_load(31, 2, 0, 4e5, 1e5), sym_load(32, 3, 1, 3e5, 2e5), sym_load(33, 4, 2, 2e5, 5e4),
                     sym_load(34, 4, 2, 2e5, 5e4, status=0)],
        "sym_gen": [sym_load(41, 5, 0, 3e5, -1e5), sym_load(42, 5, 2, 1e5, 1e5)],
        "asym_load": [asym_load(51, 3, 0, [1e5, 2e5, 0], [5e4, 0, 1e4]), asym_load(52, 4, 1, [2e5, 1e5, 0], [0, 5e4, 0]),
                      asym_load(53, 2, 2, [0, 1e5, 2e5], [0, 3e4, 5e4])],
        "asym_gen": [asym_load(61, 3, 1, [5e4, 0, 0], [1e4, 0, 0]), asym_load(62, 5, 0, [0, 5e4, 0], [0, 1e4, 0])],
        "shunt": [shunt(71, 3), shunt(72, 4, status=0)],
    }


def open_ends():
    """Branches open at one end, at both ends, and an island without a source."""
    return {
        "node": [node(1, 10500.0), node(2, 10500.0), node(3, 10500.0), node(4, 400.0), node(5, 10500.0),
                 node(6, 10500.0), node(7, 400.0)],
        "line": [line(11, 1, 2), line(12, 2, 3, to_status=0), line(13, 5, 1, from_status=0),
                 line(14, 5, 6), line(15, 1, 3, from_status=0, to_status=0),
                 line(16, 2, 6, to_status=0, c1=0.0, c0=0.0)],
        "transformer": [transformer(21, 2, 4, to_status=0), transformer(22, 1, 7, from_status=0, to_status=0),
                        transformer(23, 3, 7, from_status=0), transformer(24, 2, 7)],
        "link": [{"id": 31, "from_node": 2, "to_node": 5, "from_status": 1, "to_status": 0}],
        "source": [source(41, 1), source(42, 6, status=0)],
        "sym_load": [sym_load(51, 2, 0, 4e5, 1e5), sym_load(52, 6, 0, 4e5, 1e5), sym_load(53, 7, 0, 4e4, 1e4)],
        "shunt": [shunt(61, 5)],
        "asym_load": [asym_load(71, 4, 1, [1e3, 0, 0], [0, 0, 0])],
    }


def links_and_sources():
    """Busbars joined by links, two sources at one busbar, a third far away."""
    return {
        "node": [node(1, 10000.0), node(2, 10000.0), node(3, 10000.0), node(4, 10000.0)],
        "link": [{"id": 11, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1},
                 {"id": 12, "from_node": 3, "to_node": 2, "from_status": 1, "to_status": 1}],
        "line": [line(21, 3, 4)],
        "source": [source(31, 1), source(32, 1, sk=1e8), source(33, 4, u_ref=1.02, u_ref_angle=-0.01, sk=1e7)],
        "sym_load": [sym_load(41, 2, 0, 4e5, 1e5), sym_load(42, 3, 2, 1e6, 1e5)],
        "asym_load": [asym_load(51, 4, 0, [1e5, 2e5, 0], [5e4, 0, 1e4])],
    }


def taps():
    """Impedances that depend on the tap, taps on either side and in either direction, a zero sequence of its own."""
    ranges = {"uk_min": 0.036, "uk_max": 0.047, "pk_min": 4700.0, "pk_max": 6100.0}
    return {
        "node": [node(1, 10500.0)] + [node(i, 400.0) for i in range(2, 8)],
        "transformer": [
            transformer(11, 1, 2, **ranges),
            transformer(12, 1, 3, **ranges, tap_pos=-1),
            transformer(13, 1, 4, **ranges, tap_pos=2, tap_min=3, tap_max=-2, tap_nom=1),
            transformer(14, 1, 5, **ranges, tap_side=1, tap_pos=3, tap_size=10.0),
            transformer(15, 1, 6, winding_from=1, clock=6, i0_zero_sequence=0.3, r_grounding_from=2.0,
                        x_grounding_from=5.0, r_grounding_to=0.01, x_grounding_to=0.02),
            transformer(16, 1, 7, winding_from=1, clock=0, i0_zero_sequence=0.1, p0_zero_sequence=2000.0, tap_nom=1,
                        tap_pos=1, tap_max=1, uk_max=0.09),
        ],
        "source": [source(21, 1)],
        "asym_load": [asym_load(30 + i, i, 0, [4e4, 2e4, 1e4], [1e4, 5e3, 3e3]) for i in range(2, 8)],
    }


def three_winding(id, **other):
    base = {"id": id, "node_1": 1, "node_2": 2, "node_3": 3, "status_1": 1, "status_2": 1, "status_3": 1,
            "u1": 52500.0, "u2": 10500.0, "u3": 410.0, "sn_1": 6e6, "sn_2": 5e6, "sn_3": 1e6, "uk_12": 0.09,
            "uk_13": 0.06, "uk_23": 0.03, "pk_12": 40e3, "pk_13": 5e3, "pk_23": 8e3, "i0": 0.01, "p0": 9e3,
            "winding_1": 1, "winding_2": 1, "winding_3": 2, "clock_12": 6, "clock_13": 5, "tap_side": 1,
            "tap_pos": 2, "tap_min": -4, "tap_max": 4, "tap_nom": 0, "tap_size": 120.0, "uk_12_min": 0.08,
            "uk_12_max": 0.1, "pk_13_min": 4e3, "pk_13_max": 6e3}
    return base | other


def three_windings():
    """Three-winding transformers, one with every winding, one with a winding open."""
    grounding = {"r_grounding_1": 1.0, "x_grounding_1": 2.0, "r_grounding_2": 0.5, "x_grounding_2": 3.0}
    return {
        "node": [node(1, 50000.0), node(2, 10000.0), node(3, 400.0), node(5, 10000.0), node(6, 400.0)],
        "three_winding_transformer": [
            three_winding(11, **grounding),
            three_winding(12, node_2=5, node_3=6, winding_3=1, clock_13=0, winding_2=2, clock_12=1, tap_side=0,
                          tap_pos=-3, tap_size=900.0),
            three_winding(13, node_2=5, node_3=6, status_2=0, status_3=0),
            three_winding(14, node_2=5, node_3=6, status_1=0, status_2=0, status_3=0),
        ],
        "source": [source(21, 1)],
        "asym_load": [asym_load(31, 2, 0, [4e5, 2e5, 1e5], [1e5, 5e4, 3e4]), asym_load(32, 3, 1, [4e4, 2e4, 1e4], [0, 0, 0]),
                      asym_load(33, 5, 1, [1e5, 2e5, 1e5], [0, 0, 0]), asym_load(34, 6, 0, [4e4, 2e4, 1e4], [0, 0, 0])],
    }


def asym_lines():
    """Lines given by matrices, one open at an end."""
    matrix = {"r_aa": 0.69, "r_ba": 0.05, "r_bb": 0.7, "r_ca": 0.049, "r_cb": 0.052, "r_cc": 0.71, "x_aa": 0.83,
              "x_ba": 0.45, "x_bb": 0.85, "x_ca": 0.41, "x_cb": 0.43, "x_cc": 0.84, "i_n": 115.0,
              "from_status": 1, "to_status": 1}
    full = {"c_aa": 3.2e-7, "c_ba": -0.5e-7, "c_bb": 3.3e-7, "c_ca": -0.4e-7, "c_cb": -0.6e-7, "c_cc": 3.1e-7}
    return {
        "node": [node(1, 10500.0), node(2, 10500.0), node(3, 10500.0), node(4, 10500.0)],
        "asym_line": [
            {"id": 11, "from_node": 1, "to_node": 2, **matrix, **full},
            {"id": 12, "from_node": 2, "to_node": 3, **matrix, "c0": 1e-7, "c1": 3e-7},
            {"id": 13, "from_node": 2, "to_node": 4, **matrix, **full, "to_status": 0},
        ],
        "source": [source(21, 1), source(22, 4, u_ref=1.01)],
        "asym_load": [asym_load(31, 2, 0, [4e5, 2e5, 1e5], [1e5, 5e4, 3e4]), asym_load(32, 3, 0, [1e5, 2e5, 1e5], [0, 0, 0])],
    }


def generic_branches():
    """π-models with a ratio and a shift; symmetric only."""
    base = {"id": 11, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1, "r1": 0.01, "x1": 0.05,
            "g1": 0.002, "b1": -0.03, "k": 1.02, "theta": 0.1, "sn": 4e5}
    return {
        "node": [node(1, 10500.0), node(2, 400.0), node(3, 400.0)],
        "generic_branch": [base, base | {"id": 12, "from_node": 2, "to_node": 3, "k": 1.0, "theta": 0.0},
                           base | {"id": 13, "from_node": 2, "to_node": 3, "to_status": 0}],
        "source": [source(21, 1)],
        "sym_load": [sym_load(31, 2, 0, 1e5, 2e4), sym_load(32, 3, 0, 5e4, 2e4)],
    }


SITUATIONS = [lines_and_loads, open_ends, links_and_sources, taps, three_windings, asym_lines, generic_branches]


def lines_of(tables):
    return "{\n" + ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in table) + "\n]" for name, table in tables.items()
    ) + "\n}"


def write(situation):
    folder = HERE / situation.__name__
    folder.mkdir(parents=True, exist_ok=True)
    data = situation()
    calculations = {"symmetric": True, "asymmetric": False}
    if situation is generic_branches:
        calculations.pop("asymmetric")
    (folder / "input.json").write_text('{\n"version": "1.0", "type": "input", "is_batch": false, "attributes": {},\n'
                                       f'"data": {lines_of(data)}\n}}\n')
    parts = [f'"source_of_truth": {json.dumps(NOTE)}', f'"situation": {json.dumps(situation.__doc__)}']
    parts += [f'"{name}": {lines_of(solve(data, symmetric))}' for name, symmetric in calculations.items()]
    (folder / "expected.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")


def windings():
    """Every pair of connections with every clock that goes with it, closed, and open at either side; linear loads."""
    star = {0, 1}
    rows = []
    for start, end, clock in itertools.product(range(5), range(5), range(12)):
        if (clock % 2 == 0) != ((start in star) == (end in star)):
            continue
        closed = [(1, 1)] if clock > 1 else [(1, 1), (1, 0), (0, 1)]
        for from_status, to_status in closed:
            for grounded in (False, True) if clock < 2 else (False,):
                change = {"winding_from": start, "winding_to": end, "clock": clock, "from_status": from_status,
                          "to_status": to_status}
                if grounded:
                    change |= {"r_grounding_from": 3.0, "x_grounding_from": 4.0, "r_grounding_to": 0.02,
                               "x_grounding_to": 0.05}
                rows.append(change)
    data = {
        "node": [node(1, 10500.0), node(2, 400.0)],
        "transformer": [transformer(11, 1, 2)],
        "source": [source(21, 1), source(22, 2, sk=1e6, z01_ratio=3.0, u_ref=1.0)],
        "asym_load": [asym_load(31, 1, 1, [4e5, 2e5, 1e5], [1e5, 5e4, 3e4]), asym_load(32, 2, 1, [4e4, 2e4, 1e4], [0, 9e3, 0])],
    }
    cases = []
    for change in rows:
        case = json.loads(json.dumps(data))
        case["transformer"][0] |= change
        # A second source at the low side feeds it when the transformer is open there, and tests the clock no more than
        # it must: its angle follows.
        turn = -change["clock"] * 3.141592653589793 / 6
        case["source"][1]["u_ref_angle"] = turn
        output = solve(case, False)
        rows_out = [[row["u_pu"], row["u_angle"]] for row in output["node"]]
        cases.append(json.dumps({"transformer": change, "u_ref_angle": turn, "node": rows_out,
                                 "s": [output["transformer"][0][k] for k in ("p_from", "q_from", "p_to", "q_to")]}))
    folder = HERE / "windings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.json").write_text(json.dumps(document(data), indent=1) + "\n")
    (folder / "expected.json").write_text(
        f'{{\n"source_of_truth": {json.dumps(NOTE)},\n"situation": {json.dumps(windings.__doc__)},\n"cases": [\n'
        + ",\n".join(cases) + "\n]\n}\n")
    print(len(cases), "winding cases")


if __name__ == "__main__":
    for each in SITUATIONS:
        write(each)
        print(each.__name__)
    windings()
