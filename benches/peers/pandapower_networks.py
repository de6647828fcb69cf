#!/usr/bin/env python3
"""Feeds SimBench's networks as pandapower writes them to gridflex and compares the voltages with runpp.

    python benches/peers/pandapower_networks.py [CODE ...] [--gridflex target/release/gridflex]

CODE is a SimBench code or a part of one; without any, all LV, MV and MVLV networks of scenario 0. Both solve the same
file, pandapower to 1e-10 MVA with its defaults. The largest difference of a voltage phasor is printed in p.u.; the
exit code is 1 when one is above 1e-6, or when gridflex refuses a network.
"""

import argparse
import json
import math
import cmath
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from places import REPOSITORY, use_environment

LIMIT_PU = 1e-6


def difference(net, results):
    """Largest difference of a voltage to pandapower's, p.u.; buses are numbered in the order of their table."""
    worst = 0.0
    for node, (index, row) in zip(results["node"], net.res_bus.iterrows()):
        if math.isnan(row.vm_pu):
            continue
        theirs = cmath.rect(row.vm_pu, math.radians(row.va_degree))
        worst = max(worst, abs(theirs - cmath.rect(node["u_pu"], node["u_angle"])))
    return worst


def main():
    use_environment("numpy", "simbench", "pandapower")
    warnings.simplefilter("ignore")
    import pandapower
    import simbench

    from simbench_cases import codes

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codes", nargs="*", metavar="CODE")
    parser.add_argument("--gridflex", type=Path, default=REPOSITORY / "target" / "release" / "gridflex")
    options = parser.parse_args()
    if not options.gridflex.exists():
        sys.exit(f"peers: {options.gridflex} is missing: run cargo build --release, or name it with --gridflex")
    wanted = [code for code in codes() if not options.codes or any(part in code for part in options.codes)]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.json"
        for code in wanted:
            net = simbench.get_simbench_net(code)
            pandapower.runpp(net, calculate_voltage_angles=True, tolerance_mva=1e-10, max_iteration=50, numba=False)
            pandapower.to_json(net, str(path))
            command = [options.gridflex, "powerflow", path, "--symmetric", "--json", "--tolerance", "1e-11"]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode != 0:
                print(f"{code}: REFUSED: {run.stderr.strip()}", flush=True)
                failures += 1
                continue
            worst = difference(net, json.loads(run.stdout)["data"])
            bad = not worst < LIMIT_PU
            failures += bad
            print(f"{code}: {len(net.bus)} buses, within {worst:.1e} p.u.{' - NOT THE SAME' if bad else ''}", flush=True)
    print(f"{len(wanted) - failures} of {len(wanted)} networks agree within {LIMIT_PU:.0e} p.u.")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
