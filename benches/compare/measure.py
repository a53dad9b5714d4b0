"""What a load took, and the processes that it ran in."""

import dataclasses
import pathlib
import threading


@dataclasses.dataclass
class Load:
    """One load of all rows."""

    seconds: float
    rows: int
    bytes: int
    # Most memory while loading, in MiB.
    memory: float
    # Figures that only some loads have, by name.
    more: dict = dataclasses.field(default_factory=dict)

    @property
    def rate(self):
        return self.rows / self.seconds


def median(figures):
    """The middle one, the lower of two."""
    return sorted(figures)[(len(figures) - 1) // 2]


def folder_bytes(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())


def memory_mib(pid, line):
    """A line of /proc/PID/status, in MiB."""
    for text in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith(line + ":"):
            return int(text.split()[1]) / 1024
    raise RuntimeError(f"{line} of {pid} is not known")


def family_mib(parent):
    """The memory of a process and its children, in MiB. What they share counts once."""
    total = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # After the name, which is in parentheses: the state, then the parent.
            of = int((folder / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            if parent in (of, int(folder.name)):
                rollup = (folder / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue  # It ended meanwhile.
    return total / 1024


class FamilyPeak:
    """Watches the memory of a process and its children."""

    PAUSE = 0.2

    def __init__(self, parent):
        self.parent = parent
        self.mib = 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ended.wait(self.PAUSE):
            self.mib = max(self.mib, family_mib(self.parent))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
