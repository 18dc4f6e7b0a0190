# `make run` starts Deskfold on http://127.0.0.1:8080, `make test` checks everything; both use one quick build. `make
# release` makes the optimised program in target/dist, its symbols beside it, `make bench` measures it, with
# BENCH="--tickets 1000000" on a large desk, `make crash ROUNDS=20` kills its processes at random, `make superset` has
# Apache Superset draw a chart of a desk, and `make desk-dump` adds a
# desk of today's program to those that later ones must take over. All first install what is missing.

LISTEN ?= 127.0.0.1:8080
DATA_DIR ?= ./data
ROUNDS ?= 20
# Debian keeps servers in sbin, which is not on everybody's PATH.
export PATH := $(PATH):/usr/sbin
# Tests wait for servers and browsers: one more than there are cores keeps those busy.
export RUST_TEST_THREADS ?= $(shell expr $$(nproc) + 1)

.PHONY: run test release bench crash superset desk-dump fmt lint doc prerequisites

run: prerequisites
	cargo run --bin deskfold -- serve --listen $(LISTEN) --data-dir $(DATA_DIR)

test: prerequisites
	@deploy/install-prerequisites.sh tests
	cargo test --workspace --no-fail-fast

release: prerequisites
	deploy/release.sh

bench: prerequisites
	tests/bench.sh $(BENCH)

crash: prerequisites
	DESKFOLD_CRASH_ROUNDS=$(ROUNDS) cargo test --package deskfold-tests --test it -- crash:: --nocapture

superset: prerequisites
	@deploy/install-prerequisites.sh tests
	@deploy/install-prerequisites.sh superset
	cargo test --package deskfold-tests --test it -- superset --nocapture

desk-dump: prerequisites
	cargo test --package deskfold-tests --test it -- --ignored --exact data::takeover::make_a_desk --nocapture

fmt:
	cargo fmt --all

lint: prerequisites
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

doc: prerequisites
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

prerequisites:
	@deploy/install-prerequisites.sh
