#!/usr/bin/env python3
"""Fetches power-grid-model's own validation cases: target/peers/pgm-tests/tests/data.

    python benches/peers/validation_cases.py

They are part of its source distribution (MPL-2.0) on the package index and nowhere in its wheels. Nothing is
fetched when they are there already. Prints the folder.
"""

import subprocess
import sys
import tarfile

from places import HERE, PEERS, use_environment

FOLDER = PEERS / "pgm-tests"
DATA = FOLDER / "tests" / "data"


def pinned_version():
    """The version that requirements.txt names."""
    for line in (HERE / "requirements.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        if name == "power-grid-model":
            return version
    sys.exit("peers: requirements.txt does not name power-grid-model")


def download(version):
    """The source distribution's path; pip gets it when it is not there."""
    archive = FOLDER / f"power_grid_model-{version}.tar.gz"
    if not archive.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
        pip += ["--dest", str(FOLDER), "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
        if subprocess.run([*pip, f"power-grid-model=={version}"]).returncode != 0:
            sys.exit(f"peers: pip could not download the source distribution of power-grid-model {version}")
    return archive


def unpack(archive):
    """Unpacks tests/data and the licences, without the archive's leading folder."""
    with tarfile.open(archive) as tar:
        wanted = []
        for member in tar.getmembers():
            _, _, member.name = member.name.partition("/")
            if member.name.startswith(("tests/data/", "LICENSE")):
                wanted.append(member)
        tar.extractall(FOLDER, members=wanted, filter="data")


def main():
    use_environment("power_grid_model")
    version = pinned_version()
    stamp = FOLDER / f"unpacked-{version}"
    if not stamp.exists():
        unpack(download(version))
        stamp.touch()
    cases = sum(1 for _ in DATA.rglob("params.json"))
    print(f"{DATA}: {cases} cases")


if __name__ == "__main__":
    main()
