#!/usr/bin/env python3
"""Writes the networks of this folder with pandapower's own results in them (made with pandapower 3.5.6).

    python connectors/testdata/pandapower/make.py

`multivoltage` and `cigre_lv` are networks of pandapower's library (BSD licence), the others are made here. `res_bus` is
the truth of the tests: `runpp` with its defaults to 1e-10 MVA, and in `measured` `res_bus_est` of its estimator.
"""

import json
import warnings
from pathlib import Path

import pandapower as pp
import pandapower.estimation as est
import pandapower.networks as networks

HERE = Path(__file__).parent
KEPT = ("res_bus", "res_bus_est")


def write(net, name):
    """The network as JSON without what nobody reads here."""
    document = json.loads(pp.to_json(net))
    tables = document["_object"]
    for key in list(tables):
        empty = isinstance(tables[key], dict) and '"data":[]' in str(tables[key].get("_object", "")).replace(" ", "")
        if empty or key == "std_types" or (key.startswith(("res_", "_")) and key not in KEPT) or key.endswith("geodata"):
            del tables[key]
    (HERE / f"{name}.json").write_text(json.dumps(document, indent=0, separators=(",", ":")) + "\n")


def solve(net, **options):
    """Power flow, as exact as it gets."""
    pp.runpp(net, calculate_voltage_angles=True, tolerance_mva=1e-10, max_iteration=50, numba=False, **options)
    return net


def multivoltage():
    """Four voltage levels, a generator, a three-winding transformer, switches; without its xwards, which are not read."""
    net = networks.example_multivoltage()
    net.xward.drop(net.xward.index, inplace=True)
    return solve(net)


def corners():
    """What the library networks leave out."""
    net = pp.create_empty_network(name="corners", f_hz=50.0)
    bus = [pp.create_bus(net, kv, index=10 * (k + 1)) for k, kv in enumerate((110, 20, 20, 20, 0.4, 0.4, 20, 20, 110, 20))]
    pp.create_ext_grid(net, bus[0], vm_pu=1.02, va_degree=12.0)
    trafo = dict(sn_mva=25, vn_hv_kv=110, vn_lv_kv=20, vkr_percent=0.4, vk_percent=12, pfe_kw=14, i0_percent=0.07)
    pp.create_transformer_from_parameters(
        net, bus[0], bus[1], **trafo, shift_degree=150, parallel=2, tap_side="hv", tap_neutral=0, tap_min=-9, tap_max=9,
        tap_step_percent=1.5, tap_pos=-3, tap_changer_type="Ratio", vector_group="YNd")
    line = dict(r_ohm_per_km=0.16, x_ohm_per_km=0.12, c_nf_per_km=273, g_us_per_km=0.4, max_i_ka=0.3)
    for k, (start, end, km, parallel) in enumerate(((1, 2, 3.0, 1), (2, 3, 1.5, 2), (1, 3, 4.0, 1), (3, 6, 0.8, 1))):
        pp.create_line_from_parameters(net, bus[start], bus[end], km, parallel=parallel, index=5 + k, **line)
    pp.create_switch(net, bus[3], 7, et="l", closed=False)
    pp.create_switch(net, bus[6], bus[7], et="b", closed=True, z_ohm=0.05)
    lv = dict(sn_mva=0.63, vn_hv_kv=20, vn_lv_kv=0.4, vkr_percent=1.2, vk_percent=6, pfe_kw=1.3, i0_percent=0.3)
    pp.create_transformer_from_parameters(
        net, bus[2], bus[4], **lv, shift_degree=150, tap_side="lv", tap_neutral=2, tap_min=0, tap_max=5,
        tap_step_percent=2.5, tap_pos=4, tap_changer_type="Ratio")
    # No type: its position does nothing.
    pp.create_transformer_from_parameters(
        net, bus[3], bus[5], **lv, shift_degree=0, tap_side="hv", tap_neutral=0, tap_min=-2, tap_max=2,
        tap_step_percent=2.5, tap_pos=2, tap_changer_type=None)
    # A phase shifter, and a ratio with an angle.
    pp.create_transformer_from_parameters(
        net, bus[0], bus[8], sn_mva=40, vn_hv_kv=110, vn_lv_kv=112, vkr_percent=0.3, vk_percent=9, pfe_kw=20,
        i0_percent=0.05, shift_degree=0, tap_side="hv", tap_neutral=0, tap_min=-10, tap_max=10, tap_step_degree=1.1,
        tap_pos=4, tap_changer_type="Ideal")
    pp.create_transformer_from_parameters(
        net, bus[8], bus[9], **trafo, shift_degree=150, tap_side="hv", tap_neutral=0, tap_min=-9, tap_max=9,
        tap_step_percent=1.0, tap_step_degree=60, tap_pos=5, tap_changer_type="Ratio")
    pp.create_load(net, bus[9], 6.0, 2.0)
    pp.create_load(net, bus[2], 2.1, 0.6, scaling=0.8, const_z_p_percent=20, const_i_p_percent=30, const_z_q_percent=50)
    pp.create_load(net, bus[5], 0.2, 0.05)
    pp.create_load(net, bus[4], 0.1, 0.02, in_service=False)
    pp.create_sgen(net, bus[4], 0.15, -0.03, scaling=0.9)
    pp.create_storage(net, bus[7], 0.3, 1.0, q_mvar=0.1)
    pp.create_ward(net, bus[6], 0.4, 0.1, 0.2, 0.05)
    pp.create_shunt(net, bus[3], q_mvar=-0.4, p_mw=0.01, step=2)
    pp.create_gen(net, bus[3], 1.2, vm_pu=1.01)
    pp.create_impedance(net, bus[7], bus[6], 0.02, 0.05, 10.0, gf_pu=0.01, bf_pu=0.02)
    dead = pp.create_bus(net, 20, in_service=False, index=500)
    pp.create_load(net, dead, 1.0, 0.0)
    pp.create_line_from_parameters(net, bus[7], dead, 1.0, in_service=False, **line)
    return net


def measured():
    """A feeder with more measurements than unknowns, and pandapower's own estimate."""
    net = networks.create_cigre_network_mv()
    # Whoever takes nothing takes exactly nothing with us; pandapower knows no exact values.
    for bus in sorted(set(net.bus.index) - set(net.load.bus)):
        pp.create_load(net, bus, 0.05, 0.01)
    solve(net)
    shaken = iter(range(1, 10_000))

    def noise():
        return ((next(shaken) * 0.6180339887) % 1.0 - 0.5) * 2

    for bus in net.bus.index:
        pp.create_measurement(net, "v", "bus", net.res_bus.vm_pu[bus] + 1e-3 * noise(), 2e-3, bus)
        for kind, column in (("p", "p_mw"), ("q", "q_mvar")):
            pp.create_measurement(net, kind, "bus", net.res_bus[column][bus] + 1e-2 * noise(), 2e-2, bus)
    for line in list(net.line.index)[:5]:
        pp.create_measurement(net, "p", "line", net.res_line.p_from_mw[line] + 5e-3 * noise(), 1e-2, line, side="from")
        pp.create_measurement(net, "q", "line", net.res_line.q_from_mvar[line] + 5e-3 * noise(), 1e-2, line, side="from")
    est.estimate(net, init="flat", tolerance=1e-9, calculate_voltage_angles=True, maximum_iterations=50)
    return net


def main():
    warnings.simplefilter("ignore")
    write(multivoltage(), "multivoltage")
    write(solve(networks.create_cigre_network_lv()), "cigre_lv")
    write(solve(corners()), "corners")
    pi = corners()
    pp.set_user_pf_options(pi, trafo_model="pi")
    write(solve(pi), "corners_pi")
    write(measured(), "measured")


if __name__ == "__main__":
    main()
