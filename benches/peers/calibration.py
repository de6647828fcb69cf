#!/usr/bin/env python3
"""Are the standard deviations true? Draws fresh noise many times and counts how often the truth lies in the interval.

    python benches/peers/calibration.py [--nodes 1000] [--draws 2000] [--binary target/release/gridflex] [--json] [--check]

The synthetic network with its true loads and voltages; every draw gives each sensor a new error of the standard deviation
that its sigma states, and `gridflex estimate` estimates all draws as one batch. The sensor at the source measures angles,
too: without one, power-grid-model's rule takes the source's three angles as measured with the sigma of its voltage sensor,
and these would be the only readings that never err. Printed per voltage level: the share of
true voltage magnitudes inside the 95 % interval (goal 93 to 97 %), and the ratio of the spread of the estimates to the
stated standard deviation (goal 0.97 to 1.03). With --check the exit code is 1 when a goal is missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from places import REPOSITORY, use_environment
from synthetic_cases import case

COVERAGE, RATIO, INTERVAL = (0.93, 0.97), (0.97, 1.03), 1.959964


def draws_of(document, truth, count, seed):
    """A batch update: every sensor with fresh errors around the truth; also the names of levels by node."""
    import numpy as np

    rng = np.random.default_rng(seed)
    data = document["data"]
    place = {node["id"]: index for index, node in enumerate(data["node"])}
    true_u = np.array(truth["u"], dtype=float)
    true_angle = np.array(truth["angle"], dtype=float)
    loads = {load["id"]: load for load in data["asym_load"]}
    scenarios = []
    for _ in range(count):
        volts = []
        for s in data["asym_voltage_sensor"]:
            u, angle = (true[place[s["measured_object"]]] for true in (true_u, true_angle))
            volts.append(dict(id=s["id"], u_measured=(u + rng.normal(size=3) * s["u_sigma"]).tolist()))
            if "u_angle_measured" in s:
                volts[-1]["u_angle_measured"] = (angle + rng.normal(size=3) * s["u_sigma"] / u).tolist()
        powers = []
        for s in data["asym_power_sensor"]:
            load = loads[s["measured_object"]]
            # power_sigma is that of the apparent power of a phase: half of its variance is active, half reactive
            error = rng.normal(size=(2, 3)) * s["power_sigma"] / 2**0.5
            powers.append(
                dict(
                    id=s["id"],
                    p_measured=(np.array(load["p_specified"], dtype=float) + error[0]).tolist(),
                    q_measured=(np.array(load["q_specified"], dtype=float) + error[1]).tolist(),
                )
            )
        scenarios.append(dict(asym_voltage_sensor=volts, asym_power_sensor=powers))
    return dict(version="1.0", type="update", is_batch=True, attributes={}, data=scenarios)


def measure(binary, nodes, draws):
    """Coverage and spread ratio per voltage level."""
    import numpy as np

    folder = case(nodes)
    document, truth = (json.loads((folder / name).read_text()) for name in ("input.json", "truth.json"))
    document = as_objects(document)
    sources = {source["node"] for source in document["data"]["source"]}
    for sensor in document["data"]["asym_voltage_sensor"]:
        if sensor["measured_object"] in sources:
            sensor["u_angle_measured"] = [0.0, 0.0, 0.0]  # every draw has its own
    with tempfile.TemporaryDirectory() as work:
        network, update, out = (Path(work) / name for name in ("input.json", "update.json", "out.json"))
        network.write_text(json.dumps(document))
        update.write_text(json.dumps(draws_of(document, truth, draws, seed=nodes)))
        command = [binary, "estimate", network, "--update", update, "--asymmetric", "-o", out]
        subprocess.run([str(part) for part in command], check=True)
        results = [as_rows(scenario["node"]) for scenario in json.loads(out.read_text())["data"]]
    rated = np.array([node["u_rated"] for node in document["data"]["node"]])
    ids = [node["id"] for node in document["data"]["node"]]
    u = np.array([[rows[i]["u"] for i in ids] for rows in results], dtype=float)
    std = np.array([[rows[i]["u_std"] for i in ids] for rows in results], dtype=float)
    error = u - np.array(truth["u"], dtype=float)
    table = []
    for level in sorted(set(rated), reverse=True):
        at = rated == level
        inside = np.abs(error[:, at]) <= INTERVAL * std[:, at]
        ratio = error[:, at].std(axis=0, ddof=1) / std[:, at].mean(axis=0)
        table.append(dict(u_rated=float(level), nodes=int(at.sum()), coverage=float(inside.mean()), ratio=float(ratio.mean())))
    return table


def as_objects(document):
    """Compact rows become objects."""
    names = document.get("attributes", {})
    for component, rows in document["data"].items():
        keys = names.get(component)
        document["data"][component] = [dict(zip(keys, row)) if isinstance(row, list) else row for row in rows]
    return document


def as_rows(nodes):
    """Output nodes by id."""
    return {node["id"]: node for node in nodes}


def main():
    use_environment("numpy", "power_grid_model")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--binary", default=str(REPOSITORY / "target/release/gridflex"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    table = measure(options.binary, options.nodes, options.draws)
    if options.json:
        print(json.dumps(table))
    else:
        print(f"{'level V':>9} {'nodes':>7} {'inside 95 %':>12} {'spread / stated':>16}")
        for row in table:
            print(f"{row['u_rated']:9.0f} {row['nodes']:7d} {row['coverage']:11.2%} {row['ratio']:16.3f}")
    within = lambda value, limits: limits[0] <= value <= limits[1]  # noqa: E731
    met = all(within(row["coverage"], COVERAGE) and within(row["ratio"], RATIO) for row in table)
    sys.exit(1 if options.check and not met else 0)


if __name__ == "__main__":
    main()
