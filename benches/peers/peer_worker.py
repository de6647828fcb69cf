#!/usr/bin/env python3
"""Times power-grid-model on one case, on request: started by estimator.py, which alternates it with ours.

    python benches/peers/peer_worker.py CASE_DIR [--symmetric] [--memory]

Reads one JSON request per line, {"what": "powerflow" | "estimate", "method": ...}, and answers each with one JSON
line: cold_ms (model construction and first solve), warm_ms (one scenario's values, solve), batch_ms_per_scenario,
CPU time of this process, medians; or {"error": sentence} when the peer fails. The measurement is that of
../shared/peers/estimation/bench_pgm.py; the case stays loaded between requests. Where only some scenarios fail, the
others count and `failed_scenarios` of `tried_scenarios` says how many; in the batch they count as solved.

With --memory each request is answered by memory_mb instead, by how much constructing and solving raised the
high-water mark of resident memory above what it was with the input loaded.
"""

import json
import pickle
import re
import resource
import statistics
import sys
import time
from pathlib import Path

import places  # noqa: F401  one thread, before numpy
from power_grid_model import PowerGridModel
from power_grid_model.errors import PowerGridError
from power_grid_model.utils import json_deserialize_from_file

TOLERANCE = 1e-8
ITERATIONS = 500
SECONDS_PER_PART = 6.0  # a part of a measurement repeats until it took this long, between 2 and 9 times
FAILURES = 5  # with more failing scenarios than this the method fails


def cpu_ms(action):
    """CPU time of one call, in milliseconds."""
    start = time.process_time()
    action()
    return (time.process_time() - start) * 1e3


def median_ms(action, failures_allowed=0):
    """Median CPU time of an action that gets the number of its call, and how many calls failed of how many."""
    times, failed = [], 0
    while len(times) < 2 or (len(times) < 9 and sum(times) < SECONDS_PER_PART * 1e3):
        try:
            times.append(cpu_ms(lambda: action(len(times) + failed)))
        except PowerGridError:
            failed += 1
            if failed > failures_allowed:
                raise
    return statistics.median(times), failed, failed + len(times)


def arrays(case, name):
    """The arrays of a JSON document of the case; a pickled copy beside it makes the next start quick."""
    source, copy = case / f"{name}.json", case / f"{name}.pickle"
    if not copy.exists() or copy.stat().st_mtime < source.stat().st_mtime:
        half = copy.with_suffix(".half")
        half.write_bytes(pickle.dumps(json_deserialize_from_file(source)))
        half.replace(copy)
    with copy.open("rb") as file:
        return pickle.load(file)


def resident_kb(field):
    """VmRSS or VmHWM of this process, in kB."""
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


class Peer:
    """power-grid-model with one case loaded."""

    def __init__(self, case, symmetric, memory):
        self.symmetric = symmetric
        self.input = arrays(case, "input")
        self.update = None if memory else arrays(case, "update")
        self.model = None

    def solve(self, request, **more):
        """One calculation with the model as it is; node voltages are all that is asked for."""
        what = request["what"]
        calculate = (
            self.model.calculate_power_flow if what == "powerflow" else self.model.calculate_state_estimation
        )
        return calculate(
            symmetric=self.symmetric,
            calculation_method=request["method"],
            error_tolerance=TOLERANCE,
            max_iterations=ITERATIONS,
            output_component_types={"node": ["u", "u_angle"]},
            **more,
        )

    def cold(self, request):
        """Builds the model and solves once."""
        self.model = PowerGridModel(self.input)
        self.solve(request)

    def batch_of(self, what):
        """The scenarios' loads for a power flow, their measurements for an estimate."""
        return {name: rows for name, rows in self.update.items() if ("load" in name) == (what == "powerflow")}

    def measure(self, request):
        """All times of one calculation and method."""
        batch = self.batch_of(request["what"])
        count = len(next(iter(batch.values())))
        cold_ms, _, _ = median_ms(lambda _: self.cold(request))

        def one_scenario(number):
            self.model.update(update_data={name: rows[number % count] for name, rows in batch.items()})
            self.solve(request)

        warm_ms, failed, tried = median_ms(one_scenario, FAILURES)
        some = min(count, max(2, int(SECONDS_PER_PART * 1e3 / warm_ms)))
        batch = {name: rows[:some] for name, rows in batch.items()}
        more = {"update_data": batch, "threading": -1, "continue_on_batch_error": True}
        batch_ms, _, _ = median_ms(lambda _: self.solve(request, **more))
        return {
            "cold_ms": cold_ms,
            "warm_ms": warm_ms,
            "batch_ms_per_scenario": batch_ms / some,
            "failed_scenarios": failed,
            "tried_scenarios": tried,
        }

    def memory(self, request):
        """How far one construction and solution go above the memory that the input takes."""
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again at what is resident
            before = resident_kb("VmRSS")
            self.cold(request)
            peak = resident_kb("VmHWM")
        except OSError:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            self.cold(request)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.model = None
        return {"memory_mb": (peak - before) / 1024}


def main():
    case, flags = Path(sys.argv[1]), sys.argv[2:]
    memory = "--memory" in flags
    peer = Peer(case, "--symmetric" in flags, memory)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = peer.memory(request) if memory else peer.measure(request)
        except PowerGridError as error:
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
