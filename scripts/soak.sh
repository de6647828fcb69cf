#!/usr/bin/env bash
# The long tests: those marked #[ignore]. Fails when there is none.
set -uo pipefail
cd "$(dirname "$0")/.."
if cargo nextest --version >/dev/null 2>&1; then
  exec cargo nextest run --workspace --profile soak --run-ignored only </dev/null
fi
exec cargo test --workspace -- --ignored </dev/null
