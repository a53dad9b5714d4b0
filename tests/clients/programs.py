"""The example programs, by language."""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import harness

# Python, Node, Go, and gRPC-Web as a browser speaks it.
LANGUAGES = ("py", "mjs", "go", "web")


@dataclass
class Watcher:
    """A client that keeps a copy of the state: a process and what it prints."""

    language: str
    process: subprocess.Popen
    # The state, commits and changes.
    out: Path
    # What the client says about its connections.
    log: Path

    def wait(self) -> None:
        status = harness.wait_for_end(self.process)
        harness.check(status == 0, f"the client ended with {status}: {self.report()}")

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines()

    def revisions(self) -> list[int]:
        """The commits that the client printed, in its order."""
        commits = [re.match(r"revision (\d+) ", line) for line in self.lines()]
        return [int(commit.group(1)) for commit in commits if commit]

    def says_silent(self) -> bool:
        return re.search("^the server is silent", self.log.read_text(), re.M) is not None

    def report(self) -> str:
        return f"{self.language}:\n{self.out.read_text()}{self.log.read_text()}"


class Programs:
    def __init__(self, tools: Path, scratch: Path):
        """`tools` is the folder that `install` filled."""
        self.python = tools / "python/bin/python"
        self._go = tools / "go/bin"
        self._scratch = scratch

    def command(self, language: str, program: str, address: str) -> list[str | Path]:
        commands = {
            "py": [self.python, f"examples/python/{program}.py", "--server", address],
            "mjs": ["node", f"examples/node/{program}.mjs", "--server", address],
            "go": [self._go / program, "--server", address],
            "web": ["node", f"examples/web/{program}.mjs", "--server", f"http://{address}"],
        }
        return commands[language]

    def output(self, language: str, program: str, address: str, *options: str) -> list[str]:
        command = self.command(language, program, address)
        return harness.output_of([*command, *options]).splitlines()

    def state_file(self, language: str) -> Path:
        """A client goes on where the last one with the same file ended."""
        return self._scratch / f"{language}.state"

    def watch(self, language: str, name: str, address: str, until: int, *options: str) -> Watcher:
        """Starts the client that keeps a copy; it ends at the revision `until`. `name` is that of the check."""
        command = self.command(language, "watch", address)
        command += ["--state-file", self.state_file(language), "--until", str(until), *options]
        out = self._scratch / f"{name}.{language}.out"
        log = self._scratch / f"{name}.{language}.log"
        return Watcher(language, harness.start(command, out, log), out, log)


def check_all_same(watchers: list[Watcher]) -> None:
    """Clients in all languages print the same. The client by gRPC-Web prints commits without their changes."""
    first = watchers[0]
    for other in watchers[1:]:
        expected = first.lines()
        if other.language == "web":
            expected = [line for line in expected if line.startswith(("state", "revision"))]
        harness.check_same(str(first.out), expected, str(other.out), other.lines())


def check_counts(watcher: Watcher) -> None:
    """Each commit has as many changes below it as its line says."""
    missing = 0
    for line in watcher.lines():
        if line.startswith("revision"):
            harness.check(missing == 0, f"a commit without all its changes: {watcher.report()}")
            missing = int(line.split()[-2])
        elif not line.startswith("state"):
            missing -= 1
    harness.check(missing == 0, f"a commit without all its changes: {watcher.report()}")


def wait_for_all(watchers: list[Watcher], seconds: float, what: str, holds: Callable[[Watcher], bool]) -> None:
    """`holds` becomes true for each watcher within the time that they have together."""
    deadline = time.monotonic() + seconds
    for watcher in watchers:
        harness.wait_until(lambda: holds(watcher), deadline, lambda: f"{what}: {watcher.report()}")
