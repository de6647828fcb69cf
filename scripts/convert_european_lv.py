#!/usr/bin/env python3
"""Makes sim/networks/ieee_european_lv.json from pandapower's copy of the IEEE European LV test feeder.

    pip install pandapower power-grid-model
    python scripts/convert_european_lv.py sim/networks/ieee_european_lv.json

The output is power-grid-model JSON 1.0, one component per line, with the extra node attributes x_m and y_m.
After writing, the file is loaded with power-grid-model and its asymmetric power flow (with the loads of the
data set) is compared with pandapower's runpp_3ph; the largest deviation is printed and must stay below 1e-5 p.u.
pandapower gives the transformer a zero-sequence magnetising branch (mag0_percent = 100), which power-grid-model's
transformer does not have; it is taken out for the comparison, and the deviation with it is printed too.
The ratings (i_n) are not part of the data set; AMPACITY below says where they come from.
"""

import json
import math
import sys

import numpy as np
import pandapower as pp
import pandapower.networks
import power_grid_model as pgm
from power_grid_model.utils import json_deserialize

LINE_ID, TRANSFORMER_ID, SOURCE_ID, LOAD_ID = 1000, 2001, 2002, 3000
SOURCE_BUS = 907  # the published buses are 1 to 906; the 11 kV bus has a name only

# Rated currents in ground of four-core 0.6/1 kV cables, A by mm2: DIN VDE 0276-603 (HD 603 S1 part 3-G),
# PVC, 20 degC soil, 1.0 K m/W, load factor 0.7, three loaded conductors.
COPPER = {4: 47, 6: 59, 10: 79, 16: 102, 25: 133, 35: 159, 50: 188, 70: 232}
COPPER |= {95: 280, 120: 318, 150: 359, 185: 406, 240: 473}
ALUMINIUM = {35: 123, 50: 144, 70: 179, 95: 215, 120: 245, 150: 275, 185: 313, 240: 364}

# The data set's cable types are British; their real ratings are not published with it. Conductor size from the
# name (a fraction is square inches, 1 in2 = 645.16 mm2), metal from the resistance; the table is interpolated
# in log(mm2) between its sizes. So each rating is an approximation of a similar cable, not a data sheet value.
CABLES = {
    "2c_007": (COPPER, 0.007 * 645.16),
    "2c_0225": (COPPER, 0.0225 * 645.16),
    "2c_16": (COPPER, 16.0),
    "35_SAC_XSC": (ALUMINIUM, 35.0),
    "4c_06": (COPPER, 0.06 * 645.16),
    "4c_1": (COPPER, 0.1 * 645.16),
    "4c_185": (ALUMINIUM, 185.0),
    "4c_35": (COPPER, 0.35 * 645.16),
    "4c_70": (ALUMINIUM, 70.0),
    "4c_95_SAC_XC": (ALUMINIUM, 95.0),
}


def ampacity(std_type):
    table, mm2 = CABLES[std_type]
    sizes = sorted(table)
    logs = [math.log(size) for size in sizes]
    return float(round(np.interp(math.log(mm2), logs, [table[size] for size in sizes])))


def bus_id(index):
    return SOURCE_BUS if index == 0 else int(index)


def number(value):
    """The data are single precision, so seven significant digits are all there is."""
    return float(f"{float(value):.7g}")


def nodes(net):
    for index, bus in net.bus.iterrows():
        x, y = json.loads(bus.geo)["coordinates"]
        yield {"id": bus_id(index), "u_rated": number(bus.vn_kv * 1e3), "x_m": round(x, 3), "y_m": round(y, 3)}


def lines(net):
    for index, line in net.line.iterrows():
        km = line.length_km
        yield {
            "id": LINE_ID + int(line["name"].removeprefix("LINE")),
            "from_node": bus_id(line.from_bus),
            "to_node": bus_id(line.to_bus),
            "from_status": 1,
            "to_status": 1,
            "r1": number(line.r_ohm_per_km * km),
            "x1": number(line.x_ohm_per_km * km),
            "c1": number(line.c_nf_per_km * km * 1e-9),
            "tan1": 0.0,
            "r0": number(line.r0_ohm_per_km * km),
            "x0": number(line.x0_ohm_per_km * km),
            "c0": number(line.c0_nf_per_km * km * 1e-9),
            "tan0": 0.0,
            "i_n": ampacity(line.std_type),
        }


def transformers(net):
    (trafo,) = (row for _, row in net.trafo.iterrows())
    assert trafo.vector_group == "Dyn" and trafo.shift_degree == 30.0 and trafo.tap_pos == 0
    sn = trafo.sn_mva * 1e6
    yield {
        "id": TRANSFORMER_ID,
        "from_node": bus_id(trafo.hv_bus),
        "to_node": bus_id(trafo.lv_bus),
        "from_status": 1,
        "to_status": 1,
        "u1": number(trafo.vn_hv_kv * 1e3),
        "u2": number(trafo.vn_lv_kv * 1e3),
        "sn": number(sn),
        "uk": number(trafo.vk_percent / 100),
        "pk": number(trafo.vkr_percent / 100 * sn),
        "i0": number(trafo.i0_percent / 100),
        "p0": number(trafo.pfe_kw * 1e3),
        "winding_from": 2,  # delta
        "winding_to": 1,  # wye with neutral
        "clock": 1,
        "tap_side": 0,
        "tap_pos": 0,
        "tap_min": int(trafo.tap_min),
        "tap_max": int(trafo.tap_max),
        "tap_nom": int(trafo.tap_neutral),
        "tap_size": number(trafo.tap_step_percent / 100 * trafo.vn_hv_kv * 1e3),
    }


def sources(net):
    (grid,) = (row for _, row in net.ext_grid.iterrows())
    yield {
        "id": SOURCE_ID,
        "node": bus_id(grid.bus),
        "status": 1,
        "u_ref": number(grid.vm_pu),
        "sk": number(grid.s_sc_max_mva * 1e6),
        "rx_ratio": number(grid.rx_max),
        "z01_ratio": number(grid.x0x_max),
    }


def loads(net):
    for _, load in net.asymmetric_load.iterrows():
        p = [number(load[f"p_{phase}_mw"] * 1e6) for phase in "abc"]
        q = [number(load[f"q_{phase}_mvar"] * 1e6) for phase in "abc"]
        number_in_name = int(load["name"].removeprefix("LOAD"))
        yield {
            "id": LOAD_ID + number_in_name,
            "node": bus_id(load.bus),
            "status": 1,
            "type": 0,
            "p_specified": p,
            "q_specified": q,
        }


def write(net, path):
    kinds = {
        "node": nodes(net),
        "line": lines(net),
        "transformer": transformers(net),
        "source": sources(net),
        "asym_load": loads(net),
    }
    blocks = []
    for kind, components in kinds.items():
        rows = ",\n".join(json.dumps(component, separators=(",", ":")) for component in components)
        blocks.append(f'"{kind}":[\n{rows}\n]')
    head = '{"version":"1.0","type":"input","is_batch":false,"attributes":{},"data":{\n'
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(head + ",\n".join(blocks) + "\n}}\n")


def largest_deviation(net, path):
    """Largest voltage difference between the file in power-grid-model and pandapower, and the lowest voltage, p.u."""
    with open(path, encoding="ascii") as file:
        model = pgm.PowerGridModel(json_deserialize(file.read()), system_frequency=net.f_hz)
    result = model.calculate_power_flow(symmetric=False, error_tolerance=1e-10, calculation_method="newton_raphson")
    ours = {int(row["id"]): row["u_pu"] for row in result["node"]}
    pp.runpp_3ph(net, tolerance_mva=1e-10)
    deviation, lowest = 0.0, 9.0
    for index, row in net.res_bus_3ph.iterrows():
        for phase, value in enumerate([row.vm_a_pu, row.vm_b_pu, row.vm_c_pu]):
            deviation = max(deviation, abs(value - ours[bus_id(index)][phase]))
            lowest = min(lowest, value)
    return deviation, lowest


def main():
    path = sys.argv[1]
    net = pandapower.networks.ieee_european_lv_asymmetric()
    write(net, path)
    print(f"{path}: {len(net.bus)} buses, {len(net.line)} lines, {len(net.asymmetric_load)} loads")
    with_branch, lowest = largest_deviation(net, path)
    print(f"lowest voltage {lowest:.5f} p.u.")
    net.trafo["mag0_percent"] = 1e6
    deviation, _ = largest_deviation(net, path)
    print(f"largest voltage deviation from pandapower: {deviation:.1e} p.u.")
    print(f"with mag0_percent = 100: {with_branch:.1e} p.u.")
    if deviation > 1e-5:
        sys.exit("the file does not describe the same network")


if __name__ == "__main__":
    main()
