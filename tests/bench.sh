#!/bin/bash
# Runs every bench and ends with one table of how it compares: `make bench`. Arguments go to the bench of the read
# models, such as `--tickets 1000000`.
set -euo pipefail
cd "$(dirname "$0")/.."

said=$(mktemp)
trap 'rm -f "$said"' EXIT
cargo bench --quiet --package eventstore --package deskfold-tests --bench append --bench http --bench read_models \
    --bench feeds --bench rules --bench long_streams --bench search --bench streams --no-run
cargo build --quiet --release --manifest-path eventstore/peers/Cargo.toml --target-dir target/peers
cargo bench --quiet --package eventstore --bench append | tee -a "$said"
cargo bench --quiet --package deskfold-tests --bench http | tee -a "$said"
cargo bench --quiet --package deskfold-tests --bench read_models -- "$@" | tee -a "$said"
cargo bench --quiet --package deskfold-tests --bench feeds | tee -a "$said"
cargo bench --quiet --package deskfold-tests --bench rules | tee -a "$said"
cargo bench --quiet --package deskfold-tests --bench long_streams | tee -a "$said"
cargo bench --quiet --package deskfold-tests --bench search | tee -a "$said"
cargo bench --quiet --package deskfold-tests --bench streams | tee -a "$said"

echo
awk -F '  +' '
    function row(a, b, c, d, e, f, g) { printf "%-44s %11s  %-34s %11s  %6s  %9s  %s\n", a, b, c, d, e, f, g }
    BEGIN { row("figure", "", "against", "", "ratio", "target", "reached") }
    / ratio .*: (reached|MISSED)\)$/ {
        gsub(/[():]/, "", $5)
        split($5, word, " ")
        row($1, $2, $3, $4, word[2], (word[4] == "least" ? ">= " : "<= ") word[5], word[6] == "reached" ? "yes" : "no")
    }
' "$said"
