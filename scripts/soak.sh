#!/usr/bin/env bash
# The long tests, each step a promise: what was asked, what was reached, and a table of all at the end.
#
#   scripts/soak.sh                    all steps, hours
#   scripts/soak.sh kills power        only these
#   SOAK_SHORT=1 scripts/soak.sh       all steps, of a size that takes minutes; says nothing of the promises
#   SOAK_KILLS=200 scripts/soak.sh kills
#   SOAK_PROGRAM=/usr/bin/gridflex scripts/soak.sh ingest       a program that is there, for the steps with figures
#
# Steps, their sizes (variables) and what they show: docs/soak.md. What runs prints lines "soak| what | asked | reached | passed".
# Exit: 0 all rows passed; 1 one did not, or a step printed none. A step that cannot run here says why and does not pass.
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null 2>&1

size() { # variable, full, short
  local value="$2"
  [[ -z "${SOAK_SHORT:-}" ]] || value="$3"
  export "$1=${!1:-$value}"
}
size SOAK_KILLS 2000 40
size FUZZ_SECONDS 600 5
size SOAK_POWER_CALLS 2000 200
size SOAK_POWER_RANDOM 2000 200
size SOAK_DAMAGED 100000 2000
size TRIAL_COUNT 10000 20
size SOAK_SAME_SEEDS 200 10
size SOAK_DEFECT_SEEDS 1000 1000
size SOAK_OVERLOAD_SECONDS 600 20
size SOAK_STORM_SECONDS 60 10
size SOAK_MESSAGES 2000000 50000
size SOAK_RECORDS 1000000 100000
size SOAK_STARTS 100 5
size SOAK_AGENTS 100000 5000
size SOAK_OFFERS 20000 2000
size SOAK_TRIALS 50 3
size SOAK_COPIES 200 5
size SOAK_FULL_DISKS 200 3
size SOAK_SCALE_SECONDS 60 10
size SOAK_DAY 24h 1h
size SOAK_DAY_SECONDS 60 60
size SOAK_MEMORY_MB 512 512
size SOAK_ROUNDS 10 1
size SOAK_EXAMPLES 2500 20
# Where journals and histories are written: the disk that is meant. A temporary directory may be memory, which syncs nothing.
export SOAK_ON="${SOAK_ON:-${CARGO_TARGET_DIR:-target}/soak}"

MOSQUITTO="${MOSQUITTO:-$(command -v mosquitto || command -v /usr/sbin/mosquitto || true)}"
[[ -z "$MOSQUITTO" ]] || export MOSQUITTO

has_nextest() { cargo nextest --version >/dev/null 2>&1; }
row() { printf 'soak| %s | %s | %s | %s\n' "$1" "$2" "$3" "$4"; }

# One test of all packages, by the name of its binary and its own. All packages are named so that none is compiled anew with other
# features.
one() {
  local kind=(--test "$1")
  cargo test --locked --workspace "${kind[@]}" -- --include-ignored --exact "$2" --nocapture --test-threads=1
}

gridflex="${SOAK_PROGRAM:-}"
release() { # the program, optimised, or the one that SOAK_PROGRAM names
  mkdir -p "$SOAK_ON" || return 1
  [[ -n "$gridflex" ]] && return 0
  cargo build --locked --release --bin gridflex || return 1
  gridflex="${CARGO_TARGET_DIR:-target}/release/gridflex"
}

# A figure of a JSON document, judged: what, asked, the document, what to say of it, what must hold (both for jq).
judge() {
  local reached held
  reached="$(jq -r "$4" <<<"$3")" || return 1
  held="$(jq -r "if $5 then \"passed\" else \"FAILED\" end" <<<"$3")" || return 1
  row "$1" "$2" "$reached" "$held"
}

step_kills() {
  one kills what_was_acknowledged_survives_two_thousand_kills
  one kills acknowledging_before_appending_is_found_out_by_as_many_kills
  one kill nothing_acknowledged_is_lost_or_doubled_by_two_thousand_kills_while_trading
  one kill acknowledging_before_recording_is_found_out_by_the_same_story
}
step_power() {
  one power nothing_acknowledged_is_lost_by_a_power_cut_in_a_trace_of_2000_calls_and_many_random_ones
  one power torn::an_end_torn_at_every_byte_of_every_segment_leaves_the_whole_groups_before_it \
    && row "torn tail" "every byte of every segment: a prefix with all acknowledged" "held" passed
  one lasting no_acknowledged_value_is_lost_by_a_power_cut_in_a_trace_of_2000_calls_and_many_random_ones
  one lasting faults::a_failure_at_any_operation_of_a_long_trace_is_followed_by_no_acknowledgement \
    && row "history, each of 600 calls fails" "four ways: nothing acknowledged after it, nothing lost" "held" passed
}
step_damage() { one power damage::a_hundred_thousand_spoilt_files_are_reported_and_never_served; }
step_seeds() {
  one trials two_processes_agree_on_every_byte_of_other_seeds
  one trials ten_thousand_seeds_give_no_objection
}
step_mutants() { one trials each_planted_defect_is_found_within_a_thousand_seeds_drawn_otherwise; }
step_storm() { one storm a_storm_of_poison_leaves_other_feeders_as_fast_as_they_were; }
step_failover() { one cluster fifty_kills_lose_nothing_and_each_is_over_within_five_seconds; }
step_scale() { one cluster_scale each_further_process_is_told_by_what_it_brings; }

step_overload() {
  release || return 1
  local failed=0
  overloaded "$SOAK_OVERLOAD_SECONDS" "$SOAK_MEMORY_MB" 160000 || failed=1
  # Half of it has to hold, too. What goes in then is told.
  overloaded "$((SOAK_OVERLOAD_SECONDS < 60 ? SOAK_OVERLOAD_SECONDS : 60))" "$((SOAK_MEMORY_MB / 2))" 1 || failed=1
  return "$failed"
}

overloaded() { # seconds, MB, least values a second
  local seconds="$1" mb="$2" what="overload, $1 s, $2 MB" figures
  figures="$("$gridflex" bench overload --seconds "$seconds" --memory-mb "$mb" --on "$SOAK_ON" --json)" || return 1
  judge "$what: telemetry" "$3 values/s" "$figures" \
    '"\(.before_s | round) s before, \(.seconds | round) s with \(.values_per_s | floor) values/s, \(.after_s | round) s after; PUBACK of the steady client p99 \(.telemetry.before.ms_p99 | round), \(.telemetry.during.ms_p99 | round), \(.telemetry.after.ms_p99 | round) ms"' \
    ".values_per_s >= $3"
  judge "$what: memory" "at most $mb MB + 5 %" "$figures" \
    '"\(.memory_mb[2] | floor) to \(.memory_mb[1] | floor) MB, \(.memory_mb[0] | floor) after a sixth; fullest mailbox \(.mailbox_max)"' \
    ".memory_mb != null and .memory_mb[1] <= $mb * 1.05"
  judge "$what: offers over HTTP meanwhile" "p99 250 ms, none refused" "$figures" \
    '"\(.offers.during.count) offers and withdrawals, p99 \(.offers.during.ms_p99 * 10 | round / 10) ms (before: \(.offers.before.ms_p99 * 10 | round / 10) ms), \(.offers_refused) refused"' \
    ".offers.during.count >= 10 * $seconds and .offers.during.ms_p99 <= 250 and .offers_refused == 0"
  judge "$what: orders, assigned to device" "p99 250 ms, none missing" "$figures" \
    '"\(.orders.during.count) orders, p99 \(.orders.during.ms_p99 * 10 | round / 10) ms, \(.orders_missing) missing"' \
    ".orders_missing == 0 and .orders.during.ms_p99 <= 250 and (.orders.during.count >= 20 or $seconds < 60)"
  judge "$what: as before again" "10 s" "$figures" \
    '"after \(.normal_again_s) s; last PUBACK of the flood after \(.flood_acknowledged_s * 100 | round / 100) s"' \
    '.normal_again_s != null and .normal_again_s <= 10'
}

step_ingest() {
  release || return 1
  local values figures said='"\(.messages_per_s | floor) messages/s, \(.values_per_s | floor) values/s, p99 \(.ack_ms_p99 * 10 | round / 10) ms"'
  for values in 1 20; do
    figures="$("$gridflex" bench ingest --messages "$SOAK_MESSAGES" --values "$values" --on "$SOAK_ON" --json)" || return 1
    if ((values == 1)); then
      judge "telemetry, durable before PUBACK" "20,000 messages/s, p99 50 ms" "$figures" "$said" '.messages_per_s >= 20000 and .ack_ms_p99 <= 50 and .kept == .sent'
    else
      judge "telemetry, $values values a message" "200,000 values/s" "$figures" "$said" '.values_per_s >= 200000 and .kept == .sent'
    fi
    beside_mosquitto "$values" "$said"
  done
}

# The same clients and packets against mosquitto with its persistence on, in the same run: no promise of ours, so it always passes.
beside_mosquitto() {
  local port directory broker figures
  [[ -n "$MOSQUITTO" ]] \
    || { row "mosquitto, $1 value(s) a message" "beside it" "not installed" "SKIPPED"; return; }
  directory="$(mktemp -d "$SOAK_ON/mosquitto.XXXX")" && port=$((20000 + RANDOM % 10000))
  printf 'listener %s 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nmax_queued_messages 0\nmax_inflight_messages 0\n' \
    "$port" "$(realpath "$directory")" >"$directory/mosquitto.conf"
  chmod 777 "$directory"
  "$MOSQUITTO" -c "$directory/mosquitto.conf" >"$directory/log" 2>&1 &
  broker=$!
  sleep 1
  figures="$("$gridflex" bench ingest --broker "127.0.0.1:$port" --messages "$SOAK_MESSAGES" --values "$1" --json)" \
    && judge "mosquitto, persistence on, $1 value(s) a message" "beside it; it does not sync" "$figures" "$2" true
  kill "$broker" && wait "$broker"
  rm -rf "$directory"
}

step_journal() {
  release || return 1
  local figures
  figures="$("$gridflex" bench journal --records "$SOAK_RECORDS" --starts "$SOAK_STARTS" --on "$SOAK_ON" --json)" || return 1
  judge "replay of $SOAK_RECORDS records" "1,000,000 events/s on one core" "$figures" \
    '"\(.replay_per_s | floor) events/s (processor time)"' '.replay_per_s >= 1000000'
  judge "opening $SOAK_RECORDS records" "1 s for 99 %" "$figures" \
    '"\(.start_ms_p99 | floor) ms, \(.replayed_at_start) records behind the snapshot"' '.start_ms_p99 <= 1000'
  judge "restart of the program at $SOAK_RECORDS records" "first 201 within 1 s for 99 %" "$figures" \
    '"\(.process.serving_ms_p50 | floor) ms, p99 \(.process.serving_ms_p99 | floor) ms, of \(.process.starts) starts"' \
    '.process.serving_ms_p99 <= 1000'
}

step_agents() {
  release || return 1
  local figures
  figures="$("$gridflex" bench actors --agents "$SOAK_AGENTS" --offers "$SOAK_OFFERS" --on "$SOAK_ON" --json)" || return 1
  judge "$SOAK_AGENTS agents in one process" "memory and message cost told" "$figures" \
    '"\(.bytes_per_agent / 1024 * 10 | round / 10) kB and \(.message_us * 10 | round / 10) µs each"' '.bytes_per_agent != null'
  judge "offers, durable" "2,000/s, p99 50 ms" "$figures" \
    '"\(.offers_per_s | floor)/s, p99 \(.offer_ms_p99 * 10 | round / 10) ms"' '.offers_per_s >= 2000 and .offer_ms_p99 <= 50'
}

step_day() {
  release || return 1
  local out began seconds outcome
  out="$(mktemp -d "$SOAK_ON/day.XXXX")" && rmdir "$out"
  began=$EPOCHREALTIME
  outcome="$("$gridflex" simulate sim/scenarios/district.toml --duration "$SOAK_DAY" --out "$out" --json)" || return 1
  seconds="$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')"
  judge "$SOAK_DAY of 1,045 prosumers in virtual time" "$SOAK_DAY_SECONDS s" "$outcome" "\"$seconds s wall, money off \\(.money_imbalance), \\(.audit_violations | length) objections\"" \
    "$seconds <= $SOAK_DAY_SECONDS and .money_imbalance == 0 and (.audit_violations | length) == 0"
  rm -rf "$out"
}

# What else is marked #[ignore]: each test of a step above has its row there already.
step_rest() {
  local covered="binary(kills) | binary(kill) | binary(trials) | binary(storm) | binary(cluster_scale) | binary(cluster) | binary(lasting)
    | (binary(power) & (test(/^nothing_acknowledged/) | test(/^damage::/)))"
  has_nextest || { echo "cargo-nextest is not installed"; return 1; }
  cargo nextest run --locked --workspace --profile soak --run-ignored only -E "not ($covered)" \
    && row "all other long tests" "pass" "passed" passed
}

step_numerics() {
  local numerics="kind(lib) & (package(grid) | package(estimation) | package(market) | package(connectors))" round
  for ((round = 1; round <= SOAK_ROUNDS; round++)); do
    export PROPTEST_RNG_SEED=$((SRANDOM))
    echo "=== property tests, round $round: PROPTEST_RNG_SEED=$PROPTEST_RNG_SEED"
    # All of the workspace is named, because a choice of packages has other features and is compiled anew.
    if has_nextest; then cargo nextest run --locked --workspace -E "$numerics"; else cargo test --locked --workspace --lib; fi || return 1
  done
  row "property tests, seeds drawn anew" "$SOAK_ROUNDS rounds pass" "$SOAK_ROUNDS passed" passed
}

# The HTTP interface under schemathesis; more than 100,000 requests.
step_http() {
  local peers="${GRIDFLEX_PEERS_DIR:-target/peers}"
  benches/peers/setup.sh
  [[ -x "$peers/venv/bin/st" ]] || { row "HTTP under schemathesis" "no 5xx, no broken schema" "not installed: benches/peers/setup.sh" SKIPPED; return; }
  cargo build --locked --bin gridflex || return 1
  local binary="${CARGO_TARGET_DIR:-target}/debug/gridflex" reached
  reached="$(python3 benches/peers/http_api.py --binary "$binary" --examples "$SOAK_EXAMPLES" --processes 2 | tee /dev/stderr \
    | sed -n 's/^peers: \([0-9]* requests\);.*/\1/p')" || return 1
  row "HTTP under schemathesis" "100,000 requests: no 5xx, no broken schema, no right ignored" "$reached" passed
}

# Broken bytes at every parser, site files and requests, two parsers at a time, with the executions (docs/fuzzing.md).
step_fuzz() {
  local out executions
  out="$(mktemp)"
  cargo test --locked --workspace --test fuzz --test doors -- --ignored --nocapture for_long 2>&1 | tee "$out"
  local outcome=${PIPESTATUS[0]}
  executions="$(awk 'match($0, /[0-9]+ executions, /) { sum += substr($0, RSTART) + 0 } END { print sum + 0 }' "$out")"
  rm -f "$out"
  ((outcome == 0 && executions > 0)) || return 1
  row "broken bytes, $FUZZ_SECONDS s a parser" "no panic, nothing over 10 s" "$executions executions" passed
}

all_steps=(fuzz kills power damage seeds mutants overload storm ingest journal agents failover scale day rest numerics http)
steps=("$@")
((${#steps[@]} > 0)) || steps=("${all_steps[@]}")
for step in "${steps[@]}"; do
  declare -F "step_$step" >/dev/null || { echo "unknown step $step; known are: ${all_steps[*]}"; exit 2; }
done

log="$(mktemp)" table="$(mktemp)"
trap 'rm -f "$log" "$table"' EXIT
for step in "${steps[@]}"; do
  echo "=== $step"
  began=$EPOCHREALTIME
  "step_$step" 2>&1 | tee "$log"
  outcome="${PIPESTATUS[0]}"
  seconds="$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", b - a }')"
  rows="$(sed -n 's/^.*soak| //p' "$log")"
  [[ -n "$rows" ]] || rows="$step | a row | none was printed: it failed before | FAILED"
  # What failed without a row of its own.
  if ((outcome != 0)) || grep -q '^test result: FAILED\|^error: ' "$log"; then
    grep -q '| FAILED$' <<<"$rows" || rows+=$'\n'"$step | all of it | something failed, see above | FAILED"
  fi
  sed "s/^/$step | $seconds | /" <<<"$rows" >>"$table"
done

echo
awk -F ' [|] ' '
  BEGIN { printf "%-10s %7s  %-8s %s\n", "step", "seconds", "result", "what: asked; reached" }
  { printf "%-10s %7s  %-8s %s: %s; %s\n", $1, $2, $6, $3, $4, $5; bad += ($6 != "passed") }
  END { printf "%s\n", bad ? bad " row(s) not passed" : "all passed"; exit bad > 0 }' "$table"
