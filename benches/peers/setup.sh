#!/usr/bin/env bash
# Makes the Python environment of the peer benchmarks: target/peers/venv with the packages of requirements.txt.
#
#   benches/peers/setup.sh            quick when everything is there already
#
# GRIDFLEX_PEERS_DIR puts it (and all cases) elsewhere; PYTHON names another interpreter than python3.11; GRIDFLEX_NO_INSTALL=1 forbids it.
# Exit: 0 everything is there; 77 a package is missing, and which.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
peers="${GRIDFLEX_PEERS_DIR:-$here/../../target/peers}"
python="${PYTHON:-python3.11}"
wanted="$here/requirements.txt"
stamp="$peers/venv/installed-requirements.txt"

say() { echo "peers: $*" >&2; }

if cmp -s "$wanted" "$stamp"; then
  say "everything is there ($peers/venv)"
  exit 0
fi
if [[ "${GRIDFLEX_NO_INSTALL:-0}" == 1 ]]; then
  say "not installing: GRIDFLEX_NO_INSTALL is set"
  exit 77
fi
if ! command -v "$python" >/dev/null 2>&1; then
  say "no $python here; name a Python 3.11 in PYTHON (power-grid-model 1.12 has no wheel for newer ones everywhere)"
  exit 77
fi
mkdir -p "$peers"
[[ -x "$peers/venv/bin/python" ]] || "$python" -m venv "$peers/venv" || { say "could not make $peers/venv"; exit 77; }

pip=("$peers/venv/bin/python" -m pip --disable-pip-version-check --quiet install)
if "${pip[@]}" --requirement "$wanted"; then
  cp "$wanted" "$stamp"
  say "installed into $peers/venv"
  exit 0
fi

say "not all at once; trying one package after the other"
missing=()
while read -r package; do
  "${pip[@]}" "$package" || missing+=("$package")
done < <(grep -v -E '^(#|$)' "$wanted")
[[ ${#missing[@]} == 0 ]] && { cp "$wanted" "$stamp"; exit 0; }
say "could not get: ${missing[*]}"
exit 77
