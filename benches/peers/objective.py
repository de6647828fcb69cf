"""The weighted least squares objective of a document's sensors at given node voltages, from the network alone.

A sum of ((measured - calculated) / sigma)^2 over voltage magnitudes, powers of branches, and net injections of the
nodes whose loads, generators and sources are all measured (their sum is what node voltages can be held against; it is
the least that their separate residuals can contribute). Nodes without any are constraints and are reported apart.
Nodes that links join count as one. Sigmas as power-grid-model takes them: power_sigma / sqrt(2) for P and for Q, per
phase of an asymmetric sensor, a third of it per phase of a symmetric one; u_sigma per phase-to-earth voltage of an
asymmetric sensor.

Without any measured angle the angles hang on nothing, and Newton-Raphson of power-grid-model measures them at the
source's node as 0, -120 and 120 degrees with the sigma of the voltage there. Their differences are then real
measurements of the unbalance there, and a term of the objective that it minimises: `angle_reference`. It is taken
at its best common angle, since nothing else depends on that one (the peer reports phase a at exactly 0).
"""

import numpy as np

from network_model import column

APPLIANCES = ("source", "sym_load", "asym_load", "sym_gen", "asym_gen")
INTO_NETWORK = {"source": 1, "sym_load": -1, "asym_load": -1, "sym_gen": 1, "asym_gen": 1}
TERMINALS = {0: "branch_from", 1: "branch_to", 2: "source", 3: "shunt", 4: "load", 5: "generator", 9: "node"}
BALANCED = np.array([0, -2, 2]) * np.pi / 3


def per_phase(rows, name, phases):
    """An attribute as (rows, phases): three values as they are, one value spread, three averaged for one phase."""
    values = np.array([np.broadcast_to(np.nan if row.get(name) is None else row[name], 3) for row in rows], float)
    values = values.reshape(-1, 3)
    return values if phases == 3 else values.mean(1, keepdims=True)


class Objective:
    """The sensors of one network; `at` evaluates them at voltages."""

    def __init__(self, network):
        self.network, self.phases = network, network.phases
        data = network.data
        self.appliance_node = {
            row["id"]: (network.place[row["node"]], INTO_NETWORK[kind])
            for kind in APPLIANCES
            for row in data.get(kind, [])
            if row.get("status", 1)
        }
        self.read_voltages(data)
        self.read_powers(data)

    def read_voltages(self, data):
        """Voltage magnitudes, per unit; a sensor with angles is refused."""
        where, measured, sigma = [], [], []
        for kind, scale in (("sym_voltage_sensor", 1.0), ("asym_voltage_sensor", np.sqrt(3))):
            rows = data.get(kind, [])
            if not rows:
                continue
            if np.isfinite(per_phase(rows, "u_angle_measured", 3)).any():
                raise ValueError("the independent check does not know voltage sensors with angles")
            nodes = np.array([self.network.place[row["measured_object"]] for row in rows])
            rated = self.network.u_rated[nodes][:, None] / scale
            where.append(nodes)
            measured.append(per_phase(rows, "u_measured", self.phases) / rated)
            sigma.append(np.broadcast_to(column(rows, "u_sigma")[:, None] / rated, measured[-1].shape))
        self.v_node, self.v_measured = np.concatenate(where), np.concatenate(measured)
        self.v_sigma = np.concatenate(sigma)

    def power_readings(self, data):
        """All power sensors: (terminal, object, complex value, variances of P and Q), SI per phase or total."""
        for kind in ("sym_power_sensor", "asym_power_sensor"):
            rows = data.get(kind, [])
            if not rows:
                continue
            p, q = (per_phase(rows, name, self.phases) for name in ("p_measured", "q_measured"))
            sigma = column(rows, "power_sigma")[:, None] / np.sqrt(2) * np.ones_like(p)
            sigma_p, sigma_q = (per_phase(rows, name, self.phases) for name in ("p_sigma", "q_sigma"))
            own = np.isfinite(sigma_p) & np.isfinite(sigma_q)
            sigma_p, sigma_q = np.where(own, sigma_p, sigma), np.where(own, sigma_q, sigma)
            # values are W per phase of an asymmetric sensor and in total of a symmetric one
            scale = {("sym", 3): 1 / 3, ("asym", 1): 3.0}.get((kind.split("_")[0], self.phases), 1.0)
            for index, row in enumerate(rows):
                yield (
                    TERMINALS.get(row["measured_terminal_type"], "other"),
                    row["measured_object"],
                    (p[index] + 1j * q[index]) * scale,
                    np.stack([sigma_p[index], sigma_q[index]]) ** 2 * scale**2,
                )

    def read_powers(self, data):
        """Sorts power readings into branch flows and node injections."""
        flows, appliances = [], {}
        for terminal, measured_object, value, variance in self.power_readings(data):
            if terminal in ("branch_from", "branch_to"):
                flows.append((terminal == "branch_to", self.network.branch_place[measured_object], value, variance))
            elif terminal in ("source", "load", "generator"):
                appliances.setdefault(measured_object, []).append((value, variance))
            else:
                raise ValueError(f"the independent check does not know power sensors at a {terminal}")
        self.flows = flows
        count = len(self.network.node_ids)
        self.injected = np.zeros((count, self.phases), complex)
        self.variance = np.zeros((count, 2, self.phases))
        self.appliances, self.unmeasured = np.zeros(count, int), np.zeros(count, int)
        for appliance, (node, sign) in self.appliance_node.items():
            self.appliances[node] += 1
            if appliance not in appliances:
                self.unmeasured[node] += 1
                continue
            if len(appliances[appliance]) > 1:
                raise ValueError("the independent check does not know two sensors on one appliance")
            ((value, variance),) = appliances[appliance]
            self.injected[node] += sign * value
            self.variance[node] += variance
        self.injected, self.variance, self.appliances, self.unmeasured = (
            self.network.summed(values) for values in (self.injected, self.variance, self.appliances, self.unmeasured)
        )

    def reference(self, u):
        """The term that holds the source node's angles apart, or 0 where its voltage is not measured."""
        source = next((row for row in self.network.data["source"] if row.get("status", 1)), None)
        (there,) = np.nonzero(self.v_node == self.network.place[source["node"]])
        if len(there) == 0:
            return 0.0
        want = BALANCED[: self.phases]
        turned = np.angle(u[self.v_node[there[0]]] * np.exp(-1j * want))
        return float((((turned - turned.mean()) / self.v_sigma[there[0]]) ** 2).sum())

    def at(self, u):
        """The terms of the objective at voltages (nodes, phases), and how far constraints are violated."""
        voltage = (((np.abs(u[self.v_node]) - self.v_measured) / self.v_sigma) ** 2).sum()
        into = self.network.injections_va(u)
        known = (self.appliances > 0) & (self.unmeasured == 0)
        residual = self.injected[known] - into[known]
        injection = (np.stack([residual.real, residual.imag], 1) ** 2 / self.variance[known]).sum()
        flow = 0.0
        if self.flows:
            end, branch, value, variance = (np.array(part) for part in zip(*self.flows))
            residual = value - self.network.flows_va(u)[end.astype(int), branch]
            flow = (np.stack([residual.real, residual.imag], 1) ** 2 / variance).sum()
        free = self.appliances == 0
        reference = self.reference(u)
        return {
            "objective": float(voltage + injection + flow + reference),
            "voltage": float(voltage),
            "injection": float(injection),
            "flow": float(flow),
            "angle_reference": reference,
            "zero_injection_va": float(np.abs(into[free]).max(initial=0.0)),
        }
