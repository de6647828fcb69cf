"""Writes assembly/winding_transformers with OpenDSS (pip install opendssdirect.py, 0.9.4 with DSS C-API 0.14.5 was used).

Each case is a transformer in OpenDSS's words and in ours, and the element's admittance matrix ("Yprim"), S.
The tests only read the file: python estimation/cases/make_winding_transformers.py
"""

import json
from pathlib import Path

import opendssdirect as dss

FOLDER = Path(__file__).parent / "assembly" / "winding_transformers"


def winding(kv, kva, r_percent, delta=False, tap=1.0, neutral=None):
    return {"u_kv": kv, "s_kva": kva, "r_percent": r_percent, "delta": delta, "tap": tap, "neutral": neutral}


def case(situation, phases, buses, windings, x, **other):
    return {"situation": situation, "phases": phases, "buses": buses, "windings": windings, "x_percent": x,
            "no_load_percent": 0.0, "magnetising_percent": 0.0, "antifloat_ppm": 1.0, "leads": False} | other


HIGH, LOW = winding(12.47, 500, 0.5), winding(0.48, 500, 0.6)
HIGH_DELTA, LOW_DELTA = HIGH | {"delta": True}, LOW | {"delta": True}
CASES = [
    case("delta-wye", 3, ["a", "b"], [HIGH_DELTA, LOW], [4.5]),
    case("delta-wye that leads, losses, unequal ratings", 3, ["a", "b"], [HIGH_DELTA, LOW | {"s_kva": 300}], [4.5],
         no_load_percent=0.2, magnetising_percent=1.0, leads=True),
    case("wye-delta with taps", 3, ["a", "b"], [HIGH | {"tap": 1.05}, LOW_DELTA | {"tap": 0.975}], [4.5]),
    case("wye-delta, the delta higher", 3, ["a", "b"], [LOW, HIGH_DELTA], [4.5]),
    case("wye-wye with a neutral impedance", 3, ["a", "b.1.2.3.4"], [HIGH, LOW | {"neutral": [1.0, 2.0]}], [4.5]),
    case("wye-wye with a bonded neutral", 3, ["a", "b.1.2.3.4"], [HIGH, LOW | {"neutral": [0.0, 0.0]}], [4.5],
         antifloat_ppm=3.0),
    case("wye-wye with an open neutral", 3, ["a.1.2.3.4", "b.1.2.3.4"], [HIGH, LOW], [4.5]),
    case("delta-delta", 3, ["a", "b"], [HIGH_DELTA, LOW_DELTA], [4.5]),
    case("centre-tapped", 1, ["a.1", "b.1.0", "b.0.2"],
         [winding(7.2, 25, 0.6), winding(0.12, 25, 1.2), winding(0.12, 25, 1.2)], [2.04, 2.04, 1.36],
         no_load_percent=0.3, magnetising_percent=0.5),
    case("a regulator on phase c", 1, ["a.3", "b.3"], [winding(2.4, 1666, 0.0), winding(2.4, 1666, 0.0, tap=1.0375)],
         [0.01], no_load_percent=0.0),
    case("one phase of a delta", 1, ["a.1.2", "b.1.2"], [winding(12.47, 25, 0.6, True), winding(2.4, 25, 1.2, True)], [2.04]),
    case("between phases to one phase", 1, ["a.2.3", "b.1"], [winding(12.47, 25, 0.6, True), winding(2.4, 25, 1.2)], [2.04]),
    case("open wye-open delta", 2, ["a.1.2.0", "b.1.2.3"], [winding(12.47, 25, 0.6), winding(0.48, 25, 1.2, True)], [2.04]),
    case("open wye-open delta that leads", 2, ["a.1.2.0", "b.1.2.3"],
         [winding(12.47, 25, 0.6), winding(0.48, 25, 1.2, True)], [2.04], leads=True),
    case("three windings", 3, ["a", "b", "c"],
         [winding(12.47, 5000, 0.5, True, 1.02), winding(4.16, 4000, 0.6, False, 0.98), winding(0.48, 1000, 0.7, True, 1.01)],
         [7.0, 9.0, 4.0]),
    case("four windings", 1, ["a.1", "b.1", "c.2", "d.3"],
         [winding(7.2, 100, 0.5), winding(2.4, 50, 0.6), winding(0.24, 25, 0.7), winding(0.12, 25, 0.8)],
         [5.0, 6.0, 7.0, 4.0, 4.5, 3.5]),
]


def solve(spec):
    ws = spec["windings"]
    lists = {
        "buses": spec["buses"],
        "conns": ["delta" if w["delta"] else "wye" for w in ws],
        "kvs": [w["u_kv"] for w in ws],
        "kvas": [w["s_kva"] for w in ws],
        "%rs": [w["r_percent"] for w in ws],
        "taps": [w["tap"] for w in ws],
        "xscarray": spec["x_percent"],
    }
    text = f"new transformer.t phases={spec['phases']} windings={len(ws)} "
    text += " ".join(f"{key}=({', '.join(map(str, values))})" for key, values in lists.items())
    text += f" %noloadloss={spec['no_load_percent']} %imag={spec['magnetising_percent']}"
    text += f" ppm_antifloat={spec['antifloat_ppm']} leadlag={'lead' if spec['leads'] else 'lag'}"
    for number, w in enumerate(ws, 1):
        if w["neutral"]:
            text += f" wdg={number} rneut={w['neutral'][0]} xneut={w['neutral'][1]}"
    for command in ("clear", "new circuit.c basekv=12.47 bus1=a", text, "solve mode=snap"):
        dss.Text.Command(command)
    dss.Circuit.SetActiveElement("transformer.t")
    flat = dss.CktElement.YPrim()
    order = dss.CktElement.NodeOrder()
    size = len(order)
    rows = [[[flat[2 * (i * size + j)], flat[2 * (i * size + j) + 1]] for j in range(size)] for i in range(size)]
    # The fourth conductor of a three-phase delta is not connected inside.
    conductors = spec["phases"] + 1
    keep = [i for i in range(size)
            if not (spec["phases"] == 3 and ws[i // conductors]["delta"] and i % conductors == 3)]
    return {"wires": [order[i] for i in keep], "y": [[rows[i][j] for j in keep] for i in keep], "opendss": text}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(spec | solve(spec)) for spec in CASES]
    note = "OpenDSSDirect.py 0.9.4, DSS C-API 0.14.5; written by estimation/cases/make_winding_transformers.py"
    (FOLDER / "expected.json").write_text(
        f'{{\n"source_of_truth": {json.dumps(note)},\n"cases": [\n' + ",\n".join(lines) + "\n]\n}\n")
    print(len(lines), "cases")
