"""Makes the cases of `estimate/`: a folder per situation, each with `input.json` and `case.json`.

The source of truth is power-grid-model's power flow (pip install power-grid-model==1.12.110) of one small network; sensors
read its results with normal errors of the stated deviations (seed 7), then something is made wrong. `case.json` says what
is wrong, how the program is called, and what it has to say. Run: python3 make_estimates.py
"""
import copy
import json
from pathlib import Path

import numpy as np
from power_grid_model import PowerGridModel
from power_grid_model.utils import json_deserialize

HERE = Path(__file__).parent / "estimate"
SOURCE = "power-grid-model 1.12.110, Newton-Raphson power flow of the true network, errors drawn with seed 7"
PHASE, TIE, TRANSFORMER = 10e3 / 3**0.5, 27, 25


def network():
    """A 10 kV feeder of two branches with an open tie, a transformer and a low-voltage street; a shunt at node 3."""
    line = dict(from_status=1, to_status=1, r1=0.32, x1=0.28, c1=1e-8, tan1=0.0, r0=0.9, x0=0.9, c0=1e-8, tan0=0.0, i_n=300.0)
    low = dict(line, r1=0.02, x1=0.008, r0=0.06, x0=0.03)
    nodes = [(1, 10e3), (2, 10e3), (3, 10e3), (4, 10e3), (5, 10e3), (6, 10e3), (7, 10e3), (8, 400.0), (9, 400.0)]
    ends = [(21, 1, 2), (22, 2, 3), (23, 3, 4), (24, 2, 5), (26, 5, 6), (28, 6, 7), (TIE, 4, 7)]
    lines = [dict(line, id=i, from_node=a, to_node=b) for i, a, b in ends]
    lines[-1].update(from_status=0, to_status=0)
    lines.append(dict(low, id=29, from_node=8, to_node=9))
    transformer = dict(
        id=TRANSFORMER, from_node=4, to_node=8, from_status=1, to_status=1, u1=10e3, u2=400.0, sn=400e3, uk=0.04, pk=5e3,
        i0=0.003, p0=700.0, winding_from=2, winding_to=1, clock=11, tap_side=0, tap_pos=0, tap_min=-5, tap_max=5, tap_nom=0,
        tap_size=250.0)
    loads = [(41, 3, [200e3, 180e3, 220e3]), (42, 5, [150e3, 170e3, 130e3]), (43, 6, [240e3, 200e3, 210e3]),
             (44, 7, [300e3, 280e3, 310e3]), (45, 9, [60e3, 20e3, 35e3])]
    return dict(
        node=[dict(id=i, u_rated=u) for i, u in nodes],
        line=lines, transformer=[transformer],
        source=[dict(id=30, node=1, status=1, u_ref=1.02, sk=500e6)],
        shunt=[dict(id=35, node=3, status=1, g1=1e-6, b1=1e-3, g0=1e-6, b0=1e-3)],
        asym_load=[dict(id=i, node=n, status=1, type=0, p_specified=p, q_specified=[0.25 * x for x in p])
                   for i, n, p in loads])


def document(data):
    return dict(version="1.0", type="input", is_batch=False, attributes={}, data=data)


def flow(data):
    model = PowerGridModel(json_deserialize(json.dumps(document(data))))
    result = model.calculate_power_flow(symmetric=False, error_tolerance=1e-11)
    return {name: {int(row["id"]): row for row in rows} for name, rows in result.items()}


def sensors(truth, shunted=True):
    """Voltages at five nodes, loads, flows at three branches, a current and the shunt."""
    dice = np.random.default_rng(7)
    off = lambda values, sigma: [float(x + sigma * dice.standard_normal()) for x in values]
    made = dict(asym_voltage_sensor=[], asym_power_sensor=[], asym_current_sensor=[])
    for number, node in enumerate([1, 3, 4, 7, 9]):
        u = truth["node"][node]["u"]
        sigma = 0.002 * (231.0 if node >= 8 else PHASE)
        made["asym_voltage_sensor"].append(
            dict(id=51 + number, measured_object=node, u_sigma=sigma, u_measured=off(u, sigma)))

    def power(identity, place, kind, row, sigma, suffix=""):
        made["asym_power_sensor"].append(dict(
            id=identity, measured_object=place, measured_terminal_type=kind, power_sigma=2**0.5 * sigma,
            p_measured=off(row["p" + suffix], sigma), q_measured=off(row["q" + suffix], sigma)))
    for number, load in enumerate([41, 42, 43, 44, 45]):
        power(61 + number, load, 4, truth["asym_load"][load], 3e3)
    for number, line in enumerate([21, 22, 24]):
        power(71 + number, line, 0, truth["line"][line], 3e3, "_from")
    power(74, TRANSFORMER, 0, truth["transformer"][TRANSFORMER], 2e3, "_from")
    if shunted:
        power(75, 35, 3, truth["shunt"][35], 3e3)
        power(76, 6, 9, truth["node"][6], 4e3)
        row = truth["line"][28]
        made["asym_current_sensor"].append(dict(
            id=81, measured_object=28, measured_terminal_type=0, angle_measurement_type=0, i_sigma=0.5, i_angle_sigma=0.02,
            i_measured=off(row["i_from"], 0.5),
            i_angle_measured=off(np.arctan2(row["q_from"], row["p_from"]), 0.02)))
    return made


def find(data, identity):
    return next(row for rows in data.values() for row in rows if row["id"] == identity)


def write(name, wrong, data, arguments=("--diagnose",), exit_code=0, says=(), expect=None, truth=None, near=None):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = lambda values: "[\n" + ",\n".join("    " + json.dumps(row) for row in values) + "\n  ]"
    lists = ",\n".join(f'  "{kind}": {rows(values)}' for kind, values in data.items() if values)
    frame = '{"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {\n'
    (folder / "input.json").write_text(frame + lists + "\n}}\n")
    case = dict(wrong=wrong, source_of_truth=SOURCE, arguments=list(arguments), exit=exit_code, says=list(says))
    if expect is not None:
        case["expect"] = expect
    if near is not None:
        case["true_u"] = {str(node): [float(u) for u in truth["node"][node]["u"]] for node in near}
        case["within_sigmas"] = 5.0
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")


def main():
    net = network()
    truth = flow(net)
    good = {**net, **sensors(truth)}
    every = list(range(1, 10))
    fits = dict(diagnosis=dict(checkable=True, consistent=True, suspects=[], network_doubted=False))
    write("nothing-wrong", "nothing", good, expect=fits, truth=truth, near=every, says=["the readings fit the network"])
    write("nothing-wrong-mesh", "nothing; the sparse solver", good, ("--diagnose", "--method", "sparse"), expect=fits,
          truth=truth, near=every)

    bad = copy.deepcopy(good)
    find(bad, 72)["p_measured"][1] += 90e3
    named = dict(id=72, measures="active power", phase="b", unit="W")
    write("bad-sensor", "line sensor 72 reads 90 kW too much on phase b", bad,
          expect=dict(diagnosis=dict(consistent=False, suspects=[named], consistent_without_suspects=True)),
          says=["do not fit the network", "most suspicious: sensor 72, active power of phase b"])
    write("bad-sensor-left-out", "the same, estimated again without it", bad, ("--leave-out-suspects",),
          expect=dict(diagnosis=dict(consistent=True, left_out=[72], suspects=[])), truth=truth, near=every,
          says=["left out of this estimate: sensors 72"])
    two = copy.deepcopy(bad)
    find(two, 54)["u_measured"][0] += 250.0
    write("two-bad-sensors", "sensor 72 on phase b, and voltage sensor 54 reads 250 V too much on phase a", two,
          ("--leave-out-suspects",), expect=dict(diagnosis=dict(consistent=True, left_out=[54, 72])), truth=truth, near=every)

    tied = copy.deepcopy(net)
    find(tied, TIE).update(from_status=1, to_status=1)
    other = flow(tied)
    write("wrong-switch", "line 27 is closed in truth and open in the file", {**net, **sensors(other)},
          expect=dict(diagnosis=dict(network_doubted=True, hypotheses=[dict(kind="closed", id=TIE)])),
          says=["the network may be otherwise", "line 27 is closed"])
    write("wrong-switch-mesh", "line 27 is open in truth and closed in the file", {**tied, **sensors(truth)},
          expect=dict(diagnosis=dict(network_doubted=True, hypotheses=[dict(kind="open")])), says=["may be otherwise"])
    tapped = copy.deepcopy(net)
    find(tapped, TRANSFORMER)["tap_pos"] = 2
    write("wrong-tap", "the transformer stands on tap 2, the file says 0", {**net, **sensors(flow(tapped))},
          expect=dict(diagnosis=dict(network_doubted=True, hypotheses=[dict(kind="tap", id=TRANSFORMER, what="transformer 25 stands on tap 2")])))
    swapped = copy.deepcopy(good)
    for key in ("p_measured", "q_measured"):
        values = find(swapped, 65)[key]
        values[0], values[1] = values[1], values[0]
    write("exchanged-phases", "sensor 65 has phases a and b exchanged", swapped,
          expect=dict(diagnosis=dict(network_doubted=True, hypotheses=[dict(kind="phases", id=65, what="phases a and b of asym_power_sensor 65 are exchanged")])))

    lateral = copy.deepcopy(good)
    gone = {51, 54, 64, 71, 73, 81}
    for kind in ("asym_voltage_sensor", "asym_power_sensor", "asym_current_sensor"):
        lateral[kind] = [row for row in lateral[kind] if row["id"] not in gone]
    blind = dict(observability="unobservable", u_std=[None] * 3)
    write("unobservable-lateral", "nothing tells what the branch of nodes 5 to 7 takes, nor what comes from the source", lateral,
          expect={"node": {"7": blind, "3": dict(observability="measured")}}, truth=truth, near=[2, 3, 4, 8, 9])
    guessed = copy.deepcopy(lateral)
    guessed["asym_power_sensor"].append(dict(
        id=94, measured_object=44, measured_terminal_type=4, power_sigma=60e3, p_measured=[250e3] * 3, q_measured=[60e3] * 3,
        pseudo=1))
    write("pseudo-measured-lateral", "the same with a pseudo-measurement (`pseudo`: 1) of load 44", guessed,
          truth=truth, near=every, expect={"node": {"7": dict(observability="pseudo"), "3": dict(observability="measured")}})

    mad = copy.deepcopy(good)
    load = find(mad, 61)
    mad["asym_power_sensor"].append(dict(load, id=91, p_measured=[-x for x in load["p_measured"]]))
    write("contradictory-sensors", "a second meter of load 41 says the opposite of the first", mad,
          expect=dict(diagnosis=dict(consistent=False, suspects=[dict(id=61, sensors=[61, 91])])), says=["do not fit"])
    lost = copy.deepcopy(good)
    lost["asym_power_sensor"].append(dict(load, id=92, measured_object=21, measured_terminal_type=0, p_measured=[9e8] * 3, power_sigma=1.0))
    write("impossible-sensor", "a sensor of 1 VA says a flow that no state of the network has", lost, exit_code=1,
          says=["not settled after", "bus position"])
    few = {**net, **sensors(truth)}
    few["asym_voltage_sensor"] = few["asym_voltage_sensor"][:1]
    few["asym_power_sensor"] = [row for row in few["asym_power_sensor"] if row["id"] in range(61, 66)]
    few["asym_current_sensor"] = []
    write("no-redundancy", "just as many sensors as needed: no error could be seen", few,
          expect=dict(diagnosis=dict(checkable=False, critical_sensors=[51, 61, 62, 63, 64, 65])), says=["none is redundant"])

    def spoiled(name, wrong, identity, says, exit_code=2, expect=None, **values):
        data = copy.deepcopy(good)
        find(data, identity).update(values)
        write(name, wrong, data, exit_code=exit_code, says=says, expect=expect)
    spoiled("sigma-zero", "a standard deviation of zero", 72, ["asym_power_sensor 72", "power_sigma", "positive"], power_sigma=0.0)
    spoiled("part-sigma-zero", "a standard deviation of zero for the active power alone", 72,
            ["asym_power_sensor 72", "p_sigma", "positive"], p_sigma=[3e3, 0.0, 3e3], q_sigma=[3e3] * 3)
    spoiled("part-sigma-alone", "a standard deviation for the active power alone", 72,
            ["sensor 72", "standard deviation of the reactive power"], p_sigma=[3e3] * 3)
    one_phase = [3e3, "inf", 3e3]
    spoiled("phase-sigma-infinite", "one phase of a sensor says nothing, and lies: the others are used", 72,
            ["fit the network"], 0, dict(diagnosis=dict(consistent=True)), p_sigma=one_phase, q_sigma=one_phase,
            p_measured=[find(good, 72)["p_measured"][0], 9e8, find(good, 72)["p_measured"][2]])
    coupled = copy.deepcopy(good)
    coupled["line"] = [row for row in coupled["line"] if row["id"] != 22]
    coupled["asym_line"] = [dict(
        id=22, from_node=2, to_node=3, from_status=1, to_status=1, r_aa=0.5, r_ba=0.2, r_bb=-0.5, r_ca=0.2, r_cb=0.2, r_cc=0.5,
        x_aa=0.5, x_ba=0.2, x_bb=0.5, x_ca=0.2, x_cb=0.2, x_cc=0.5, c0=1e-8, c1=1e-8, i_n=300.0)]
    write("negative-resistance", "a conductor of a line gives power instead of losing it", coupled, exit_code=2,
          says=["line 22", "resistance of a conductor", "-0.5"])
    spoiled("sigma-infinite", "an infinite standard deviation: as if the sensor were not there", 72, ["fit the network"], 0,
            dict(asym_power_sensor={"72": dict(normalized_residual=None, detectable_error=None)}), power_sigma="inf")
    spoiled("absurd-value", "a sensor of 1e308 W", 72, ["sensor 72", "is 1e308"], p_measured=[1e308, 0.0, 0.0])
    spoiled("missing-impedance", "a line without resistance (null, NaN)", 22, ["line 22", "r1", "missing"], r1=None)
    spoiled("no-impedance", "a line of no impedance at all", 22, ["line 22"], r1=0.0, x1=0.0)
    spoiled("unknown-object", "a sensor of nothing", 72, ["asym_power_sensor 72", "measured_object"], measured_object=999)
    spoiled("duplicate-id", "two sensors of one id", 72, ["71"], id=71)
    spoiled("dead-voltage", "a voltage sensor at a live node reads nothing", 53, ["sensor 53", "positive"], u_measured=[0.0, 5773.0, 5773.0])
    spoiled("pseudo-flow", "a pseudo-measurement of a branch", 72, ["asym_power_sensor 72", "pseudo"], pseudo=1)
    spoiled("island-without-source", "line 28 is open: node 7 has no source", 28, [], 0,
            {"node": {"7": dict(energized=0, observability="dead", u_std=[None] * 3)}}, from_status=0, to_status=0)


main()
