#!/usr/bin/env python3
"""Writes SimBench's LV, MV and MV/LV networks (scenario 0) and the European LV feeder as cases with sensors.

    python benches/peers/simbench_cases.py --list
    python benches/peers/simbench_cases.py [CODE ...] [--flows] [--seed 1] [--scenarios 5] [--no-verify]

CODE is a SimBench code, a part of one (rural3, MVLV-urban) or "european-lv"; without any, all of them. Each becomes
target/peers/cases/simbench/CODE[-flows] with input.json, update.json and truth.json; a folder that is there is left
alone unless --again. SimBench's networks are balanced, the European LV feeder has three phases.

What SimBench leaves open: the vector group, taken as YNd for transformers from 110 kV and Dyn below, with the clock
of its shift_degree; zero-sequence data, irrelevant to a balanced calculation; the short-circuit power of the grid,
taken as 10 GVA. Closed bus-bus switches become links, open switches at a line or transformer open that end. The
document is checked against pandapower's power flow from the same source voltage; the largest difference is printed
and must stay below 1e-6 p.u.
"""

import argparse
import json
import re
import sys
import warnings
from pathlib import Path

from places import CASES, REPOSITORY, use_environment

EUROPEAN_LV = "european-lv"
EUROPEAN_LV_FILE = REPOSITORY / "sim" / "networks" / "ieee_european_lv.json"
GRID_SK_VA, GRID_RX = 1e10, 0.1
LIMIT_PU = 1e-6
DELTA, WYE_N = 2, 1
CONST_POWER = 0
REFUSED = ("gen", "trafo3w", "storage", "shunt", "ward", "xward", "impedance", "dcline", "motor")


def codes():
    """Scenario-0 codes of the LV, MV and MVLV networks."""
    import simbench

    return [code for code in simbench.collect_all_simbench_codes() if re.match(r"1-(LV|MV|MVLV)-.*-0-(no_)?sw$", code)]


class Conversion:
    """One pandapower network as power-grid-model components, numbered kind after kind."""

    def __init__(self, net):
        self.net = net
        found = [name for name in REFUSED if len(net.get(name, []))]
        if found:
            sys.exit(f"peers: no conversion of {', '.join(found)}")
        self.next_id = 0
        self.node_id = {}
        self.opened = self.open_ends()
        self.data = {}
        for kind in ("node", "line", "link", "transformer", "source", "sym_load", "sym_gen"):
            rows = [{"id": self.take_id(), **row} for row in getattr(self, f"{kind}_rows")()]
            if rows:
                self.data[kind] = rows
            if kind == "node":
                self.node_id = {index: row["id"] for index, row in zip(self.net.bus.index, rows)}

    def take_id(self):
        """The next number."""
        self.next_id += 1
        return self.next_id - 1

    def open_ends(self):
        """(kind, element, bus) of every open switch at a line or transformer."""
        table = self.net.switch
        return {(row.et, row.element, row.bus) for row in table[~table.closed.astype(bool)].itertuples()}

    def ends(self, kind, index, start, end, in_service):
        """Nodes and statuses of a branch."""
        status = [int(bool(in_service) and (kind, index, bus) not in self.opened) for bus in (start, end)]
        nodes = {"from_node": self.node_id[start], "to_node": self.node_id[end]}
        return {**nodes, "from_status": status[0], "to_status": status[1]}

    def node_rows(self):
        """Buses."""
        for bus in self.net.bus.itertuples():
            yield {"u_rated": bus.vn_kv * 1e3}

    def line_rows(self):
        """Lines; parallel systems as one, zero sequence like the positive one."""
        for line in self.net.line.itertuples():
            ohm, many = line.length_km / line.parallel, line.length_km * line.parallel
            r, x, c = line.r_ohm_per_km * ohm, line.x_ohm_per_km * ohm, line.c_nf_per_km * many * 1e-9
            omega_c = 2 * 3.141592653589793 * self.net.f_hz * c
            tan = line.g_us_per_km * many * 1e-6 / omega_c if omega_c else 0.0
            yield {
                **self.ends("l", line.Index, line.from_bus, line.to_bus, line.in_service),
                **{"r1": r, "x1": x, "c1": c, "tan1": tan, "r0": r, "x0": x, "c0": c, "tan0": tan},
                "i_n": line.max_i_ka * 1e3 * line.df * line.parallel,
            }

    def link_rows(self):
        """Closed switches between two buses."""
        table = self.net.switch
        for switch in table[(table.et == "b") & table.closed.astype(bool)].itertuples():
            yield self.ends("b", switch.Index, switch.bus, switch.element, True)

    def transformer_rows(self):
        """Two-winding transformers with their tap positions."""
        for trafo in self.net.trafo.itertuples():
            clock = round(trafo.shift_degree / 30) % 12
            to_110_kv = trafo.vn_hv_kv >= 60
            windings = (WYE_N, DELTA) if to_110_kv else (DELTA, WYE_N)
            sn = trafo.sn_mva * 1e6 * trafo.parallel
            at_hv = trafo.tap_side != "lv"
            rated = (trafo.vn_hv_kv if at_hv else trafo.vn_lv_kv) * 1e3
            taps = [
                0 if value != value else int(value)
                for value in (trafo.tap_pos, trafo.tap_min, trafo.tap_max, trafo.tap_neutral)
            ]
            step = trafo.tap_step_percent
            yield {
                **self.ends("t", trafo.Index, trafo.hv_bus, trafo.lv_bus, trafo.in_service),
                "u1": trafo.vn_hv_kv * 1e3,
                "u2": trafo.vn_lv_kv * 1e3,
                "sn": sn,
                "uk": trafo.vk_percent / 100,
                "pk": trafo.vkr_percent / 100 * sn,
                "i0": trafo.i0_percent / 100,
                "p0": trafo.pfe_kw * 1e3 * trafo.parallel,
                "winding_from": windings[0],
                "winding_to": windings[1],
                "clock": clock,
                "tap_side": 0 if at_hv else 1,
                **dict(zip(("tap_pos", "tap_min", "tap_max", "tap_nom"), taps)),
                "tap_size": 0.0 if step != step else step / 100 * rated,
            }

    def source_rows(self):
        """The external grid."""
        for grid in self.net.ext_grid.itertuples():
            yield {
                "node": self.node_id[grid.bus],
                "status": int(grid.in_service),
                "u_ref": grid.vm_pu,
                "sk": GRID_SK_VA,
                "rx_ratio": GRID_RX,
            }

    def appliance_rows(self, table):
        """Loads or generators of constant power."""
        for row in table.itertuples():
            yield {
                "node": self.node_id[row.bus],
                "status": int(row.in_service),
                "type": CONST_POWER,
                "p_specified": row.p_mw * 1e6 * row.scaling,
                "q_specified": row.q_mvar * 1e6 * row.scaling,
            }

    def sym_load_rows(self):
        """Loads."""
        return self.appliance_rows(self.net.load)

    def sym_gen_rows(self):
        """Static generators."""
        return self.appliance_rows(self.net.sgen)


def deviation(net, node_id, truth):
    """Largest difference to pandapower's voltages, p.u., fed with the source voltage of the power flow `truth`."""
    import numpy as np
    import pandapower

    node = {int(row["id"]): row for row in truth["node"]}
    for index, grid in net.ext_grid.iterrows():
        at_source = node[node_id[grid.bus]]
        net.ext_grid.loc[index, ["vm_pu", "va_degree"]] = at_source["u_pu"], np.degrees(at_source["u_angle"])
    net.trafo["tap_changer_type"] = "Ratio"
    pandapower.runpp(
        net, trafo_model="pi", calculate_voltage_angles=True, tolerance_mva=1e-10, max_iteration=30, numba=False
    )
    worst = 0.0
    for index, row in net.res_bus.iterrows():
        mine = node[node_id[index]]
        if row.vm_pu == row.vm_pu and mine["energized"]:
            theirs = row.vm_pu * np.exp(1j * np.radians(row.va_degree))
            worst = max(worst, abs(theirs - mine["u_pu"] * np.exp(1j * mine["u_angle"])))
    return worst


def write_simbench(code, folder, options):
    """One SimBench network; the sentence about it."""
    import simbench

    from sensors import write_case

    net = simbench.get_simbench_net(code)
    conversion = Conversion(net)
    truth = write_case(folder, conversion.data, False, options.seed, options.flows, options.scenarios, net.f_hz)
    text = f"{len(conversion.data['node'])} nodes, {len(conversion.data.get('link', []))} links"
    if not options.verify:
        return text
    worst = deviation(net, conversion.node_id, truth)
    return f"{text}, pandapower within {worst:.1e} p.u.{'' if worst < LIMIT_PU else ' - NOT THE SAME NETWORK'}"


def write_european_lv(folder, options):
    """The European LV feeder, from the document of sim/networks that is checked where it is made."""
    from sensors import write_case

    data = json.loads(EUROPEAN_LV_FILE.read_text())["data"]
    data["node"] = [{"id": row["id"], "u_rated": row["u_rated"]} for row in data["node"]]
    write_case(folder, data, True, options.seed, options.flows, options.scenarios)
    return f"{len(data['node'])} nodes, three phases"


def main():
    use_environment("numpy", "power_grid_model", "simbench", "pandapower")
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codes", nargs="*", metavar="CODE")
    parser.add_argument("--list", action="store_true", help="print what there is")
    parser.add_argument("--flows", action="store_true", help="add sensors at the transformers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenarios", type=int, default=5)
    parser.add_argument("--again", action="store_true", help="write folders that are there already")
    parser.add_argument("--no-verify", dest="verify", action="store_false")
    options = parser.parse_args()
    known = [*codes(), EUROPEAN_LV]
    if options.list:
        print("\n".join(known))
        return
    wanted = [code for code in known if not options.codes or any(part in code for part in options.codes)]
    if not wanted:
        sys.exit(f"peers: nothing matches {' '.join(options.codes)}; --list prints what there is")
    different = False
    for code in wanted:
        name = f"{code}{'-flows' if options.flows else ''}{'' if options.seed == 1 else f'-seed{options.seed}'}"
        folder: Path = CASES / "simbench" / name
        if (folder / "truth.json").exists() and not options.again:
            print(f"{folder}: there already")
            continue
        text = write_european_lv(folder, options) if code == EUROPEAN_LV else write_simbench(code, folder, options)
        different |= "NOT THE SAME" in text
        print(f"{folder}: {text}", flush=True)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
