#!/usr/bin/env python3
"""The HTTP interface under schemathesis: requests made from its own OpenAPI document, right and wrong ones.

    python benches/peers/http_api.py [--examples 200] [--binary target/release/gridflex] [--seed 1]

Starts a demo with accounts, asks it with a token that may do everything, and checks every answer: no server error, no
undocumented status, body or header, wrong data refused, and what needs a right refused without one. Endless streams are
left out (the tests of the server have it). Prints how many requests there were; exit 1 when anything was found.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from places import HERE, PEERS, REPOSITORY, use_environment

STARTS_WITHIN_S = 60
# All that may be had together.
ROLES = ("operator", "engineer", "auditor", "aggregator", "prosumer", "market-operator", "viewer")


def token(binary, folder):
    """The accounts' file and a token with every right that is not an administrator's."""
    file = folder / "access.json"
    roles = [word for role in ROLES for word in ("--role", role)]
    made = subprocess.run(
        [binary, "access", "token", "schemathesis", *roles, "--prosumer", "3", "--file", file],
        capture_output=True, text=True, check=True,
    )
    return file, made.stdout.strip()


def started(demo):
    """The address of the page, once there is an estimate."""
    for line in demo.stdout:
        if address := re.search(r"page\s+(http://\S+)", line):
            url = address.group(1)
            until = time.monotonic() + STARTS_WITHIN_S
            while time.monotonic() < until:
                try:
                    urllib.request.urlopen(f"{url}/readyz", timeout=5)
                    return url
                except OSError:
                    time.sleep(0.5)
            sys.exit("peers: no estimate within a minute")
    sys.exit("peers: the demo ended before it was there")


def still_answers(url, secret):
    """Whether the demo knows the token after all that."""
    request = urllib.request.Request(f"{url}/api/v1/session", headers={"authorization": f"Bearer {secret}"})
    return urllib.request.urlopen(request, timeout=5).status == 200


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=200, help="requests of a kind per endpoint (200)")
    parser.add_argument("--binary", default=REPOSITORY / "target" / "release" / "gridflex", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    use_environment("schemathesis")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        accounts, secret = token(options.binary, folder)
        demo = subprocess.Popen(
            [options.binary, "demo", "--speed", "1", "--port", "0", "--mqtt-port", "0", "--access", accounts,
             "--data", folder / "data"],
            stdout=subprocess.PIPE, stderr=open(folder / "log", "w"), text=True,
        )
        try:
            url = started(demo)
            report = folder / "report.json"
            command = [
                PEERS / "venv" / "bin" / "st", "--config-file", HERE / "http_api.toml", "run",
                f"{url}/api/v1/openapi.json", "--url", url,
                "--exclude-path", "/api/v1/stream", "--exclude-path", "/api/v1/history/{kind}/stream",
                "--checks", "all", "--max-examples", str(options.examples), "--workers", "1",
                "--seed", str(options.seed), "--continue-on-failure", "--request-timeout", "20",
                "--report", "json", "--report-json-path", report, "--no-color",
            ]
            environment = {**os.environ, "PYTHONUTF8": "1", "GRIDFLEX_TOKEN": secret}
            found = subprocess.run([str(word) for word in command], env=environment, cwd=folder)
            alive = demo.poll() is None and still_answers(url, secret)
        finally:
            demo.terminate()
            demo.wait(30)
        audit = [options.binary, "access", "audit", folder / "data" / "audit.jsonl"]
        checked = subprocess.run(audit, text=True, capture_output=True)
        panics = (folder / "log").read_text().count("panicked")
        state = "still answers" if alive else "DIED"
        print(f"peers: the demo {state}; panics {panics}; audit log: {checked.stdout.strip() or checked.stderr.strip()}")
        sys.exit(0 if found.returncode == 0 and alive and panics == 0 and checked.returncode == 0 else 1)


if __name__ == "__main__":
    main()
