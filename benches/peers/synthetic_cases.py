#!/usr/bin/env python3
"""Makes the synthetic cases of the estimator benchmark, once: target/peers/cases/asym-N[-flows].

    python benches/peers/synthetic_cases.py [--sizes 100,1000,10000,100000] [--seed 1] [--flows] [--symmetric]

Each folder gets input.json, update.json (20 scenarios) and truth.json; see ../shared/peers/estimation/README.md.
"""

import argparse
import os
import subprocess
import sys

from places import CASES, shared_tool, use_environment

SIZES = (100, 1000, 10_000, 100_000)
FILES = ("input.json", "update.json", "truth.json")


def sizes(text):
    """Parses --sizes."""
    return [int(part) for part in text.replace("_", "").split(",")]


def case(nodes, seed=1, flows=False, symmetric=False):
    """The folder of one case; generated when it is not complete."""
    name = f"{'sym' if symmetric else 'asym'}-{nodes}{'-flows' if flows else ''}{'' if seed == 1 else f'-seed{seed}'}"
    folder = CASES / name
    if all((folder / file).exists() for file in FILES):
        return folder
    print(f"peers: generating {folder}", file=sys.stderr)
    command = [sys.executable, str(shared_tool("cases.py")), str(nodes), str(seed), str(folder)]
    command += ["--flows"] * flows + ["--symmetric"] * symmetric
    # truth.json is written last, so a folder left half made is made again
    subprocess.run(command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return folder


def main():
    use_environment("numpy", "power_grid_model")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=sizes, default=list(SIZES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flows", action="store_true", help="add sensors at half of the transformers")
    parser.add_argument("--symmetric", action="store_true")
    options = parser.parse_args()
    for nodes in options.sizes:
        print(case(nodes, options.seed, options.flows, options.symmetric))


if __name__ == "__main__":
    main()
