#!/usr/bin/env python3
"""Fails if the contract breaks clients of the last released version and CHANGELOG.md does not list the break.

    .ci/breaking.py BUF

It compares proto/ with the newest file of proto/released/ by `buf breaking`. Each break has a symbol: `Edition.edition`,
`Standing`, `FeedService.Subscribe`, `SCOPE_LEFT`, `go_package`. CHANGELOG.md lists the break if the symbol, or the
message, enum or service that it belongs to, is in backticks in an item of "### Breaking" under the version of Cargo.toml,
before the first colon of the item. Text after the colon is explanation: a name there does not count.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# Exit status of buf when it found breaks.
BUF_FOUND = 100


class Break(NamedTuple):
    symbol: str
    # The message, enum or service that the symbol belongs to; empty if none.
    parent: str
    text: str


class Names:
    """Fields and enum values of the released contract, by the name of their type and their number.

    buf reports the new name of a field. The changelog uses the old one, which clients know.
    """

    def __init__(self, image: dict):
        self._names: dict[tuple[str, int], str] = {}
        for file in image["file"]:
            self._add(file)

    def _add(self, scope: dict) -> None:
        for message in scope.get("messageType", []) + scope.get("nestedType", []):
            for field in message.get("field", []):
                self._names[message["name"], field["number"]] = field["name"]
            self._add(message)
        for enum in scope.get("enumType", []):
            for value in enum["value"]:
                # JSON leaves out the number 0.
                self._names[enum["name"], value.get("number", 0)] = value["name"]

    def of(self, parent: str, number: str) -> str:
        return self._names.get((parent, int(number)), number)


def to_break(violation: dict, names: Names) -> Break:
    text = violation["message"]

    def quoted(pattern: str) -> str:
        found = re.search(pattern + r' "([^"]*)"', text)
        return found.group(1) if found else ""

    message = quoted("(?:on|from) message")
    enum = quoted("on enum")
    service = quoted("on service")
    if message:
        oneof = quoted("(?:Previously present|moved from) oneof")
        number = quoted("(?:Field|field)")
        if oneof:
            return Break(f"{message}.{oneof}", message, text)
        if number:
            return Break(f"{message}.{names.of(message, number)}", message, text)
        return Break(message, "", text)
    if enum:
        number = quoted("(?:Enum|enum) value")
        return Break(names.of(enum, number), enum, text) if number else Break(enum, "", text)
    if service:
        return Break(f"{service}.{quoted('RPC')}", service, text)
    whole = quoted("(?:[Mm]essage|[Ee]num|[Ss]ervice|file|File option)")
    # A break of a kind that this script does not know has the name of buf's rule as its symbol.
    return Break(whole or violation["type"], "", text)


def section(changelog: str, version: str) -> str:
    """The text of "### Breaking" of a version; empty if there is none."""
    of_version = re.search(rf"^## \[?{re.escape(version)}\]?(?!\S).*?(?=^## |\Z)", changelog, re.M | re.S)
    breaking = re.search(r"^### Breaking$.*?(?=^### |\Z)", of_version.group(), re.M | re.S) if of_version else None
    return breaking.group() if breaking else ""


def listed_names(breaking: str) -> set[str]:
    names: set[str] = set()
    for item in re.split(r"^- ", breaking, flags=re.M)[1:]:
        names.update(re.findall(r"`([^`]+)`", item.split(":")[0]))
    return names


def version_of(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.stem.removeprefix("v").split("."))


def buf_output(buf: str, *arguments: str) -> str:
    run = subprocess.run([buf, *arguments], capture_output=True, text=True)
    if run.returncode not in (0, BUF_FOUND) or '"type":"COMPILE"' in run.stdout:
        sys.exit(f"buf {arguments[0]} failed: {run.stderr}{run.stdout}")
    return run.stdout


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("buf", metavar="BUF", help="the program buf")
    options.add_argument("--proto", type=Path, default=ROOT / "proto", help="the contract as it is now")
    options.add_argument("--released", type=Path, default=ROOT / "proto/released", help="folder of released contracts")
    options.add_argument("--changelog", type=Path, default=ROOT / "CHANGELOG.md")
    chosen = options.parse_args()

    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    released = max(chosen.released.glob("v*.binpb"), key=version_of, default=None)
    if released is None:
        sys.exit(f"{chosen.released} holds no released contract")
    names = Names(json.loads(buf_output(chosen.buf, "build", str(released), "-o", "-#format=json")))
    found = buf_output(
        chosen.buf, "breaking", str(chosen.proto), "--against", str(released), "--error-format", "json"
    )
    breaks = [to_break(json.loads(line), names) for line in found.splitlines()]
    if breaks and released.stem == f"v{version}":
        sys.exit(f"version {version} is released, and the contract breaks it: raise the version in Cargo.toml")

    listed = listed_names(section(chosen.changelog.read_text(), version))
    # One line for each symbol, with the first message of buf about it.
    missing: dict[str, str] = {}
    for one in breaks:
        if one.symbol not in listed and one.parent not in listed:
            missing.setdefault(one.symbol, one.text)
    if missing:
        print(f'These breaks of {released.stem} are not in {chosen.changelog.name}. Add to "### Breaking" of {version},')
        print("with the reason and what to use instead:")
        for symbol, text in missing.items():
            print(f"- `{symbol}`: {text}")
        sys.exit(1)
    print(f"{len(breaks)} breaks of {released.stem}, all of them listed")


if __name__ == "__main__":
    main()
