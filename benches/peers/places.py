"""Where the peer benchmarks find and keep things, and the environment they run in."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PEERS = Path(os.environ.get("GRIDFLEX_PEERS_DIR", REPOSITORY / "target" / "peers")).resolve()
CASES = PEERS / "cases"
SHARED_TOOLS = REPOSITORY.parent / "shared" / "peers" / "estimation"

# One thread for every numerical library, before any of them is loaded.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def use_environment(*packages):
    """Continues in the Python of setup.sh when this one lacks a package; ends with a sentence when there is none."""
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if not missing:
        return
    python = PEERS / "venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != (PEERS / "venv").resolve():
        os.execv(python, [str(python), *sys.argv])
    sys.exit(f"peers: {', '.join(missing)} not installed: run benches/peers/setup.sh first")


def shared_tool(name):
    """The path of a script of ../shared/peers/estimation; its absence ends the program, loudly."""
    path = SHARED_TOOLS / name
    if not path.exists():
        sys.exit(
            f"peers: MISSING {path}\n"
            "peers: the case generator lives beside the repository, in ../shared; without it there are no cases and\n"
            "peers: nothing was measured. Check out the shared directory next to this repository."
        )
    return path
