"""What a user would take instead, each in its fastest setting that is as durable."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from measure import FamilyPeak, Load

POSTGRESQL = pathlib.Path("/usr/lib/postgresql/15/bin")
POSTGRESQL_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # A table that the same transaction creates is then synced at the commit, and not written to the log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "shared_buffers": "2GB",
    "maintenance_work_mem": "1GB",
}
TABLE = "CREATE TABLE observation (indicator text, entity text, period int, value double precision"
KEY = "PRIMARY KEY (indicator, entity, period)"


class PostgreSql:
    """PostgreSQL 15 with `COPY`. Variants: `keyed`, the table has its key; `afterwards`, it gets it after the rows."""

    name = "PostgreSQL"
    variants = ("keyed", "afterwards")
    settings = ", ".join(f"{name} = {value}" for name, value in POSTGRESQL_SETTINGS.items())

    def __init__(self, scratch):
        self.folder = scratch / "postgresql"

    @staticmethod
    def is_there():
        return (POSTGRESQL / "postgres").exists()

    def run(self, *command, **options):
        # PostgreSQL refuses to run as root.
        if os.geteuid() == 0:
            command = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", *command)
        return subprocess.run(command, check=True, text=True, cwd="/", **options)

    def load(self, variant, rows):
        self.folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        control = (POSTGRESQL / "pg_ctl", "-D", self.folder)
        initdb = (POSTGRESQL / "initdb", "-D", self.folder, "--locale=C", "--encoding=UTF8", "--auth=trust")
        self.run(*initdb, stdout=subprocess.DEVNULL)
        options = [f"-c {name}={value}" for name, value in POSTGRESQL_SETTINGS.items()]
        options += ["-c listen_addresses=", f"-c unix_socket_directories={self.folder}"]
        self.run(*control, "-o", " ".join(options), "-w", "start", stdout=subprocess.DEVNULL)
        try:
            postmaster = int((self.folder / "postmaster.pid").read_text().split()[0])
            with FamilyPeak(postmaster) as peak:
                seconds = self.copy(variant, rows)
            count, size = self.ask("SELECT count(*), pg_total_relation_size('observation') FROM observation").split("|")
            return Load(seconds, int(count), int(size), peak.mib)
        finally:
            self.run(*control, "-m", "immediate", "stop", stdout=subprocess.DEVNULL)
            shutil.rmtree(self.folder)

    def copy(self, variant, rows):
        create = f"{TABLE}, {KEY})" if variant == "keyed" else f"{TABLE})"
        steps = [create, f"COPY observation FROM '{rows}' (FORMAT csv)"]
        if variant == "afterwards":
            steps.append(f"ALTER TABLE observation ADD {KEY}")
        began = time.monotonic()
        self.ask(f"BEGIN; {'; '.join(steps)}; COMMIT")
        return time.monotonic() - began

    def ask(self, statement):
        psql = (POSTGRESQL / "psql", "-h", self.folder, "-d", "postgres", "-qAt", "-c", statement)
        return self.run(*psql, stdout=subprocess.PIPE).stdout.strip()


class Embedded:
    """A database in the process that loads it."""

    def __init__(self, scratch):
        self.folder = scratch / self.engine

    @staticmethod
    def is_there():
        return True

    def load(self, variant, rows):
        self.folder.mkdir()
        script = pathlib.Path(__file__).with_name("embedded.py")
        command = (sys.executable, "-B", script, f"{self.engine}-{variant}", rows, self.folder / "database")
        try:
            printed = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
            return Load(**json.loads(printed))
        finally:
            shutil.rmtree(self.folder)


class DuckDb(Embedded):
    """Variants: `INSERT … SELECT FROM read_csv`, the same sorted by the key, `COPY`, and the key after the rows."""

    name = "DuckDB"
    engine = "duckdb"
    variants = ("insert", "sorted", "copy", "afterwards")
    settings = "threads = 2, preserve_insertion_order = false, CHECKPOINT and fsync at the end"


class Sqlite(Embedded):
    """Variants: Python's module with a rollback journal and with WAL, and `.import` of the shell if it is there."""

    name = "SQLite"
    engine = "sqlite"
    variants = ("python", "wal", *(("shell",) if shutil.which("sqlite3") else ()))
    settings = "WITHOUT ROWID, one transaction, synchronous = FULL, 1 GB of cache"
