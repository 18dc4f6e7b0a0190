# `make run` starts Deskfold on http://127.0.0.1:8080, `make test` checks everything, `make bench` measures it, with
# BENCH="--tickets 1000000" on a large desk, `make crash ROUNDS=20` kills its processes at random; all first install what
# is missing.

LISTEN ?= 127.0.0.1:8080
DATA_DIR ?= ./data
ROUNDS ?= 20
# Debian keeps servers in sbin, which is not on everybody's PATH.
export PATH := $(PATH):/usr/sbin

.PHONY: run test bench crash fmt lint doc prerequisites

run: prerequisites
	cargo run --release --bin deskfold -- serve --listen $(LISTEN) --data-dir $(DATA_DIR)

test: prerequisites
	@deploy/install-prerequisites.sh tests
	cargo test --workspace

bench: prerequisites
	tests/bench.sh $(BENCH)

crash: prerequisites
	DESKFOLD_CRASH_ROUNDS=$(ROUNDS) cargo test --package deskfold-tests --test it -- crash:: --nocapture

fmt:
	cargo fmt --all

lint: prerequisites
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

doc: prerequisites
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

prerequisites:
	@deploy/install-prerequisites.sh
