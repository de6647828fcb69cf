# Everything a newcomer types. The work is in scripts/; each target says here what it is for.
#
# Only the program writes to standard output in `make demo`, so that `--json` can be piped.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo page test doors soak setup clean

DEMO_ARGS ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## build the page and the program, run the evening, print the address (DEMO_ARGS="--headless --duration 6h --json")
	@scripts/demo.sh $(DEMO_ARGS)

page: ## build the page into dashboards/web/dist when its sources are newer
	@scripts/page.sh

test: ## everything: format, lints, Rust tests, documentation, page, licences, browser stories
	@scripts/test.sh

doors: ## the stories with foreign programs only, as a table: door, peer, what passed
	@scripts/doors.sh

soak: ## the long tests as a table: what was asked, what was reached (hours; docs/soak.md)
	@scripts/soak.sh

setup: ## install what `make test` needs and does not find (needs root and apt)
	@scripts/setup.sh test

clean: ## remove everything that was built, and the demo's data
	cargo clean
	rm -rf dashboards/web/dist dashboards/web/node_modules dashboards/web/stories/shots .demo
