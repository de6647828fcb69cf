#!/usr/bin/env python3
"""The HTTP interface under schemathesis: requests made from its own OpenAPI document, right and wrong ones.

    python benches/peers/http_api.py [--examples 200] [--processes 1] [--binary target/release/gridflex] [--seed 1]

Starts a demo with accounts, asks it with a token that may do everything, and checks every answer: no server error, no
undocumented status, body or header, wrong data refused, and what needs a right refused without one. Endless streams are
left out (the tests of the server have it). Several processes share the endpoints, for most of the time goes into making requests.
Prints how many requests there were; exit 1 when anything was found.
"""

import argparse
import json
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
ENDLESS = ("/api/v1/stream", "/api/v1/history/{kind}/stream")
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


def operations(url):
    """The names of all operations that end."""
    document = json.load(urllib.request.urlopen(f"{url}/api/v1/openapi.json", timeout=20))
    found = (part for path, item in document["paths"].items() if path not in ENDLESS for part in item.values())
    return [part["operationId"] for part in found if "operationId" in part]


def asked(url, secret, folder, options):
    """Runs schemathesis in as many processes as asked for; whether none found anything, and how many requests they made."""
    names, running = operations(url), []
    for process in range(options.processes):
        own = folder / f"process-{process}"
        own.mkdir()
        command = [
            PEERS / "venv" / "bin" / "st", "--config-file", HERE / "http_api.toml", "run",
            f"{url}/api/v1/openapi.json", "--url", url,
            *(word for name in names[process :: options.processes] for word in ("--include-operation-id", name)),
            "--checks", "all", "--max-examples", str(options.examples), "--workers", "1",
            "--seed", str(options.seed), "--continue-on-failure", "--request-timeout", "20",
            "--report", "json", "--report-json-path", own / "report.json", "--no-color",
        ]
        environment = {**os.environ, "PYTHONUTF8": "1", "GRIDFLEX_TOKEN": secret}
        running.append((own, subprocess.Popen([str(word) for word in command], env=environment, cwd=own)))
    well = all([process.wait() == 0 for _, process in running])
    reports = [json.loads((own / "report.json").read_text()) for own, _ in running]
    return well, sum(report["test_cases"]["generated"] for report in reports)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=200, help="requests of a kind per endpoint (200)")
    parser.add_argument("--processes", type=int, default=1, help="how many share the endpoints (1)")
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
            well, count = asked(url, secret, folder, options)
            alive = demo.poll() is None and still_answers(url, secret)
        finally:
            demo.terminate()
            demo.wait(30)
        audit = [options.binary, "access", "audit", folder / "data" / "audit.jsonl"]
        checked = subprocess.run(audit, text=True, capture_output=True)
        panics = (folder / "log").read_text().count("panicked")
        state = "still answers" if alive else "DIED"
        said = checked.stdout.strip() or checked.stderr.strip()
        print(f"peers: {count} requests; the demo {state}; panics {panics}; audit log: {said}")
        sys.exit(0 if well and alive and panics == 0 and checked.returncode == 0 else 1)


if __name__ == "__main__":
    main()
