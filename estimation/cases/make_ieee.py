#!/usr/bin/env python3
"""Solves the IEEE test feeders with OpenDSSDirect.py and writes node voltages, taps and capacitor states.

    python estimation/cases/make_ieee.py MODELS [OUT]

MODELS holds 13Bus, 34Bus, 37Bus, 123Bus, 8500-Node, LVTestCase and IEEELineCodes.DSS of `dss-extensions/electricdss-tst`,
`Version8/Distrib/IEEETestCases`. Each case is compiled and solved with its controls until they rest, at a tolerance of
1e-12, and solved again with the taps held until nothing changes. Lines of the result: `tap transformer winding p.u.`,
`capacitor name state`, `node bus.node volts degrees`. Of the large feeders every so-manieth node is kept.
"""

import cmath
import math
import sys
from pathlib import Path

import opendssdirect as dss

# case, folder, master, keep every so-manieth node
CASES = [
    ("ieee13", "13Bus", "IEEE13Nodeckt.dss", 1),
    ("ieee34", "34Bus", "ieee34Mod1.dss", 1),
    ("ieee34mod2", "34Bus", "ieee34Mod2.dss", 1),
    ("ieee37", "37Bus", "ieee37.dss", 1),
    ("ieee123", "123Bus", "IEEE123Master.dss", 1),
    ("european_lv", "LVTestCase", "Master.dss", 10),
    ("ieee8500", "8500-Node", "Master.dss", 10),
    ("ieee8500unbalanced", "8500-Node", "Master-unbal.dss", 10),
]


def run(command):
    dss.Text.Command(command)


def solve():
    for _ in range(30):
        before = dss.Circuit.AllBusVolts()
        dss.Solution.Solve()
        if not dss.Solution.Converged():
            sys.exit("OpenDSS did not converge")
        after = dss.Circuit.AllBusVolts()
        if len(before) == len(after) and max(abs(a - b) for a, b in zip(before, after)) < 1e-9:
            return


def main():
    models, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parent).resolve()
    for case, folder, master, every in CASES:
        run("clear")
        run(f"compile {models / folder / master}")
        for option in ("tolerance=1e-12", "maxiterations=1000", "maxcontroliter=300", "controlmode=static"):
            run(f"set {option}")
        solve()
        run("set controlmode=off")
        solve()
        lines = [
            f"# {folder}/{master} solved by OpenDSSDirect.py {dss.__version__}",
            f"# {dss.Basic.Version().splitlines()[0].strip()}",
        ]
        for name in dss.Transformers.AllNames():
            dss.Transformers.Name(name)
            for winding in range(1, dss.Transformers.NumWindings() + 1):
                dss.Transformers.Wdg(winding)
                if dss.Transformers.Tap() != 1.0:
                    lines.append(f"tap {name} {winding} {dss.Transformers.Tap():.10g}")
        for name in dss.Capacitors.AllNames():
            if name and name.lower() != "none":
                dss.Capacitors.Name(name)
                lines.append(f"capacitor {name} {dss.Capacitors.States()[0] * (not dss.CktElement.IsOpen(1, 0))}")
        values = dss.Circuit.AllBusVolts()
        for at, name in enumerate(dss.Circuit.AllNodeNames()):
            if at % every == 0:
                volts = complex(values[2 * at], values[2 * at + 1])
                lines.append(f"node {name} {abs(volts):.10g} {math.degrees(cmath.phase(volts)):.9f}")
        (out / case).mkdir(exist_ok=True)
        (out / case / "opendss.txt").write_text("\n".join(lines) + "\n")
        print(case, len(lines))


if __name__ == "__main__":
    main()
