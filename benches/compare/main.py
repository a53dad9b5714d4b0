"""Loads the same rows into Almanac and its peers, in turns, and prints medians and ratios. compare.sh starts it."""

import argparse
import csv
import pathlib
import shutil
import sys

from almanac import Import, Writer
from measure import median
from peers import DuckDb, PostgreSql, Sqlite

ROUNDS = 3
# Files of --quick.
QUICK_FILES = 40
SUBJECTS = ("postgresql", "duckdb", "sqlite", "almanac", "writer")


def wide_files(folder):
    """The wide files below a folder, in order; the others are lists of names."""
    found = []
    for path in sorted(folder.rglob("*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            if "Indicator Code" in next(csv.reader(file), []):
                found.append(path)
    return found


def write_rows(files, out):
    """Writes one line for each value: indicator, entity, year, value. Returns how many."""
    rows = 0
    with open(out, "w", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        for path in files:
            with open(path, newline="", encoding="utf-8") as file:
                reader = csv.reader(file)
                head = next(reader)
                code, country = head.index("Indicator Code"), head.index("Country Code")
                years = [(at, name) for at, name in enumerate(head) if name.isdigit()]
                for row in reader:
                    found = [(year, row[at]) for at, year in years if at < len(row) and row[at]]
                    writer.writerows((row[code], row[country], year, value) for year, value in found)
                    rows += len(found)
    return rows


class Table:
    """All loads, by subject and variant, in rounds."""

    def __init__(self, rows, path, rounds):
        self.rows = rows
        self.path = path
        self.rounds = rounds
        self.loads = {}

    def run(self, subjects):
        for turn in range(self.rounds):
            for subject in subjects:
                for variant in subject.variants if turn == 0 else self.variants_to_repeat(subject):
                    load = subject.load(variant, self.path)
                    if load.rows != self.rows:
                        sys.exit(f"{subject.name} ({variant}) holds {load.rows} rows instead of {self.rows}")
                    self.loads.setdefault((subject.name, variant), []).append(load)
                    print(f"  round {turn + 1}: {subject.name}, {variant}: {load.seconds:.1f} s", flush=True)

    def variants_to_repeat(self, subject):
        """Of a peer, the first round shows which way is the fastest; `afterwards` is always measured."""
        if subject.name not in (DuckDb.name, Sqlite.name):
            return subject.variants
        fastest = self.fastest(subject)
        return [variant for variant in subject.variants if variant in (fastest, "afterwards")]

    def fastest(self, subject):
        """The fastest variant with the key in the table before the rows."""
        keyed = [variant for variant in subject.variants if variant != "afterwards"]
        return min(keyed, key=lambda variant: self.loads[subject.name, variant][0].seconds)

    def print(self, subjects):
        print(f"{'':32} {'rows/s':>10} {'seconds':>8} {'MB':>7} {'MiB at most':>11}")
        for subject in subjects:
            print(f"{subject.name}: {subject.settings}")
            for variant in subject.variants:
                loads = self.loads[subject.name, variant]
                rate = median([load.rate for load in loads])
                seconds = median([load.seconds for load in loads])
                size = median([load.bytes for load in loads]) / 1e6
                memory = max(load.memory for load in loads)
                rounds = "" if len(loads) == self.rounds else " (one round)"
                print(f"  {variant + rounds:30} {rate:10,.0f} {seconds:8.1f} {size:7.1f} {memory:11.0f}")
                for name, text in {
                    "after": "server after the load: {:.0f} MiB",
                    "ready": "started again in {:.2f} s",
                    "uploaded": "rows/s with the upload: {:,.0f}",
                }.items():
                    if name in loads[0].more:
                        print("    " + text.format(median([load.more[name] for load in loads])))

    def print_ratio(self, subject, variant, peer, peer_variant, budget):
        """The median of the ratios of rounds: of rows a second."""
        ours = self.loads[subject.name, variant]
        theirs = self.loads[peer.name, peer_variant]
        ratio = median([load.rate / other.rate for load, other in zip(ours, theirs)])
        met = "" if budget is None else f" (≥ {budget:g}, {'met' if ratio >= budget else 'MISSED'})"
        print(f"  {subject.name} ({variant}) / {peer.name} ({peer_variant}): {ratio:.2f}{met}")


def print_ratios(table, subjects):
    """The budgets: the key is in the table before the rows, as it is in Almanac. Keys made afterwards are shown too."""
    by_name = {subject.name: subject for subject in subjects}
    print("ratios of rows/s")
    almanac = by_name.get("almanac import")
    for peer, budget in ((PostgreSql, 3), (DuckDb, 1), (Sqlite, None)):
        peer = by_name.get(peer.name)
        if almanac is None or peer is None:
            continue
        for variant in Import.variants:
            keyed = table.fastest(peer)
            table.print_ratio(almanac, variant, peer, keyed, budget if variant == "one" else None)
            if "afterwards" in peer.variants:
                table.print_ratio(almanac, variant, peer, "afterwards", None)
    for new, old, budget in (("almanac import", "old almanac import", None), ("the writer", "the old writer", 2)):
        if old in by_name:
            for variant in by_name[old].variants:
                table.print_ratio(by_name[new], variant, by_name[old], variant, budget)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("wide", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--old")
    parser.add_argument("--old-storage")
    parser.add_argument("--only", type=lambda text: text.split(","), default=SUBJECTS)
    for option in ("--scratch", "--root", "--almanac", "--storage"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    scratch = pathlib.Path(options.scratch)
    wide = options.wide.resolve()
    files = wide_files(wide)
    if not files:
        sys.exit(f"no wide files in {wide}")
    rounds = options.rounds
    if options.quick:
        wide = scratch / "wide"
        wide.mkdir()
        files = [pathlib.Path(shutil.copy(path, wide)) for path in files[:QUICK_FILES]]
        rounds = 1
    path = scratch / "rows.csv"
    rows = write_rows(files, path)
    path.chmod(0o644)
    print(f"{rows:,} rows in {len(files)} files, {rounds} rounds in turns")

    subjects = []
    for name, peer in (("postgresql", PostgreSql), ("duckdb", DuckDb), ("sqlite", Sqlite)):
        if name in options.only and not peer.is_there():
            print(f"  {peer.name} is not on this machine")
        elif name in options.only:
            subjects.append(peer(scratch))
    if "almanac" in options.only:
        subjects.append(Import("almanac import", options.almanac, wide, options.root, scratch))
        if options.old:
            subjects.append(Import("old almanac import", options.old, wide, options.root, scratch))
    if "writer" in options.only:
        subjects.append(Writer("the writer", options.storage, wide))
        if options.old_storage:
            subjects.append(Writer("the old writer", options.old_storage, wide))
    table = Table(rows, path, rounds)
    table.run(subjects)
    table.print(subjects)
    print_ratios(table, subjects)


main()
