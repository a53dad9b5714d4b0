"""Almanac: `almanac import` through a socket into a server, and the writer alone."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

from measure import Load, folder_bytes, memory_mib

RELEASED = "2013-12-21"


class Server:
    """A server on a folder, until the `with` block ends."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = folder

    def __enter__(self):
        command = (self.program, "serve", "--data", self.folder, "--listen", "127.0.0.1:0")
        began = time.monotonic()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if " listens on " in line:
                self.ready = time.monotonic() - began
                self.url = line.split(" listens on ")[1].strip()
                # Its log must be read on, or the server waits when the pipe is full.
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return self
        raise RuntimeError("the server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def run(self, *arguments):
        environment = {**os.environ, "ALMANAC_SERVER": self.url}
        command = (self.program, *arguments)
        return subprocess.run(command, check=True, text=True, env=environment, stdout=subprocess.PIPE).stdout


class Import:
    """`almanac import`. Variants: `one`, everything in one commit; `each`, a commit for each file."""

    variants = ("one", "each")
    settings = "durable as it comes; economies and sources of data/catalog, indicators defined on the way"

    def __init__(self, name, program, wide, root, scratch):
        self.name = name
        self.program = program
        self.wide = wide
        self.catalog = pathlib.Path(root) / "data/catalog"
        self.folder = scratch / "almanac"

    def load(self, variant, _rows):
        try:
            with Server(self.program, self.folder) as server:
                server.run("define", self.catalog / "economies.json", self.catalog / "sources.json")
                options = ["--profile", "wdi-wide", "--released", RELEASED, "--define-missing"]
                options += ["--one-commit"] if variant == "one" else []
                began = time.monotonic()
                server.run("import", self.wide, *options)
                seconds = time.monotonic() - began
                status = json.loads(server.run("status", "--json"))
                peak = memory_mib(server.process.pid, "VmHWM")
                after = memory_mib(server.process.pid, "VmRSS")
            size = folder_bytes(self.folder)
            with Server(self.program, self.folder) as server:
                more = {"after": after, "ready": server.ready}
                return Load(seconds, int(status["currentFigures"]), size, peak, more)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


class Writer:
    """The writer without import and socket: the program of `cargo bench --bench storage`."""

    variants = ("alone",)
    settings = "one commit, straight to the writer; rows/s of the commit"

    def __init__(self, name, program, wide):
        self.name = name
        self.program = program
        self.wide = wide

    def load(self, _variant, _rows):
        printed = subprocess.run((self.program, self.wide), check=True, text=True, stdout=subprocess.PIPE).stdout
        number = r"([\d.]+)"
        rows = int(re.search(r"^(\d+) values in", printed, re.M)[1])
        seconds = float(re.search(f"^committed in {number} s", printed, re.M)[1])
        size = float(re.search(f"^folder {number} MB", printed, re.M)[1]) * 1e6
        memory = float(re.search(f"^memory at most {number} MiB", printed, re.M)[1])
        more = {"uploaded": float(re.search(f"^gathered and committed: {number} M", printed, re.M)[1]) * 1e6}
        return Load(seconds, rows, int(size), memory, more)
