"""Loads the rows into DuckDB or SQLite, in a process of its own so that its memory can be read; prints a JSON object.

    embedded.py VARIANT ROWS FILE

What is timed ends when the file is synced.
"""

import csv
import json
import os
import resource
import subprocess
import sys
import time

TABLE = "CREATE TABLE observation (indicator TEXT, entity TEXT, period INTEGER, value DOUBLE"
KEY = "(indicator, entity, period)"
COLUMNS = "{'indicator': 'VARCHAR', 'entity': 'VARCHAR', 'period': 'INTEGER', 'value': 'DOUBLE'}"


def duckdb_load(variant, rows, file):
    import duckdb

    database = duckdb.connect(file)
    for setting in ("threads = 2", "preserve_insertion_order = false"):
        database.execute(f"SET {setting}")
    read = f"SELECT * FROM read_csv('{rows}', header = false, columns = {COLUMNS})"
    began = time.monotonic()
    keyed = variant != "afterwards"
    database.execute(TABLE + (f", PRIMARY KEY {KEY})" if keyed else ")"))
    match variant:
        case "insert" | "afterwards":
            database.execute(f"INSERT INTO observation {read}")
        case "sorted":
            database.execute(f"INSERT INTO observation {read} ORDER BY indicator, entity, period")
        case "copy":
            database.execute(f"COPY observation FROM '{rows}' (FORMAT csv, HEADER false)")
    if not keyed:
        database.execute(f"ALTER TABLE observation ADD PRIMARY KEY {KEY}")
    database.execute("CHECKPOINT")
    sync(file)
    seconds = time.monotonic() - began
    count = database.execute("SELECT count(*) FROM observation").fetchone()[0]
    database.close()
    return seconds, count


def sqlite_load(variant, rows, file):
    import sqlite3

    journal = "WAL" if variant == "wal" else "DELETE"
    settings = [f"journal_mode = {journal}", "synchronous = FULL", "cache_size = -1000000", "temp_store = MEMORY"]
    create = f"{TABLE}, PRIMARY KEY {KEY}) WITHOUT ROWID"
    began = time.monotonic()
    if variant == "shell":
        script = [f"PRAGMA {setting};" for setting in settings]
        script += [f"{create};", f".import --csv {rows} observation"]
        subprocess.run(["sqlite3", file], input="\n".join(script), text=True, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        database = sqlite3.connect(file)
    else:
        database = sqlite3.connect(file, isolation_level=None)
        for setting in settings:
            database.execute(f"PRAGMA {setting}")
        database.execute(create)
        with open(rows, newline="") as lines:
            database.execute("BEGIN")
            database.executemany("INSERT INTO observation VALUES (?, ?, ?, ?)", csv.reader(lines))
            database.execute("COMMIT")
        if variant == "wal":
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        seconds = time.monotonic() - began
    count = database.execute("SELECT count(*) FROM observation").fetchone()[0]
    database.close()
    return seconds, count


def sync(file):
    handle = os.open(file, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def main():
    engine, variant = sys.argv[1].split("-")
    load = {"duckdb": duckdb_load, "sqlite": sqlite_load}[engine]
    seconds, count = load(variant, sys.argv[2], sys.argv[3])
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    folder = os.path.dirname(sys.argv[3])
    size = sum(entry.stat().st_size for entry in os.scandir(folder))
    print(json.dumps({"seconds": seconds, "rows": count, "bytes": size, "memory": max(own, children) / 1024}))


main()
