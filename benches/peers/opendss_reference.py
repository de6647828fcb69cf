#!/usr/bin/env python3
"""Solves an OpenDSS model with OpenDSSDirect and writes its voltages, taps and capacitor states as JSON.

    python benches/peers/opendss_reference.py MASTER.dss OUT.json [--controls off|static] [--taps-fixed]
                                              [--cmd "set loadmult=1" ...] [--before "..."] [--tolerance 1e-12]

--controls off      taps and capacitors stay as they are after compiling (a model whose file ends in "solve" has moved
                    them by then, in that very file: set them with --cmd)
--controls static   regulators and capacitor controls act until they rest; the default
--taps-fixed        first solves with controls, then again with controls off at the taps found, to full tolerance
--cmd               further commands after the model is compiled and before it is solved; repeatable, for instance
                    --cmd "transformer.reg1.taps=[1 1.0625]"

OpenDSS ends when no voltage changes by more than the tolerance relative to its base. That says little about a
slowly converging solution, so the solution is repeated until two in a row agree as well; `change_pu` is how far
the last two are apart. Bus names are lower case, nodes as OpenDSS numbers them (1, 2, 3 the phases, 4 a neutral).
Voltages are to ground, per unit of the bus's phase voltage base.
"""

import argparse
import cmath
import json
import math
import os
import sys
from pathlib import Path

from places import use_environment

TOLERANCE = 1e-12
REPETITIONS = 30
AGREEMENT_PU = 1e-13


def run(dss, command):
    """One text command; an error of OpenDSS ends the program with it."""
    try:
        dss.Text.Command(command)
    except Exception as error:  # the engine's own exception type is not exported in every version
        sys.exit(f"peers: OpenDSS refuses {command!r}: {error}")


def voltages(dss):
    """Complex voltage in V of every node, by name."""
    pairs = dss.Circuit.AllBusVolts()
    values = [complex(re, im) for re, im in zip(pairs[0::2], pairs[1::2])]
    return dict(zip(dss.Circuit.AllNodeNames(), values))


def bases(dss):
    """Phase voltage base in V of every bus; 0 where the model gives none."""
    result = {}
    for name in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(name)
        result[name] = dss.Bus.kVBase() * 1e3
    return result


def solve(dss, bus_bases):
    """Solves until repeating it changes nothing; returns voltages and the last change in p.u."""
    change, before = math.inf, None
    for _ in range(REPETITIONS):
        dss.Solution.Solve()
        if not dss.Solution.Converged():
            sys.exit(f"peers: OpenDSS did not converge within {dss.Solution.MaxIterations()} iterations")
        now = voltages(dss)
        if before is not None:
            change = max(abs(now[name] - before[name]) / (bus_bases[name.split(".")[0]] or 1.0) for name in now)
            if change <= AGREEMENT_PU:
                break
        before = now
    return now, change


def nodes(dss, found, bus_bases):
    """Per bus its base and its nodes with voltage, per-unit voltage and angle."""
    buses = {name: {"base_v": base, "nodes": {}} for name, base in bus_bases.items()}
    for name, value in found.items():
        bus, _, node = name.partition(".")
        base = bus_bases[bus]
        buses[bus]["nodes"][node] = {
            "v": [value.real, value.imag],
            "pu": [value.real / base, value.imag / base] if base else None,
            "pu_magnitude": abs(value) / base if base else None,
            "angle_deg": math.degrees(cmath.phase(value)),
        }
    return buses


def transformers(dss):
    """Tap of every winding, p.u., by transformer."""
    result = {}
    for name in dss.Transformers.AllNames():
        dss.Transformers.Name(name)
        taps = []
        for winding in range(1, dss.Transformers.NumWindings() + 1):
            dss.Transformers.Wdg(winding)
            step = (dss.Transformers.MaxTap() - dss.Transformers.MinTap()) / (dss.Transformers.NumTaps() or 1)
            tap = dss.Transformers.Tap()
            taps.append({"tap_pu": tap, "position": round((tap - 1) / step) if step else 0})
        result[name] = taps
    return result


def regulators(dss):
    """Tap number of every regulator control, with its transformer and winding."""
    result = {}
    for name in dss.RegControls.AllNames() or []:
        if name.lower() == "none":
            continue
        dss.RegControls.Name(name)
        result[name] = {
            "transformer": dss.RegControls.Transformer(),
            "winding": dss.RegControls.Winding(),
            "tap_number": dss.RegControls.TapNumber(),
        }
    return result


def capacitors(dss):
    """State of every step (1 closed) by capacitor."""
    result = {}
    for name in dss.Capacitors.AllNames() or []:
        if name.lower() == "none":
            continue
        dss.Capacitors.Name(name)
        result[name] = {"states": list(dss.Capacitors.States()), "kvar": dss.Capacitors.kvar()}
    return result


def reference(options):
    """Compiles, solves and collects."""
    import opendssdirect as dss

    home = os.getcwd()
    master = options.master.resolve()
    if not master.exists():
        sys.exit(f"peers: no {options.master}")
    for command in ("clear", *options.before):
        run(dss, command)
    run(dss, f'compile "{master}"')  # changes the working directory to the model's
    for command in (f"set tolerance={options.tolerance:g}", "set maxiterations=10000", "set maxcontroliter=1000"):
        run(dss, command)
    for command in options.cmd:
        run(dss, command)
    run(dss, f"set controlmode={options.controls}")
    bus_bases = bases(dss)
    if options.taps_fixed:
        solve(dss, bus_bases)
        run(dss, "set controlmode=off")
    found, change = solve(dss, bus_bases)
    os.chdir(home)
    losses_w, losses_var = dss.Circuit.Losses()
    power_kw, power_kvar = dss.Circuit.TotalPower()
    return {
        "master": options.master.name,
        "program": dss.Basic.Version().split("\n")[0],
        "controls": "taps fixed where the controls left them" if options.taps_fixed else options.controls,
        "commands": options.cmd,
        "tolerance": options.tolerance,
        "iterations": dss.Solution.Iterations(),
        "change_pu": change,
        "frequency_hz": dss.Solution.Frequency(),
        "source_va": [-1e3 * power_kw, -1e3 * power_kvar],
        "losses_va": [losses_w, losses_var],
        "buses": nodes(dss, found, bus_bases),
        "transformers": transformers(dss),
        "regulators": regulators(dss),
        "capacitors": capacitors(dss),
    }


def main():
    use_environment("opendssdirect")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("master", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--controls", choices=("off", "static"), default="static")
    parser.add_argument("--taps-fixed", action="store_true")
    parser.add_argument("--cmd", action="append", default=[])
    parser.add_argument("--before", action="append", default=[], help="commands before the model is compiled")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    options = parser.parse_args()
    result = reference(options)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    count = sum(len(bus["nodes"]) for bus in result["buses"].values())
    print(
        f"{options.out}: {len(result['buses'])} buses, {count} nodes, last change {result['change_pu']:.1e} p.u. "
        f"after {result['iterations']} iterations, {len(result['transformers'])} transformers"
    )


if __name__ == "__main__":
    main()
