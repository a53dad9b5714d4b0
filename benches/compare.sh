#!/usr/bin/env bash
# The same rows into PostgreSQL 15, DuckDB, SQLite and Almanac, in turns on one machine, each with a primary key and durable.
#
#   benches/compare.sh DIR [--quick] [--rounds N] [--old ALMANAC] [--old-storage STORAGE] [--only NAME,...]
#
# DIR has wide files of the World Bank, one for each indicator. --quick takes a few of them, once: it shows that everything
# works. --old and --old-storage are an older `almanac` and an older program of `cargo bench --bench storage`, measured in
# turns with this build. --only picks from: postgresql, duckdb, sqlite, almanac, writer.
#
# Needs Python 3 with venv, and Debian's postgresql-15; sqlite3 too if it is there. DuckDB comes from PyPI into a temporary
# folder. Servers listen on a socket or a free port, and end with the run.
set -euo pipefail
(($#)) || { sed -n '4p' "$0" >&2; exit 2; }
root=$(realpath "$(dirname "$0")/..")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# PostgreSQL's own user reads the rows.
chmod 755 "$scratch"

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check duckdb==2.0.1
cd "$root"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# The bench first: it builds the program with faults that can be injected, and the second build replaces that.
cargo bench --bench storage --locked --no-run --message-format=json >"$scratch/built.json"
storage=$(sed -n 's/.*"name":"storage".*"executable":"\([^"]*\)".*/\1/p' "$scratch/built.json")
cargo build --release --locked
cd "$OLDPWD"
"$scratch/venv/bin/python" -B "$root/benches/compare/main.py" --scratch "$scratch" --root "$root" \
    --almanac "$target/release/almanac" --storage "$storage" "$@"
