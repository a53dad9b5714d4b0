#!/usr/bin/env bash
# The whole World Development Indicators, three ways in one run on one machine: PostgreSQL 15 (COPY into a keyed table),
# the writer alone (cargo bench --bench storage), and `almanac import` through a socket.
#
#   benches/compare.sh DIR     DIR: the wide files, one per indicator
#
# Needs Debian's postgresql-15 and Python 3. Servers are started on a socket or a free port and stopped at the end.
set -euo pipefail
wide=$(realpath "$1")
cd "$(dirname "$0")/.."
cargo build --release --locked
cargo bench --bench storage --locked --no-run
almanac=${CARGO_TARGET_DIR:-target}/release/almanac
scratch=$(mktemp -d)
chmod 755 "$scratch"
pg=/usr/lib/postgresql/15/bin
server=
as_postgres() { if [[ $EUID == 0 ]]; then setpriv --reuid postgres --regid postgres --clear-groups "$@"; else "$@"; fi; }
clean_up() {
    if [[ -n $server ]]; then kill "$server" 2>/dev/null || true; fi
    [[ ! -d $scratch/pg/base ]] || as_postgres "$pg/pg_ctl" -D "$scratch/pg" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap clean_up EXIT

echo "== the same rows as one narrow file"
python3 - "$wide" "$scratch/rows.csv" <<'PY'
import csv, pathlib, sys
rows = 0
with open(sys.argv[2], "w", newline="") as out:
    writer = csv.writer(out)
    for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            head = next(reader)
            if "Indicator Code" not in head:
                continue
            code, country = head.index("Indicator Code"), head.index("Country Code")
            years = [(at, name) for at, name in enumerate(head) if name.isdigit()]
            for row in reader:
                for at, year in years:
                    if at < len(row) and row[at]:
                        writer.writerow((row[code], row[country], year, row[at]))
                        rows += 1
print(rows, "rows")
PY
chmod 644 "$scratch/rows.csv"

echo "== PostgreSQL: COPY into a keyed table, durable as it comes"
mkdir "$scratch/pg" && { [[ $EUID != 0 ]] || chown postgres "$scratch/pg"; }
as_postgres "$pg/initdb" -D "$scratch/pg" >/dev/null
as_postgres "$pg/pg_ctl" -D "$scratch/pg" -o "-c listen_addresses='' -c unix_socket_directories=$scratch/pg" -w start >/dev/null
psql=(as_postgres psql -h "$scratch/pg" -d postgres -qAt)
"${psql[@]}" -c 'CREATE TABLE observation (indicator text, entity text, period int, value double precision,
    PRIMARY KEY (indicator, entity, period))'
began=$(date +%s.%N)
"${psql[@]}" -c "COPY observation FROM '$scratch/rows.csv' (FORMAT csv)"
ended=$(date +%s.%N)
"${psql[@]}" -c "SELECT count(*) || ' rows, ' || pg_size_pretty(pg_total_relation_size('observation')) FROM observation"
python3 -c "rows=$("${psql[@]}" -c 'SELECT count(*) FROM observation'); s=$ended-$began; print(f'{s:.1f} s, {rows/s:,.0f} rows/s')"
as_postgres "$pg/pg_ctl" -D "$scratch/pg" -m fast stop >/dev/null

echo "== the writer alone"
cargo bench --bench storage --locked -- "$wide" 2>/dev/null

echo "== almanac import through a socket, the economies and indicators defined on the way"
"$almanac" serve --data "$scratch/data" --listen 127.0.0.1:0 2>"$scratch/log" &
server=$!
until grep -q 'listens on' "$scratch/log"; do sleep 0.1; done
export ALMANAC_SERVER=http://$(sed -n 's|.*listens on http://||p' "$scratch/log")
"$almanac" define data/catalog/economies.json data/catalog/sources.json >/dev/null
began=$(date +%s.%N)
"$almanac" import "$wide" --profile wdi-wide --released 2013-12-21 --define-missing --one-commit | tail -3
ended=$(date +%s.%N)
values=$("$almanac" status --json | sed -n 's/.*"currentValues": "\([0-9]*\)".*/\1/p')
python3 -c "s=$ended-$began; print(f'{s:.1f} s, {$values/s:,.0f} values/s')"
"$almanac" status | sed -n '3,5p;8p'
echo "server's memory, at most: $(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$server/status") MiB"
kill "$server"
wait "$server" || true
began=$(date +%s.%N)
"$almanac" serve --data "$scratch/data" --listen 127.0.0.1:0 2>"$scratch/log" &
server=$!
until grep -q 'listens on' "$scratch/log"; do sleep 0.01; done
ended=$(date +%s.%N)
python3 -c "print(f'started again, ready in {$ended-$began:.2f} s')"
