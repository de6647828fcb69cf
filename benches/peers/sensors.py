"""A seeded set of sensors for a network of power-grid-model JSON, and a batch of new loads and readings.

Voltages at 5 % of the energised nodes and at the source (0.5 % of the rated voltage), powers of every load and
generator: 20 % metered to 1 %, the others pseudo-measurements of 30 % of their own apparent power; with flows also
the from side of every transformer to 1 %. Readings are drawn with exactly the deviations that power-grid-model
reads from the sigmas (power_sigma / sqrt(2) for P and Q; per phase in an asymmetric sensor), so the case can
calibrate an estimate's uncertainty against truth.json. The true state is a power flow of the same document.
"""

import json

import numpy as np

VOLTAGE_SHARE, METERED_SHARE = 0.05, 0.20
VOLTAGE_SIGMA, METER_SIGMA, PSEUDO_SIGMA, FLOW_SIGMA = 0.005, 0.01, 0.30, 0.01
LEAST_POWER_SIGMA = 5.0  # VA, in total
TERMINAL = {"branch_from": 0, "load": 4, "gen": 5}
LOAD_SPREAD = 0.05  # scenarios move each load and generator by up to this share


def document(kind, data, batch=False):
    """A power-grid-model JSON document."""
    return {"version": "1.0", "type": kind, "is_batch": batch, "attributes": {}, "data": data}


def write(path, content):
    """Writes JSON without spaces."""
    path.write_text(json.dumps(content, separators=(",", ":")))


class Plan:
    """Which objects of a network are measured and how well; the same for every scenario."""

    def __init__(self, data, truth, asymmetric, flows, rng):
        self.data, self.asymmetric = data, asymmetric
        self.kind = "asym" if asymmetric else "sym"
        rated = {row["id"]: row["u_rated"] for row in data["node"]}
        first = 1 + max(row["id"] for rows in data.values() for row in rows)
        sources = [row["node"] for row in data["source"]]
        energised = [int(node) for node, on in zip(truth["node"]["id"], truth["node"]["energized"]) if on]
        others = [node for node in energised if node not in sources]
        count = max(0, round(VOLTAGE_SHARE * len(energised)) - len(sources))
        metered = sorted([*sources, *(int(node) for node in rng.choice(others, count, replace=False))])
        scale = VOLTAGE_SIGMA / (np.sqrt(3) if asymmetric else 1)
        self.voltages = [
            {"id": first + place, "measured_object": node, "u_sigma": rated[node] * scale}
            for place, node in enumerate(metered)
        ]
        self.powers = self.plan_powers(truth, flows, rng, first + len(metered))

    def appliances(self):
        """Component names of loads and generators that the network has."""
        return [name for name in (f"{self.kind}_load", f"{self.kind}_gen") if self.data.get(name)]

    def plan_powers(self, truth, flows, rng, first):
        """Power sensors without readings."""
        planned = []
        for name in self.appliances():
            for row in self.data[name]:
                relative = METER_SIGMA if rng.random() < METERED_SHARE else PSEUDO_SIGMA
                total = abs(np.sum(row["p_specified"]) + 1j * np.sum(row["q_specified"]))
                planned.append((row["id"], TERMINAL[name.split("_")[1]], relative * total))
        if flows and "transformer" in truth:
            for row in truth["transformer"]:
                total = abs(np.sum(row["p_from"]) + 1j * np.sum(row["q_from"]))
                planned.append((int(row["id"]), TERMINAL["branch_from"], FLOW_SIGMA * total))
        spread = np.sqrt(3) if self.asymmetric else 1.0  # a third of the variance falls on each phase
        return [
            {
                "id": first + place,
                "measured_object": measured,
                "measured_terminal_type": terminal,
                "power_sigma": float(max(sigma, LEAST_POWER_SIGMA) / spread),
            }
            for place, (measured, terminal, sigma) in enumerate(planned)
        ]

    def read(self, data, truth, rng):
        """Readings of every sensor: two lists of {id, value, ...} in the order of the plan."""
        nodes = {int(row["id"]): row for row in truth["node"]}
        powers = {
            row["id"]: (row["p_specified"], row["q_specified"]) for name in self.appliances() for row in data[name]
        }
        powers |= {int(row["id"]): (row["p_from"], row["q_from"]) for row in truth.get("transformer", [])}

        def noisy(value, sigma):
            value = np.asarray(value, float)
            return (value + rng.normal(size=value.shape) * sigma).tolist()

        voltages = [
            {"id": row["id"], "u_measured": noisy(nodes[row["measured_object"]]["u"], row["u_sigma"])}
            for row in self.voltages
        ]
        readings = []
        for row in self.powers:
            p, q = powers[row["measured_object"]]
            sigma = row["power_sigma"] / np.sqrt(2)
            readings.append({"id": row["id"], "p_measured": noisy(p, sigma), "q_measured": noisy(q, sigma)})
        return {f"{self.kind}_voltage_sensor": voltages, f"{self.kind}_power_sensor": readings}

    def input(self, readings):
        """Sensor components: plan and readings together."""
        planned = {f"{self.kind}_voltage_sensor": self.voltages, f"{self.kind}_power_sensor": self.powers}
        return {name: [{**a, **b} for a, b in zip(rows, readings[name])] for name, rows in planned.items()}


def power_flow(data, asymmetric, frequency_hz):
    """The true state: all results of power-grid-model at the tightest tolerance it reaches."""
    from power_grid_model import PowerGridModel
    from power_grid_model.errors import IterationDiverge
    from power_grid_model.utils import json_deserialize

    model = PowerGridModel(json_deserialize(json.dumps(document("input", data))), system_frequency=frequency_hz)
    for tolerance in (1e-12, 1e-10):
        try:
            return model.calculate_power_flow(
                symmetric=not asymmetric, error_tolerance=tolerance, calculation_method="newton_raphson"
            )
        except IterationDiverge:
            continue
    return model.calculate_power_flow(symmetric=not asymmetric, error_tolerance=1e-8)


def moved(data, plan, rng):
    """The network with every load and generator moved a little, and the update that says so."""
    update = {}
    network = dict(data)
    for name in plan.appliances():
        rows = []
        for row in data[name]:
            factor = rng.uniform(1 - LOAD_SPREAD, 1 + LOAD_SPREAD)
            p, q = ((np.asarray(row[key]) * factor).tolist() for key in ("p_specified", "q_specified"))
            rows.append({"id": row["id"], "p_specified": p, "q_specified": q})
        update[name] = rows
        network[name] = [{**old, **new} for old, new in zip(data[name], rows)]
    return network, update


def write_case(folder, data, asymmetric, seed, flows=False, scenarios=5, frequency_hz=50.0):
    """Writes input.json, update.json and truth.json; returns the power flow's result."""
    rng = np.random.default_rng(seed)
    truth = power_flow(data, asymmetric, frequency_hz)
    plan = Plan(data, truth, asymmetric, flows, rng)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "input.json", document("input", {**data, **plan.input(plan.read(data, truth, rng))}))
    updates = []
    for _ in range(scenarios):
        network, update = moved(data, plan, rng)
        readings = plan.read(network, power_flow(network, asymmetric, frequency_hz), rng)
        updates.append({**update, **readings})
    write(folder / "update.json", document("update", updates, batch=True))
    node = truth["node"]
    write(folder / "truth.json", {"u": node["u"].tolist(), "angle": node["u_angle"].tolist()})
    return truth
