"""Processes and waiting: what every check needs."""

import difflib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

# The longest run of a program: a debug build on a busy machine takes minutes for an edition of 12 MB.
RUN_SECONDS = 600

# Every process that was started and has not been waited for.
_running: list[subprocess.Popen] = []


class CheckFailed(Exception):
    """What a check expected, and what it saw instead."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise CheckFailed(what)


def check_texts(answer: str, *texts: str) -> None:
    for text in texts:
        check(text in answer, f"no '{text}' in:\n{answer}")


def check_same(first_name: str, first: list[str], second_name: str, second: list[str]) -> None:
    difference = difflib.unified_diff(first, second, first_name, second_name, lineterm="")
    check(first == second, "\n".join(difference))


def start(command: list[str | Path], out: Path, errors: Path | None = None) -> subprocess.Popen:
    """Starts a process in the background. Without `errors` it prints its errors where this program does."""
    with out.open("wb") as out_file:
        if errors is None:
            process = subprocess.Popen(command, stdout=out_file)
        else:
            with errors.open("wb") as error_file:
                process = subprocess.Popen(command, stdout=out_file, stderr=error_file)
    _running.append(process)
    return process


def end(process: subprocess.Popen) -> int:
    """Asks a process to end, and gives its exit status."""
    process.terminate()
    return wait_for_end(process)


def wait_for_end(process: subprocess.Popen) -> int:
    try:
        status = process.wait(RUN_SECONDS)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"still running after {RUN_SECONDS} s: {process.args}") from None
    _running.remove(process)
    return status


def kill_all() -> None:
    """Leaves no process behind, whatever happened."""
    for process in _running:
        process.kill()
        process.wait()
    _running.clear()


def output_of(command: list[str | Path], server: str = "") -> str:
    """What a command prints. It must succeed. `server` becomes its ALMANAC_SERVER."""
    environment = dict(os.environ, ALMANAC_SERVER=server) if server else None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"still running after {RUN_SECONDS} s: {command}") from None
    check(done.returncode == 0, f"failed with {done.returncode}: {command}\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(holds: Callable[[], bool], deadline: float, failure: Callable[[], str]) -> None:
    """Waits for something that happens in another process. `deadline` is one of `time.monotonic()`."""
    while not holds():
        check(time.monotonic() < deadline, failure())
        time.sleep(0.1)


def address_of(process: subprocess.Popen, out: Path) -> str:
    """The address that a helper prints in its first line."""
    def failure() -> str:
        return f"no address from {process.args}"

    wait_until(lambda: out.read_text().endswith("\n"), time.monotonic() + 30, failure)
    return out.read_text().strip()
