#!/usr/bin/env bash
# Runs dashboards/web/stories/*.story.mjs in Chromium, each against a demo of its own, and keeps a screenshot.
#
#   scripts/browser_stories.sh            all of them
#   scripts/browser_stories.sh sign_in    only these
#
# A story is called as `node <story> <screenshot.png>` with BASE_URL and MQTT_PORT in its environment; its exit
# code counts. A line `// accounts: <name> <role>` in a story gives its demo that account, with the password of STORY_PASSWORD, in
# the file ACCOUNTS.
# A line `// provider: <name> <group>` has it run against `gridflex serve` with an OpenID provider of npm's instead, which knows that person
# and a stranger called grace; without oidc-provider such a story is skipped.
#
#   STORY_DEMO_ARGS  arguments of the demo      (default: --headless --duration 6h --speed 120 --seed 7)
#   STORY_SHOTS      where screenshots go       (default: dashboards/web/stories/shots)
#   STORY_SECONDS    longest time of one story  (default: 240)
#   GRIDFLEX_BIN     the program                (default: the one the Rust tests use, built if necessary)
#
# Exit: 0 all passed; 77 something needed is missing; 1 a story failed.
set -uo pipefail
cd "$(dirname "$0")/.."
root="$PWD"
web="$root/dashboards/web"
shots="${STORY_SHOTS:-$web/stories/shots}"
read -ra demo_args <<<"${STORY_DEMO_ARGS:---headless --duration 6h --speed 120 --seed 7}"

skip() { echo "skip: $*"; exit 77; }
shopt -s nullglob
stories=("$web"/stories/*.story.mjs)
if (($# > 0)); then
  stories=("${@/%/.story.mjs}")
  stories=("${stories[@]/#/$web/stories/}")
fi
for story in "${stories[@]}"; do
  [[ -f "$story" ]] || { echo "there is no story $story"; exit 1; }
done
((${#stories[@]} > 0)) || skip "there are no stories in dashboards/web/stories"
command -v node >/dev/null || skip "node is missing"
command -v chromium >/dev/null || skip "chromium is missing"
scripts/page.sh || exit $?

if [[ -z "${GRIDFLEX_BIN:-}" ]]; then
  cargo build --locked --bin gridflex || exit 1
  target="$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
  GRIDFLEX_BIN="$target/debug/gridflex"
fi

export STORY_PASSWORD="the password of a story"
work="$(mktemp -d)"
demo=""
provider=""
provider_at=""
# Ends only the demo started here, by its process id.
end_demo() {
  [[ -n "$provider" ]] && kill "$provider" 2>/dev/null && wait "$provider" 2>/dev/null
  provider=""
  [[ -n "$demo" ]] || return 0
  kill -INT "$demo" 2>/dev/null
  for _ in {1..50}; do kill -0 "$demo" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$demo" 2>/dev/null
  wait "$demo" 2>/dev/null
  demo=""
}
trap 'end_demo; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'
}

# Until /readyz (or another path) answers 200: the first estimate is there. Gives up when the program has ended.
wait_ready() {
  for _ in {1..300}; do
    kill -0 "$demo" 2>/dev/null || return 1
    node -e 'fetch(process.argv[1]).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$1${2:-/readyz}" && return 0
    sleep 0.2
  done
  return 1
}

# A site like the example, with a provider on a port of its own; its people are looked up in groups, of which control-room may operate.
start_with_provider() {
  local folder="$1" person="$2" group="$3" page="$4" mqtt="$5" port told
  port="$(free_port)"
  provider_at="http://127.0.0.1:$port"
  cp "$root"/docs/example-site/*.{json,toml,csv} "$folder/"
  (umask 077 && echo "a secret of a story" >"$folder/secret")
  sed -i "s|127.0.0.1:8080\"|127.0.0.1:$page\"\naccounts = \"access.json\"|; s|127.0.0.1:1883|127.0.0.1:$mqtt|" "$folder/site.toml"
  cat >>"$folder/site.toml" <<SITE
[oidc]
name = "Stadtwerke"
issuer = "http://127.0.0.1:$port"
client_id = "gridflex"
client_secret_file = "secret"
public_url = "http://127.0.0.1:$page"
[[oidc.group]]
group = "control-room"
role = "operator"
SITE
  told="{\"port\":$port,\"alg\":\"RS256\",\"secret\":\"a secret of a story\",\"in_token\":true,\"redirect\":\"http://127.0.0.1:$page/api/v1/session/oidc/callback\",
    \"logout\":\"http://127.0.0.1:$page/login\",\"groups\":{\"$person\":[\"$group\"],\"grace\":[\"guests\"]}}"
  # It ends when its input does, which is when this script ends.
  tail --pid=$$ -f /dev/null | node "$root/tests/peers/openid_provider.mjs" "$providers" "$told" >"$folder/provider.log" 2>&1 &
  provider=$!
  (cd "$folder" && exec "$GRIDFLEX_BIN" serve site.toml)  >"$work/$name.out" 2>"$work/$name.err" </dev/null &
  demo=$!
}

failed=0
skipped=0
providers="$root/target/peers/oidc/node_modules"
mkdir -p "$shots"
for story in "${stories[@]}"; do
  name="$(basename "$story" .story.mjs)"
  port="$(free_port)"
  mqtt_port="$(free_port)"
  base="http://127.0.0.1:$port"
  echo "--- story $name at $base"
  mkdir -p "$work/$name"
  # Its own directory: what the demo keeps on disk is gone afterwards.
  access=()
  while read -r account role; do
    (cd "$work/$name" && echo "$STORY_PASSWORD" | "$GRIDFLEX_BIN" access add "$account" --role "$role") || exit 1
    access=(--access access.json)
  done < <(sed -n 's|^// accounts: ||p' "$story")
  person="" group=""
  read -r person group < <(sed -n 's|^// provider: ||p' "$story")
  if [[ -n "$person" && ! -d "$providers/oidc-provider" ]]; then
    echo "story $name: SKIPPED, oidc-provider is not installed (scripts/setup.sh test)"
    skipped=$((skipped + 1))
    continue
  elif [[ -n "$person" ]]; then
    start_with_provider "$work/$name" "$person" "$group" "$port" "$mqtt_port"
  else
    (cd "$work/$name" && exec "$GRIDFLEX_BIN" demo "${demo_args[@]}" "${access[@]}" --port "$port" --mqtt-port "$mqtt_port") \
      >"$work/$name.out" 2>"$work/$name.err" </dev/null &
    demo=$!
  fi
  # The meters of the example's site are not there: it has no estimate.
  if ! wait_ready "$base" "${person:+/healthz}" ||
    { [[ -n "$person" ]] && ! wait_ready "$provider_at" /.well-known/openid-configuration; }; then
    echo "story $name: the demo or its provider did not become ready"
    ok=1
  else
    (cd "$web" && BASE_URL="$base" MQTT_PORT="$mqtt_port" GRIDFLEX_BIN="$GRIDFLEX_BIN" ACCOUNTS="$work/$name/access.json" timeout "${STORY_SECONDS:-240}" node "$story" "$shots/$name.png")
    ok=$?
  fi
  end_demo
  if ((ok != 0)); then
    failed=$((failed + 1))
    echo "story $name: FAILED ($ok); the demo's last words:"
    tail -n 30 "$work/$name.out" "$work/$name.err"
  else
    [[ -f "$shots/$name.png" ]] && shot="screenshot $shots/$name.png" || shot="no screenshot"
    echo "story $name: passed, $shot"
  fi
done
echo "stories: $((${#stories[@]} - failed - skipped)) of ${#stories[@]} passed$( ((skipped == 0)) || echo ", $skipped skipped")"
((failed == 0))
