"""Writes each case's expected.json with power-grid-model (pip install power-grid-model, 1.12.110 was used).

The tests only read the files; run this when an input.json changes: python estimation/cases/make_expected.py
"""

import json
from pathlib import Path

from power_grid_model import CalculationMethod, PowerGridModel
from power_grid_model.utils import json_deserialize

HERE = Path(__file__).parent
EUROPEAN = HERE.parent.parent / "sim" / "networks" / "ieee_european_lv.json"


def solve(data, tolerance):
    document = {"version": "1.0", "type": "input", "is_batch": False, "attributes": {}, "data": data}
    model = PowerGridModel(json_deserialize(json.dumps(document).encode()), system_frequency=50.0)
    return model.calculate_power_flow(
        symmetric=False,
        error_tolerance=tolerance,
        max_iterations=50,
        calculation_method=CalculationMethod.newton_raphson,
    )


def rows(output, attributes, ids=None):
    def plain(value):
        return [float(x) for x in value] if getattr(value, "ndim", 0) else float(value)

    chosen = [row for row in output if ids is None or int(row["id"]) in ids]
    return [{"id": int(row["id"]), **{a: plain(row[a]) for a in attributes}} for row in chosen]


def write(folder, note, tables):
    lines = [f'"source_of_truth": {json.dumps(note)}']
    for name, table in tables.items():
        lines.append(f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in table) + "\n]")
    (folder / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def expected(output, ids=None, lines=True):
    flow = ["p_from", "q_from", "i_from", "p_to", "loading"]
    tables = {"node": rows(output["node"], ["u", "u_angle"], ids)}
    if lines:
        tables["line"] = rows(output["line"], flow)
    tables["transformer"] = rows(output["transformer"], flow)
    return tables


def note(tolerance):
    return f"power-grid-model 1.12.110, asymmetric Newton-Raphson, tolerance {tolerance:g}, 50 Hz"


def main():
    for path in sorted(HERE.glob("*/input.json")):
        write(path.parent, note(1e-13), expected(solve(json.loads(path.read_text()), 1e-13)))
    # The European feeder lives with the simulator; its loads here are in the case itself.
    folder = HERE / "european_lv"
    loads = {row["id"]: row for row in json.loads((folder / "expected.json").read_text())["load"]}
    data = json.loads(EUROPEAN.read_text())["data"]
    for node in data["node"]:
        node.pop("x_m", None)
        node.pop("y_m", None)
    for load in data["asym_load"]:
        own = [p != 0.0 for p in load["p_specified"]]
        load["p_specified"] = [loads[load["id"]]["p"] if here else 0.0 for here in own]
        load["q_specified"] = [loads[load["id"]]["q"] if here else 0.0 for here in own]
    ids = {load["node"] for load in data["asym_load"]} | {1, 907}
    tables = expected(solve(data, 1e-9), ids, lines=False)
    tables["load"] = list(loads.values())
    write(folder, note(1e-9) + "; network sim/networks/ieee_european_lv.json with the loads below", tables)


if __name__ == "__main__":
    main()
