#!/usr/bin/env bash
# The long tests: those marked #[ignore], then the property tests again with seeds drawn anew (SOAK_ROUNDS times, 10).
# Last the HTTP interface under schemathesis. Fails when one fails or when there is none.
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
has_nextest() { cargo nextest --version >/dev/null 2>&1; }
numerics="kind(lib) & (package(grid) | package(estimation) | package(market) | package(connectors))"
failures=0

if has_nextest; then
  cargo nextest run --workspace --profile soak --run-ignored only || failures=1
else
  cargo test --workspace -- --ignored || failures=1
fi

for ((round = 1; round <= ${SOAK_ROUNDS:-10}; round++)); do
  export PROPTEST_RNG_SEED=$((SRANDOM))
  echo "=== property tests, round $round: PROPTEST_RNG_SEED=$PROPTEST_RNG_SEED"
  # All of the workspace is named, because a choice of packages has other features and is compiled anew.
  if has_nextest; then
    cargo nextest run --workspace -E "$numerics" || failures=1
  else
    cargo test --workspace --lib || failures=1
  fi
done
# The HTTP interface under more than 100,000 requests; about an hour.
if [[ -x target/peers/venv/bin/st ]]; then
  cargo build --locked --bin gridflex && python3 benches/peers/http_api.py --binary target/debug/gridflex --examples 34000 || failures=1
else
  echo "SKIPPED: schemathesis is not installed; benches/peers/setup.sh installs it"
fi
exit $failures
