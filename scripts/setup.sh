#!/usr/bin/env bash
# Installs what is missing, when it may: as root, with apt, and unless GRIDFLEX_NO_INSTALL=1 is set.
# Otherwise it says what is missing; the step that needs it then skips itself and says so.
#
#   scripts/setup.sh page    what building the page needs: node and npm
#   scripts/setup.sh test    that, and what the tests need: Chromium, mosquitto and its clients, mbpoll, nats-server, rabbitmq-server, PostgreSQL; paho, pymodbus, pyserial, asyncua, c104, aio-pika and opentelemetry-proto in target/peers/venv; oidc-provider in target/peers/oidc
#
# The Rust toolchain named in rust-toolchain.toml is installed by rustup on the first cargo call.
# Exit: 0 everything is there; 77 something is missing and may not or could not be installed.
set -uo pipefail
cd "$(dirname "$0")/.."

say() { echo "set-up: $*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# Each line: command | Debian packages | what it is for
wanted_for_page=(
  "node|nodejs npm|building the page"
  "npm|npm|building the page"
)
wanted_for_tests=(
  "chromium|chromium|browser stories"
  "mosquitto_pub|mosquitto-clients|publishing measurements by hand"
  "mosquitto|mosquitto|a broker of somebody else"
  "mbpoll|mbpoll|a foreign Modbus client beside ours"
  "nats-server|nats-server|several machines"
  "rabbitmq-server|rabbitmq-server|requests of the service platform"
  "pg_ctlcluster|postgresql|databases that gridflex acquire reads"
)

case "${1:-test}" in
  page) wanted=("${wanted_for_page[@]}") ;;
  test) wanted=("${wanted_for_page[@]}" "${wanted_for_tests[@]}") ;;
  *) say "unknown set ${1@Q}; known are page, test"; exit 2 ;;
esac

may_not() {
  if [[ "${GRIDFLEX_NO_INSTALL:-0}" == 1 ]]; then echo "GRIDFLEX_NO_INSTALL is set"
  elif [[ "$(id -u)" != 0 ]]; then echo "not root"
  elif ! has apt-get; then echo "no apt-get here"
  fi
}

packages=()
for entry in "${wanted[@]}"; do
  IFS='|' read -r command names _ <<<"$entry"
  has "$command" || read -ra packages <<<"${packages[*]-} $names"
done

if ((${#packages[@]} > 0)); then
  reason="$(may_not)"
  if [[ -n "$reason" ]]; then
    say "not installing ${packages[*]}: $reason"
  else
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } </dev/null >&2 ||
      say "apt-get failed"
  fi
fi

missing=0
for entry in "${wanted[@]}"; do
  IFS='|' read -r command names purpose <<<"$entry"
  if ! has "$command"; then
    missing=1
    say "$command is missing ($purpose); on Debian: apt-get install ${names}"
  fi
done

# Peers in Python get an environment of their own; without one its stories are skipped.
peers() {
  local venv=target/peers/venv
  [[ -x "$venv/bin/python" ]] && "$venv/bin/python" -c "import paho.mqtt, pymodbus, serial, asyncua, c104, aio_pika, opentelemetry.proto, google.protobuf" 2>/dev/null && return
  local reason
  reason="$([[ "${GRIDFLEX_NO_INSTALL:-0}" == 1 ]] && echo "GRIDFLEX_NO_INSTALL is set")"
  if [[ -n "$reason" ]]; then
    say "not installing paho-mqtt, pymodbus, pyserial, asyncua, c104, aio-pika, opentelemetry-proto: $reason"
    return 1
  fi
  say "installing paho-mqtt, pymodbus, pyserial, asyncua, c104, aio-pika, opentelemetry-proto in $venv"
  { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "paho-mqtt==2.*" "pymodbus==3.16.*" "pyserial==3.*" "asyncua==2.1.*" "c104==2.2.*" "aio-pika==10.2.*" "opentelemetry-proto==1.*" "protobuf==7.*"; } </dev/null >&2
}
if [[ "${1:-test}" == test ]] && ! peers; then
  missing=1
  say "paho-mqtt, pymodbus, pyserial, asyncua, c104, aio-pika or opentelemetry-proto is missing (stories of foreign MQTT clients, Modbus, OPC UA, IEC 104 and AMQP peers, traces)"
fi

# A certified OpenID provider in JavaScript, likewise.
openid_provider() {
  local folder=target/peers/oidc version=9.13.3
  grep -qs "\"version\": \"$version\"" "$folder/node_modules/oidc-provider/package.json" && return
  if [[ "${GRIDFLEX_NO_INSTALL:-0}" == 1 ]]; then
    say "not installing oidc-provider: GRIDFLEX_NO_INSTALL is set"
    return 1
  fi
  has npm || return 1
  say "installing oidc-provider $version in $folder"
  mkdir -p "$folder" && npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts --silent "oidc-provider@$version" </dev/null >&2
}
if [[ "${1:-test}" == test ]] && ! openid_provider; then
  missing=1
  say "oidc-provider is missing (stories of people who sign in at an OpenID provider)"
fi
((missing == 0)) || exit 77
