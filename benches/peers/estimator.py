#!/usr/bin/env python3
"""Power flow and state estimation, ours against power-grid-model: one table with ratios and goals.

    python benches/peers/estimator.py [--sizes 100,1000,10000,100000] [--rounds 3] [--binary target/release/gridflex]
                                      [--json] [--check] [--only powerflow|estimate] [--no-sameness] [--no-memory]

Three-phase synthetic networks of ../shared/peers/estimation (seed 1). Each round runs `gridflex bench` and every
exact method of the peer, one after the other, pinned to the same processor with one thread; CPU time, medians over
the rounds, tolerance 1e-8, node voltages as output. The peer's better method counts. The peer starts every
calculation flat and keeps nothing between estimates, so its one warm time stands against both of ours:
refactor_ms (flat start, everything recomputed but the structure) and warm_ms (new values on kept factors). A single
call of the peer carries some 0.1 ms of Python, which matters up to 1000 nodes; its batch does not, so the rows
"without Python" set its batch time per scenario against our single one, for orientation.

With --check the exit code is 1 when a goal is missed, a cell was not measured, or the results are not the same or
could not be compared (a size where Newton-Raphson of the peer fails is no fault of ours and passes).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from places import HERE, REPOSITORY, use_environment
from synthetic_cases import SIZES, case, sizes

METHODS = {"powerflow": ("iterative_current", "newton_raphson"), "estimate": ("iterative_linear", "newton_raphson")}
NOT_MEASURED = "-"


class Cell:
    """One line of the table: which of our times against which of the peer's, and the goal at each size."""

    def __init__(self, title, what, ours, peer, goals, share=False):
        self.title, self.what, self.ours, self.peer = title, what, ours, peer
        self.goals = dict(zip(SIZES, goals))
        self.share = share  # the goal is a share of the peer's time, not a multiple of ours

    def key(self):
        """The name in the JSON document."""
        return f"{self.what} {self.ours} against {self.peer}"

    def goal(self, nodes):
        """The goal at a size: that of the next larger size of the list."""
        return self.goals[next((size for size in SIZES if nodes <= size), SIZES[-1])]

    def judge(self, nodes, ours, peer):
        """Ratio (or share) and whether it meets the goal."""
        if ours is None or peer is None:
            return None, None
        value, goal = ours / peer if self.share else peer / ours, self.goal(nodes)
        return value, goal is None or (value <= goal if self.share else value >= goal)

    def show(self, value):
        """The ratio as text."""
        return f"{value:.2%}" if self.share else f"{value:.1f}x"

    def mark(self, met):
        """What stands behind the ratio."""
        return "  " if self.goals[SIZES[0]] is None else "ok" if met else "SHORT"

    def show_goal(self):
        """The goals as text, once when they are the same everywhere."""
        values = list(self.goals.values())
        if values[0] is None:
            return "none"
        if len(set(values)) == 1:
            values = values[:1]
        sign = "<=" if self.share else ">="
        return f"{sign} " + "/".join(f"{value:.0%}" if self.share else f"{value:g}x" for value in values)


NO_GOAL = (None, None, None, None)
CELLS = (
    Cell("power flow, flat start", "powerflow", "refactor_ms", "warm_ms", (15, 15, 15, 10)),
    Cell("  the same, peer without Python", "powerflow", "refactor_ms", "batch_ms_per_scenario", NO_GOAL),
    Cell("power flow, batch", "powerflow", "batch_ms_per_scenario", "batch_ms_per_scenario", (60, 60, 60, 30)),
    Cell("estimate, flat start", "estimate", "refactor_ms", "warm_ms", (10, 10, 10, 10)),
    Cell("  the same, peer without Python", "estimate", "refactor_ms", "batch_ms_per_scenario", NO_GOAL),
    Cell("estimate, kept factors", "estimate", "warm_ms", "warm_ms", (80, 80, 80, 80)),
    Cell("estimate, batch", "estimate", "batch_ms_per_scenario", "batch_ms_per_scenario", (250, 250, 250, 250)),
    Cell("all standard deviations", "estimate", "uncertainty_ms", "warm_ms", (0.05, 0.05, 0.05, 0.05), share=True),
)
MORE_OF_OURS = (
    "cold_ms", "incremental_us_p50", "incremental_us_p99", "iterations",
    "estimate_ms", "change_and_read_us_p50", "change_and_read_us_p99",
)  # fmt: skip


def say(text):
    """Progress goes to standard error."""
    print(f"peers: {text}", file=sys.stderr, flush=True)


class Peer:
    """The peer's process with one case loaded, pinned."""

    def __init__(self, folder, cpu, *flags):
        command = ["taskset", "-c", str(cpu), sys.executable, str(HERE / "peer_worker.py"), str(folder), *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        """The next line of the process."""
        line = self.process.stdout.readline()
        if not line:
            sys.exit("peers: the peer's process ended; its own message is above")
        return json.loads(line)

    def ask(self, what, method):
        """One measurement."""
        self.process.stdin.write(json.dumps({"what": what, "method": method}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        """Lets the process end."""
        self.process.stdin.close()
        self.process.wait()


def ours(binary, what, folder, cpu, *flags, **variables):
    """What `gridflex bench` prints, or {"error": sentence}."""
    command = ["taskset", "-c", str(cpu), str(binary), "bench", what, str(folder), "--asymmetric", "--json", *flags]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    return json.loads(done.stdout)


def medians(rounds):
    """Per key the median over rounds; the first error when a round failed."""
    for answer in rounds:
        if "error" in answer:
            return answer
    keys = [key for key, value in rounds[0].items() if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return {key: statistics.median(answer[key] for answer in rounds) for key in keys}


def measure(nodes, options):
    """All times of one size."""
    folder = case(nodes)
    result = {"nodes": nodes, "ours": {}, "peer": {}}
    peer = Peer(folder, options.cpu)
    for what in options.only or METHODS:
        mine, theirs = [], {method: [] for method in METHODS[what]}
        for number in range(options.rounds):
            say(f"{nodes} nodes, {what}, round {number + 1} of {options.rounds}")
            mine.append(ours(options.binary, what, folder, options.cpu))
            for method, answers in theirs.items():
                # what failed once on the same numbers fails again
                answers.append(answers[0] if answers and "error" in answers[0] else peer.ask(what, method))
        result["ours"][what] = medians(mine)
        result["peer"][what] = {method: medians(answers) for method, answers in theirs.items()}
    peer.close()
    if "estimate" in result["ours"]:
        say(f"{nodes} nodes, the estimator of a region")
        result["ours"]["service"] = medians([ours(options.binary, "service", folder, options.cpu)])
    if options.memory and nodes == max(options.sizes):
        result["peer_memory_mb"] = peer_memory(folder, options)
        result["memory_mb"] = our_memory(folder, options)
    if options.sameness and "estimate" in (options.only or METHODS):
        result["sameness"] = same(folder, options)
    return result


def our_memory(folder, options):
    """What each calculation of ours adds to the memory of its input.

    What reading the case no longer needs goes back to the system at once: otherwise the model takes its place and
    nothing is added.
    """
    memory = {}
    for what in options.only or METHODS:
        say(f"memory of our {what}")
        answer = ours(options.binary, what, folder, options.cpu, "--repeat", "1", MIMALLOC_PURGE_DELAY="0")
        memory[what] = answer.get("peak_mb")
    return memory


def peer_memory(folder, options):
    """What each method of the peer adds to the memory of its input, each in a process of its own."""
    memory = {}
    for what in options.only or METHODS:
        memory[what] = {}
        for method in METHODS[what]:
            say(f"memory of {what}, {method}")
            peer = Peer(folder, options.cpu, "--memory")
            memory[what][method] = peer.ask(what, method)
            peer.close()
    return memory


def same(folder, options):
    """The comparison of results, or why there is none."""
    from sameness import compare, our_estimate

    say(f"{folder.name}: comparing results")
    try:
        return compare(folder, our_estimate(options.binary, folder, symmetric=False, cpu=options.cpu), symmetric=False)
    except (RuntimeError, OSError, KeyError, ValueError) as error:
        return {"case": folder.name, "same": None, "error": str(error) or type(error).__name__}


def best(methods, key):
    """The peer's least time over its methods, with the method; None when all fail."""
    times = [(answer[key], method) for method, answer in methods.items() if key in answer]
    return min(times) if times else (None, None)


def judged(results, only):
    """The cells of the table, measured and judged."""
    for cell in CELLS:
        if only and cell.what not in only:
            continue
        for result in results:
            mine = result["ours"][cell.what].get(cell.ours)
            theirs, method = best(result["peer"][cell.what], cell.peer)
            value, met = cell.judge(result["nodes"], mine, theirs)
            yield {
                "cell": cell.key(), "nodes": result["nodes"], "ours_ms": mine, "peer_ms": theirs, "method": method,
                "value": value, "goal": cell.goal(result["nodes"]), "met": met,
            }  # fmt: skip


def three(value):
    """Three significant digits without an exponent."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value >= 0.001 else f"{value:.5f}"


def print_grid(rows):
    """Rows of text in columns, the first left, the others right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        first, rest = row[0].ljust(widths[0]), [text.rjust(width) for text, width in zip(row[1:], widths[1:])]
        print("  ".join([first, *rest]).rstrip())


def print_tables(results, cells):
    """The ratios with goals, the times behind them, memory and sameness."""
    nodes = [result["nodes"] for result in results]
    by_key = {}
    for entry in cells:
        by_key.setdefault(entry["cell"], []).append(entry)
    shown = [cell for cell in CELLS if cell.key() in by_key]
    print("ratios, the peer's CPU time over ours (deviations: ours as a share of the peer's estimate)")
    grid = [["", "goal", *map(str, nodes)]]
    for cell in shown:
        texts = [
            NOT_MEASURED if entry["met"] is None else f"{cell.show(entry['value'])} {cell.mark(entry['met'])}"
            for entry in by_key[cell.key()]
        ]
        grid.append([cell.title, cell.show_goal(), *texts])
    print_grid(grid)

    print("\nms, ours / the peer's better method")
    grid = [["", *map(str, nodes)]]
    for cell in shown:
        pairs = [f"{three(entry['ours_ms'])} / {three(entry['peer_ms'])}" for entry in by_key[cell.key()]]
        grid.append([cell.title, *pairs])
    print_grid(grid)

    print("\nevery method of the peer, warm ms (batch ms per scenario)")
    grid = [["", *map(str, nodes)]]
    for what, methods in results[0]["peer"].items():
        for method in methods:
            answers = [result["peer"][what][method] for result in results]
            texts = [
                "fails" if "error" in a else f"{three(a['warm_ms'])} ({three(a['batch_ms_per_scenario'])})"
                for a in answers
            ]
            grid.append([f"{what} {method}", *texts])
    print_grid(grid)

    print("\nmore of ours")
    grid = [["", *map(str, nodes)]]
    for what in results[0]["ours"]:
        for key in MORE_OF_OURS:
            values = [result["ours"][what].get(key) for result in results]
            if any(value is not None for value in values):
                grid.append([f"{what} {key}", *map(three, values)])
    print_grid(grid)
    print_notes(results)


def print_notes(results):
    """Memory, failures and sameness, a line each."""
    print()
    for result in results:
        for what, methods in result.get("peer_memory_mb", {}).items():
            peers = ", ".join(f"{m} {three(a.get('memory_mb'))}" for m, a in methods.items())
            mine = three(result["memory_mb"].get(what))
            print(f"memory at {result['nodes']} nodes, {what}, above the input: ours {mine} MB, the peer's {peers} MB")
    for result in results:
        for what, answer in result["ours"].items():
            if "error" in answer:
                print(f"{result['nodes']} nodes: gridflex bench {what} failed: {answer['error']}")
        for what, methods in result["peer"].items():
            for method, answer in methods.items():
                if "error" in answer:
                    print(f"{result['nodes']} nodes: the peer's {what} {method} fails: {answer['error']}")
                elif answer["failed_scenarios"]:
                    shares = f"{answer['failed_scenarios']:g} of {answer['tried_scenarios']:g} scenarios"
                    print(f"{result['nodes']} nodes: the peer's {what} {method} fails on {shares}")
        if "sameness" in result:
            from sameness import sentence

            print(sentence(result["sameness"]))


def main():
    use_environment("numpy", "scipy", "power_grid_model")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=sizes, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target" / "release" / "gridflex")
    parser.add_argument("--cpu", type=int, default=0, help="the processor that everything is pinned to")
    parser.add_argument("--only", action="append", choices=list(METHODS))
    parser.add_argument("--no-memory", dest="memory", action="store_false")
    parser.add_argument("--no-sameness", dest="sameness", action="store_false")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit 1 unless every goal is met")
    options = parser.parse_args()
    if not options.binary.exists():
        sys.exit(f"peers: no {options.binary}: cargo build --release first, or name it with --binary")
    results = [measure(nodes, options) for nodes in options.sizes]
    cells = list(judged(results, options.only))
    if options.json:
        from importlib.metadata import version

        print(json.dumps({"peer": version("power-grid-model"), "cells": cells, "results": results}, indent=2))
    else:
        print_tables(results, cells)
    compared = [result["sameness"] for result in results if "sameness" in result]
    doubtful = any(entry["same"] is False or "error" in entry for entry in compared)
    if options.check and (doubtful or not all(cell["met"] for cell in cells)):
        sys.exit(1)


if __name__ == "__main__":
    main()
