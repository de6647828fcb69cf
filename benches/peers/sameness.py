#!/usr/bin/env python3
"""Whether our estimate is power-grid-model's Newton-Raphson estimate, judged by an objective computed apart.

    python benches/peers/sameness.py CASE_DIR… [--binary target/release/gridflex] [--symmetric] [--json]

Runs `gridflex estimate` and the peer's Newton-Raphson at the tightest tolerance it reaches, and compares voltage
magnitudes and the objective of objective.py, which knows neither. Where the peer fails, our objective and the
violation of zero injections stand alone. Also usable on a result that is there already: --ours OUT.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from places import REPOSITORY, use_environment

MAGNITUDE_LIMIT_PU = 1e-8
OBJECTIVE_LIMIT = 1e-9  # relative
OBJECTIVE_ZERO = 1e-9  # where readings contradict each other by less, what is left of the objective is rounding
TOLERANCES = (1e-12, 1e-11, 1e-10)


def our_estimate(binary, case, symmetric, cpu=None):
    """The output document of `gridflex estimate`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [str(binary), "estimate", str(case / "input.json"), "-o", str(out)]
        command.append("--symmetric" if symmetric else "--asymmetric")
        if cpu is not None:
            command = ["taskset", "-c", str(cpu), *command]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or f'exit {done.returncode}'}")
        return json.loads(out.read_text())


def our_voltages(document, node_ids, phases):
    """Complex voltages per unit, (nodes, phases), in the order of the input; 0 where there is no supply."""
    import numpy as np

    from network_model import rows_of

    rows = {row["id"]: row for row in rows_of(document, "node")}

    def column(name):
        values = np.array([rows[int(node)][name] for node in node_ids], float).reshape(-1, phases)
        energised = np.array([rows[int(node)].get("energized", 1) for node in node_ids], bool)
        return np.where(energised[:, None], values, 0.0)

    return column("u_pu") * np.exp(1j * column("u_angle"))


def peer_voltages(case, symmetric):
    """Newton-Raphson's voltages and its tolerance, or None and the sentence it failed with."""
    import numpy as np
    from power_grid_model import PowerGridModel
    from power_grid_model.errors import PowerGridError
    from power_grid_model.utils import json_deserialize_from_file

    model = PowerGridModel(json_deserialize_from_file(case / "input.json"))
    for tolerance in TOLERANCES:
        try:
            node = model.calculate_state_estimation(
                symmetric=symmetric,
                calculation_method="newton_raphson",
                error_tolerance=tolerance,
                max_iterations=50,
                output_component_types={"node": ["id", "u_pu", "u_angle"]},
            )["node"]
        except PowerGridError as error:
            failed = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            continue
        u = node["u_pu"] * np.exp(1j * node["u_angle"])
        return u.reshape(len(u), -1), tolerance
    return None, failed


def compare(case, ours, symmetric):
    """All numbers of the comparison and `same`: True, False, or None when the peer gives no answer."""
    import numpy as np

    from network_model import Network, read
    from objective import Objective

    phases = 1 if symmetric else 3
    network = Network(read(case / "input.json"), phases)
    objective = Objective(network)
    mine = our_voltages(ours, network.node_ids, phases)
    result = {"case": case.name, "ours": objective.at(mine)}
    theirs, how = peer_voltages(case, symmetric)
    if theirs is None:
        return {**result, "same": None, "peer_failed": how}
    result["peer"] = {**objective.at(theirs), "tolerance": how}
    apart = np.abs(np.abs(mine) - np.abs(theirs)).max()
    turned = np.angle(mine * np.conj(theirs))
    at_peer = result["peer"]["objective"]
    relative = abs(result["ours"]["objective"] - at_peer) / max(at_peer, OBJECTIVE_ZERO)
    return {
        **result,
        "magnitude_pu_max": float(apart),
        "angle_rad_max": float(np.abs(turned - turned.mean()).max()),
        "objective_relative": float(relative),
        "same": bool(apart <= MAGNITUDE_LIMIT_PU and relative <= OBJECTIVE_LIMIT),
    }


def sentence(result):
    """The comparison in one line."""
    if "error" in result:
        return f"{result['case']}: not compared: {result['error']}"
    mine = result["ours"]
    if result["same"] is None:
        return (
            f"{result['case']}: Newton-Raphson of the peer fails ({result['peer_failed']}); our objective "
            f"{mine['objective']:.6f}, zero injections within {mine['zero_injection_va']:.1e} VA"
        )
    return (
        f"{result['case']}: {'the same' if result['same'] else 'NOT THE SAME'}: |U| within "
        f"{result['magnitude_pu_max']:.1e} p.u. (limit {MAGNITUDE_LIMIT_PU:g}), objective {mine['objective']:.6f} "
        f"within {result['objective_relative']:.1e} relative (limit {OBJECTIVE_LIMIT:g}), zero injections within "
        f"{mine['zero_injection_va']:.1e} VA (peer {result['peer']['zero_injection_va']:.1e})"
    )


def main():
    use_environment("numpy", "scipy", "power_grid_model")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+", metavar="CASE_DIR")
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target" / "release" / "gridflex")
    parser.add_argument("--ours", type=Path, help="our output for the one case, instead of running the binary")
    parser.add_argument("--symmetric", action="store_true")
    parser.add_argument("--json", action="store_true", help="one document, of all cases")
    options = parser.parse_args()
    if options.ours and len(options.cases) > 1:
        parser.error("--ours is of one case")
    results = []
    for case in options.cases:
        try:
            ours = json.loads(options.ours.read_text()) if options.ours else None
            result = compare(case, ours or our_estimate(options.binary, case, options.symmetric), options.symmetric)
        except RuntimeError as error:
            result = {"case": case.name, "error": str(error), "same": False}
        results.append(result)
        if not options.json:
            print(sentence(result), flush=True)
    if options.json:
        print(json.dumps(results if len(results) > 1 else results[0], indent=2))
    elif len(results) > 1:
        count = {same: sum(result["same"] is same for result in results) for same in (True, False, None)}
        print(f"{len(results)} cases: {count[True]} the same, {count[False]} not, {count[None]} where the peer gives no answer")
    sys.exit(1 if any(result["same"] is False for result in results) else 0)


if __name__ == "__main__":
    main()
