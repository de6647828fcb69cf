#!/usr/bin/env bash
# Builds what `gridflex demo` needs and becomes it. Arguments go to `gridflex demo`.
#
# Standard output belongs to the program alone; npm, cargo and this script write to standard error.
# Without node the program still runs: its page then says how to build the real one.
set -uo pipefail
cd "$(dirname "$0")/.."

if scripts/page.sh; then :
elif [[ $? == 77 ]]; then
  echo "demo: going on without the page" >&2
else
  echo "demo: the page could not be built" >&2
  exit 1
fi
cargo build --profile demo --bin gridflex </dev/null 1>&2 || exit 1
target="$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
# exec, so that a signal reaches the program and its exit code is ours.
exec "$target/demo/gridflex" demo "$@"
