#!/usr/bin/env bash
# Door × peer × what passed, as one table: the stories with programs that we did not write.
#
# Exit: 0 nothing failed; 1 something did. What is missing is installed first; what cannot be had is skipped and said.
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

# They say what is missing; the table tells what that comes to.
scripts/setup.sh test >&2
benches/peers/setup.sh >&2

# door | peer | part of the tests' names
stories=(
  "MQTT door|mosquitto_pub, mosquitto_sub|peers::mosquitto_clients"
  "MQTT door|mosquitto_sub, persistent session|peers::a_persistent_session"
  "MQTT door|paho-mqtt|peers::paho"
  "MQTT door|rustls as client|rights::"
  "MQTT door, whole system|rumqttc's codec, a stalled disk|actors::receipts"
  "MQTT door, gridflex serve|rumqttc|the_example_site_runs"
  "MQTT client|rumqttc at our door|connectors::contract"
  "MQTT, foreign broker|mosquitto, mosquitto_pub|broker::"
  "Sparkplug B|mosquitto, paho-mqtt, google.protobuf|sparkplug::a_node_is|sparkplug::a_gap|sparkplug::the_death|sparkplug::a_node_that_is_silent"
  "Modbus client|pymodbus|modbus::a_server_of_pymodbus"
  "Modbus client|mbpoll beside it, pymodbus|modbus::mbpoll"
  "Modbus counter|pymodbus|modbus::a_counter"
  "Modbus RTU, serial line|pymodbus, a line that spoils bytes|modbus_line::units_of_pymodbus_on"
  "Modbus RTU over TCP|pymodbus|modbus_line::units_of_pymodbus_behind"
  "Modbus RTU, serial line|hand-made units|modbus_line::units_take|modbus_line::a_unit|modbus_line::a_line"
  "Modbus client|hand-made server|modbus::a_unit_that_is_silent_does|modbus::a_small|modbus::answers"
  "IEC 104 client|c104 (lib60870)|iec104::a_station_of_c104_is_interrogated|iec104::qualities|iec104::a_station_killed"
  "IEC 104 counters|c104 (lib60870)|iec104::integrated_totals"
  "IEC 104 client, TLS|c104 (lib60870), TLS 1.3|iec104::a_station_of_c104_is_heard_through_tls"
  "IEC 104 client|hand-made stations|iec104::a_station_that|iec104::a_station_is_asked|iec104::what_is_not_taken|iec104::noise"
  "OPC UA client|asyncua as server, Basic256Sha256|opcua::a_server_of_asyncua|opcua::statuses|opcua::a_small"
  "OPC UA client, trust|asyncua as server, Basic256Sha256|opcua::another_certificate|opcua::a_wrong_password|opcua::the_certificate"
  "OPC UA client|hand-made servers|opcua::a_server_that_is_silent"
  "OPC UA server|asyncua as client, Basic256Sha256|shown asyncua_reads"
  "OPC UA server, trust|asyncua as client|shown who_is_not|shown whose_certificate"
  "OPC UA server, abuse|silent peers, noise, asyncua|shown silent_peers"
  "OPC UA, gridflex serve|asyncua both ways|a_scada_is_heard"
  "AMQP services, gridflex serve|RabbitMQ 3.10 (TLS), aio-pika|the_service_platform_answers"
  "Modbus, gridflex serve|pymodbus|the_meters_of_the_example"
  "acquire, database|PostgreSQL (TLS, SCRAM)|acquisition database::rows|acquisition database::a_row|acquisition database::what"
  "acquire, database, trust|PostgreSQL (TLS, SCRAM)|acquisition database::without"
  "acquire, database crashes|PostgreSQL|acquisition database::a_database"
  "acquire, 20 kills|PostgreSQL that crashes, rumqttc|acquire twenty_kills_lose_no_row"
  "Sign-in, gridflex serve|oidc-provider (certified)|oidc a_person_signs_in_at|oidc whoever_logs_out"
  "Sign-in, algorithms|oidc-provider (certified)|oidc tokens_of_every"
  "Sign-in, refusals|hand-made providers|oidc refused::|oidc encrypted::|oidc unreachable::|oidc renewed::|oidc signed_in::"
)

log="$(mktemp)"
trap 'rm -f "$log" "$log.http"' EXIT
cargo nextest run --locked --workspace --test door --test sources --test shown --test contract --test receipts --test site --test amqp --test acquisition --test acquire --test oidc \
  --status-level pass --final-status-level none --success-output immediate >"$log" 2>&1
code=$?
grep -qE '(PASS|FAIL) ' "$log" || { cat "$log"; exit 1; }

# One line per test: "PASS name", "FAIL name" or "SKIP name".
results="$(awk '
  /^ +(PASS|FAIL|TIMEOUT|SIGABRT|TRY)/ { state = $1; sub(/.*\] */, ""); name = $0; order[++n] = name; result[name] = state == "PASS" ? "PASS" : "FAIL" }
  /SKIPPED:/ && name { result[name] = "SKIP" }
  END { for (i = 1; i <= n; i++) print result[order[i]], order[i] }' "$log" | sort -u)"

printf '%-26s %-38s %s\n' door peer result
for story in "${stories[@]}"; do
  IFS='|' read -r door peer parts <<<"$story"
  mine="$(grep -E "${parts}" <<<"$results" || true)"
  count() { grep -c "^$1 " <<<"$mine"; }
  if [[ -z "$mine" ]]; then result="no such test"; code=1
  elif (($(count FAIL) > 0)); then result="FAILED: $(sed -n 's/^FAIL //p' <<<"$mine" | paste -sd ',')"
  elif (($(count SKIP) > 0)); then result="SKIPPED: not installed"
  else result="$(count PASS) passed"
  fi
  printf '%-26s %-38s %s\n' "$door" "$peer" "$result"
done
# What is no test of ours: every endpoint from the interface's own description, some requests of a kind (make soak: more than 100,000).
result="SKIPPED: not installed (benches/peers/setup.sh)"
peers="${GRIDFLEX_PEERS_DIR:-target/peers}"
if [[ -x "$peers/venv/bin/st" ]]; then
  result="passed"
  { cargo build --locked --bin gridflex \
    && python3 benches/peers/http_api.py --binary "${CARGO_TARGET_DIR:-target}/debug/gridflex" --examples "${DOORS_EXAMPLES:-20}"; } >"$log.http" 2>&1 \
    || { result="FAILED: $(tail -n 1 "$log.http")"; code=1; tail -n 40 "$log.http" >&2; }
fi
printf '%-26s %-38s %s\n' "HTTP interface" "schemathesis" "$result"
((code == 0)) || { grep -E '^ +(FAIL|TIMEOUT)' "$log" | sort -u; exit 1; }
