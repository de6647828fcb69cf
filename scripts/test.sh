#!/usr/bin/env bash
# Runs every check, the later ones also when an earlier one failed, and ends with a table: step, seconds, result.
#
# A step that cannot run here (something is missing and may not be installed) is skipped, and the table says why.
# Exit: 0 nothing failed; 1 something did. Standard input is closed; nothing asks.
#
#   scripts/test.sh                 all steps
#   scripts/test.sh format clippy   only these
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null 2>&1

skipped=77 # exit code of a step that could not run
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
has_nextest() { cargo nextest --version >/dev/null 2>&1; }

step_setup() { scripts/setup.sh test; }
step_format() { cargo fmt --all --check; }
step_page() { scripts/page.sh; }
step_page_check() { in_page run --silent check; }
step_page_tests() { in_page test --silent; }
step_clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }
# Nobody else builds what is left without the features: a check, without another build.
step_lean() { cargo check --locked -p gridflex --no-default-features; }
step_rust_tests() {
  if has_nextest; then
    cargo nextest run --locked --workspace
  else
    echo "cargo-nextest is not installed: using cargo test"
    cargo test --locked --workspace --all-targets --no-fail-fast
  fi
}
step_doc_tests() { cargo test --locked --workspace --doc; }
step_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --keep-going; }
step_licences() {
  cargo deny --version >/dev/null 2>&1 || { echo "skip: cargo-deny is not installed"; return $skipped; }
  # Advisories need their database from the network; whoever has it runs `cargo deny check advisories`.
  cargo deny check licenses bans sources
}
step_stories() { scripts/browser_stories.sh; }

# One npm script of the page.
in_page() {
  scripts/page.sh packages || return $?
  (cd dashboards/web && npm "$@")
}

# What a passed step has to tell beyond "passed".
note() {
  case "$1" in
    rust_tests) sed -n 's/.*Summary \[[^]]*\] *//p' "$log" | tail -1 ;;
    stories) sed -n 's/^stories: //p' "$log" | tail -1 ;;
    *) ;;
  esac
}

all_steps=(setup format page page_check page_tests clippy lean rust_tests doc_tests doc licences stories)
steps=("${@:-}")
[[ -n "${steps[0]}" ]] || steps=("${all_steps[@]}")

table=()
failures=0
began_all=$EPOCHREALTIME
seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

for step in "${steps[@]}"; do
  if ! declare -F "step_$step" >/dev/null; then
    echo "unknown step $step; known are: ${all_steps[*]}"
    exit 2
  fi
  echo "=== $step"
  began=$EPOCHREALTIME
  "step_$step" 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  seconds="$(seconds_since "$began")"
  case $code in
    0) result="passed" extra="$(note "$step")" ;;
    "$skipped") result="SKIPPED" extra="$(grep -E '^skip: |^set-up: .* (is missing|not installing)' "$log" | sed 's/^skip: //; s/^set-up: //' | paste -sd ';')" ;;
    *) result="FAILED" extra="exit code $code" failures=$((failures + 1)) ;;
  esac
  echo "--- $step: $result after $seconds s"
  table+=("$(printf '%-12s %8s  %-8s %s' "$step" "$seconds" "$result" "$extra")")
done

echo
printf '%-12s %8s  %s\n' step seconds result
printf '%s\n' "${table[@]}"
printf '%-12s %8s  %s\n' all "$(seconds_since "$began_all")" \
  "$( ((failures == 0)) && echo "passed, $(printf '%s\n' "${table[@]}" | grep -c ' SKIPPED ') skipped" || echo "$failures step(s) FAILED")"
((failures == 0))
