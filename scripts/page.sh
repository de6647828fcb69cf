#!/usr/bin/env bash
# Builds the page into dashboards/web/dist, when a source is newer than what was built.
#
#   scripts/page.sh             install the npm packages of the lock file if needed, build if needed
#   scripts/page.sh packages    install the npm packages only
#
# Everything goes to standard error. Exit: 0 built or up to date; 77 node or npm is missing or too old; else npm's code.
set -uo pipefail
cd "$(dirname "$0")/.."
exec 1>&2

web=dashboards/web
[[ -f "$web/package-lock.json" ]] || { echo "page: $web/package-lock.json is missing"; exit 1; }
scripts/setup.sh page || exit $?
if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; then
  echo "skip: node $(node --version) is too old for the page, 20.19 or newer is needed"
  exit 77
fi

# npm writes node_modules/.package-lock.json last, so it is as old as the last complete installation.
installed="$web/node_modules/.package-lock.json"
if [[ ! -f "$installed" || "$web/package-lock.json" -nt "$installed" ]]; then
  echo "page: npm ci"
  (cd "$web" && npm ci --no-audit --no-fund --loglevel=error </dev/null) || exit $?
fi
[[ "${1:-build}" == packages ]] && exit 0

newer_sources() {
  # Folders too: a removed file changes its folder.
  find "$web" -mindepth 1 \( -name node_modules -o -name dist -o -name stories \) -prune \
    -o -newer "$web/dist/index.html" -print -quit
}
if [[ -f "$web/dist/index.html" && -z "$(newer_sources)" ]]; then
  echo "page: up to date"
  exit 0
fi
echo "page: npm run build"
(cd "$web" && npm run --silent build </dev/null) || exit $?
