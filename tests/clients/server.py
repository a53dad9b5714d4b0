"""The service, and the command line against it."""

import re
import time
from pathlib import Path

import harness

READY_SECONDS = 60


class Server:
    """`almanac serve --sample-data` on a folder of its own. A server that is started again takes the same port."""

    def __init__(self, almanac: Path, folder: Path):
        folder.mkdir()
        self.almanac = almanac
        self.folder = folder
        self.address = "127.0.0.1:0"
        self._log = folder / "server.log"
        self._process = None

    def start(self) -> None:
        """Returns when the sample data is loaded and the server answers."""
        command = [self.almanac, "serve", "--sample-data", "--data", self.folder / "data", "--listen", self.address]
        self._process = harness.start(command, self.folder / "server.out", self._log)
        deadline = time.monotonic() + READY_SECONDS
        harness.wait_until(self._listens, deadline, lambda: f"the server does not listen:\n{self._log.read_text()}")
        self.run("status")

    def _listens(self) -> bool:
        log = self._log.read_text()
        harness.check(self._process.poll() is None, f"the server ended:\n{log}")
        # The server logs this line when the sample data is in.
        listening = re.search(r"listens on http://(\S+)\s", log)
        if listening:
            self.address = listening.group(1)
        return listening is not None

    def stop(self) -> None:
        status = harness.end(self._process)
        harness.check(status == 0, f"the server ended with {status}:\n{self._log.read_text()}")

    def run(self, *arguments: str | Path) -> str:
        """What a command of `almanac` prints about this server."""
        return harness.output_of([self.almanac, *arguments], server=f"http://{self.address}")

    def head(self) -> int:
        return int(re.search(r"^revision\s+(\d+)", self.run("status"), re.M).group(1))

    def publish(self, edition: str, table: str, *options: str) -> None:
        """Publishes a made-up edition of `gii-clusters`."""
        file = self.folder / f"{edition}.csv"
        file.write_text(table)
        self.run("publish", "gii-clusters", edition, file, "--coverage", "partial", "--note", "made up", *options)
