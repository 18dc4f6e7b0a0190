#!/bin/bash
# Builds the optimised program and lays it into target/dist as it is shipped: without symbols, which lie beside it in
# deskfold.debug. Keep that file: where it lies beside the program, backtraces have names and lines, and so do gdb and perf.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
built=$target/release/deskfold
shipped=$target/dist

cargo build --release --locked --bin deskfold
mkdir -p "$shipped"
# Written beside and then put in place, so that a program that runs from there goes on.
objcopy --only-keep-debug --compress-debug-sections "$built" "$shipped/deskfold.debug"
objcopy --strip-all --add-gnu-debuglink="$shipped/deskfold.debug" "$built" "$shipped/deskfold.new"
mv "$shipped/deskfold.new" "$shipped/deskfold"
echo "$shipped/deskfold: $(stat -c %s "$shipped/deskfold" | numfmt --to=iec --suffix=B)"
