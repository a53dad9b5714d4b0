"""Checks breaking.py. Needs the path of buf in the variable BUF."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import breaking

# A message of buf, the name of its rule, and the symbol and parent that belong to it.
CASES = [
    ('Field "2" on message "Edition" changed name from "edition" to "id".', "FIELD_SAME_NAME", "Edition.edition", "Edition"),
    ('Field "2" with name "id" on message "Edition" changed option "json_name" from "edition" to "id".',
     "FIELD_SAME_JSON_NAME", "Edition.edition", "Edition"),
    ('Previously present field "2" with name "edition" on message "Edition" was deleted.',
     "FIELD_NO_DELETE", "Edition.edition", "Edition"),
    ('Field "1" with name "opened" on message "Row"q moved from oneof "message" to oneof "body".',
     "FIELD_SAME_ONEOF", "Row.message", "Row"),
    ('Field "2" with name "id" on message "Edition" moved from outside to inside a oneof.',
     "FIELD_SAME_ONEOF", "Edition.edition", "Edition"),
    ('Previously present oneof "what" on message "Change" was deleted.', "ONEOF_NO_DELETE", "Change.what", "Change"),
    ('Previously present message "Standing" was deleted from file.', "MESSAGE_NO_DELETE", "Standing", ""),
    ('Previously present enum "Scope" was deleted from file.', "ENUM_NO_DELETE", "Scope", ""),
    ('Previously present enum value "3" on enum "Scope" was deleted.', "ENUM_VALUE_NO_DELETE", "SCOPE_LEFT", "Scope"),
    ('Enum value "0" on enum "Scope" changed name from "SCOPE_UNSPECIFIED" to "SCOPE_ANY".',
     "ENUM_VALUE_SAME_NAME", "SCOPE_UNSPECIFIED", "Scope"),
    ('Previously present RPC "Subscribe" on service "FeedService" was deleted.',
     "RPC_NO_DELETE", "FeedService.Subscribe", "FeedService"),
    ('Previously present service "FeedService" was deleted from file.', "SERVICE_NO_DELETE", "FeedService", ""),
    ('Previously present reserved name "zz" on message "Edition" was deleted.',
     "RESERVED_MESSAGE_NO_DELETE", "Edition", ""),
    ('Previously present file "feed.proto" was deleted.', "FILE_NO_DELETE", "feed.proto", ""),
    ('File option "go_package" changed from "" to "almanac/v1".', "FILE_SAME_GO_PACKAGE", "go_package", ""),
    ('File package changed from "x.v1" to "x.v2".', "FILE_SAME_PACKAGE", "FILE_SAME_PACKAGE", ""),
]

IMAGE = {
    "file": [
        {
            "messageType": [
                {"name": "Edition", "field": [{"name": "ranking", "number": 1}, {"name": "edition", "number": 2}]},
            ],
            "enumType": [
                {"name": "Scope", "value": [{"name": "SCOPE_UNSPECIFIED"}, {"name": "SCOPE_LEFT", "number": 3}]},
            ],
        }
    ]
}

CHANGELOG = """# Changelog

## [0.2.0] - unreleased

### Breaking

- `Edition.edition` is now `Edition.id`: it clashed
  with `Edition`.
- `Scope`,
  `Severity`: renamed.

### Added

- `Absence`.

## [0.1.0]

### Breaking

- `Standing`: an older one.
"""


class Symbols(unittest.TestCase):
    def test_each_kind_of_break_has_its_symbol_in_the_released_contract(self):
        names = breaking.Names(IMAGE)
        for text, rule, symbol, parent in CASES:
            with self.subTest(text):
                found = breaking.to_break({"type": rule, "message": text}, names)
                self.assertEqual((found.symbol, found.parent), (symbol, parent))


class Listed(unittest.TestCase):
    def test_names_before_the_colon_count_and_no_others(self):
        listed = breaking.listed_names(breaking.section(CHANGELOG, "0.2.0"))
        self.assertEqual(listed, {"Edition.edition", "Edition.id", "Scope", "Severity"})

    def test_a_version_without_the_subsection_lists_nothing(self):
        self.assertEqual(breaking.section(CHANGELOG, "0.2"), "")
        self.assertEqual(breaking.section("## 0.2.0\n\n## 0.1.0\n\n### Breaking\n", "0.2.0"), "")


class Contract(unittest.TestCase):
    """The contract as it is now, used as the released one, and a copy without one field."""

    def setUp(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.copy = folder / "proto"
        self.released = folder / "released"
        self.released.mkdir()
        self.changelog = folder / "CHANGELOG.md"
        shutil.copytree(breaking.ROOT / "proto", self.copy)
        self.version = tomllib.loads((breaking.ROOT / "Cargo.toml").read_text())["package"]["version"]
        self.changelog.write_text(f"# Changelog\n\n## {self.version}\n\n### Breaking\n\n")

    def take_for_released(self, version: str):
        target = self.released / f"v{version}.binpb"
        subprocess.run([os.environ["BUF"], "build", self.copy, "-o", target], check=True)

    def remove_a_field(self) -> str:
        types = self.copy / "almanac/v1/types.proto"
        text = types.read_text()
        kept = re.sub(r"^(message Edition \{.*?)^  string title = 3;\n", r"\1", text, count=1, flags=re.M | re.S)
        self.assertNotEqual(text, kept)
        types.write_text(kept)
        return "Edition.title"

    def check(self) -> subprocess.CompletedProcess:
        script = Path(breaking.__file__)
        options = ["--proto", self.copy, "--released", self.released, "--changelog", self.changelog]
        return subprocess.run([sys.executable, script, os.environ["BUF"], *options], capture_output=True, text=True)

    def test_the_same_contract_passes(self):
        self.take_for_released("0.0.1")
        run = self.check()
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_a_removed_field_fails_until_the_line_that_the_check_prints_is_in_the_changelog(self):
        self.take_for_released("0.0.1")
        symbol = self.remove_a_field()
        run = self.check()
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        lines = [line for line in run.stdout.splitlines() if line.startswith("- ")]
        self.assertEqual(len(lines), 1, run.stdout)
        self.assertIn(f"`{symbol}`:", lines[0])
        with self.changelog.open("a") as changelog:
            changelog.write(lines[0] + "\n")
        run = self.check()
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_a_released_version_takes_no_break(self):
        self.take_for_released(self.version)
        self.remove_a_field()
        run = self.check()
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        self.assertIn("raise the version", run.stderr)

    def test_the_newest_released_contract_is_the_one_that_counts(self):
        self.take_for_released("0.0.9")
        self.remove_a_field()
        self.take_for_released("0.0.10")
        run = self.check()
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_a_contract_that_does_not_compile_fails(self):
        self.take_for_released("0.0.1")
        (self.copy / "almanac/v1/types.proto").write_text("syntax")
        run = self.check()
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        self.assertIn("buf breaking failed", run.stderr)


if __name__ == "__main__":
    unittest.main()
