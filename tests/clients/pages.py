#!/usr/bin/env python3
"""Runs the Python and Node blocks of README.md and docs/ against a server with the sample data.

    tests/clients/pages.py --server HOST:PORT --python PATH

A block runs in the folder of the examples of its language, where the clients are installed and generated. What it prints is
compared with the `text` block that follows it, if one does.
"""

import argparse
import difflib
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The address that pages show.
SHOWN_SERVER = "127.0.0.1:50051"
SECONDS_MAX = 60
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    """Line, language, text and expected output of each block; None where no output is shown."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    for at, block in enumerate(found):
        expected = None
        if at + 1 < len(found):
            after = found[at + 1]
            if after[1] == "text" and not text[block.end():after.start()].strip():
                expected = after[2]
        yield text.count("\n", 0, block.start()) + 1, block[1], block[2], expected


def run(command, folder, text):
    """What a block prints, and why it failed, if it did."""
    try:
        done = subprocess.run(command, cwd=ROOT / folder, input=text, capture_output=True, text=True, encoding="utf-8",
                              timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return "", f"did not end within {SECONDS_MAX} s"
    return done.stdout, done.stderr if done.returncode else None


def difference(expected, printed):
    lines = difflib.unified_diff(expected.splitlines(), printed.splitlines(), "the page", "printed", lineterm="")
    return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--server", required=True, metavar="HOST:PORT")
    arguments.add_argument("--python", required=True, metavar="PATH", help="an interpreter with examples/python/requirements.txt")
    arguments.add_argument("--node", default="node", metavar="PATH")
    options = arguments.parse_args()
    languages = {
        # Absolute, not resolved: an interpreter of a virtual environment is a link, and the block runs in another folder.
        "python": ([pathlib.Path(options.python).absolute(), "-"], "examples/python"),
        "js": ([options.node, "--input-type=module", "-"], "examples/node"),
    }

    ran, failed = 0, 0
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for line, language, text, expected in blocks(page):
            if language not in languages:
                continue
            printed, error = run(*languages[language], text.replace(SHOWN_SERVER, options.server))
            ran += 1
            if error is None and expected is not None and printed != expected:
                error = difference(expected, printed)
            if error is not None:
                failed += 1
                print(f"{page.relative_to(ROOT)}:{line}: {error}", file=sys.stderr)
    print(f"pages: {ran - failed} passed, {failed} failed")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
