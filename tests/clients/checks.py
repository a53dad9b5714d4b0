"""The checks, in the order of one scenario: each goes on from the server and the state files that the last one left."""

import re
import signal
import time

import harness
import tables
from programs import LANGUAGES, Programs, Watcher, check_all_same, check_counts, wait_for_all
from server import Server

FOLDER = "tests/clients"
# Limits of a message: the default of gRPC's libraries, and what the contract says of messages of the feed.
LONGEST_ANSWER = 4 * 1024 * 1024
LONGEST_FEED_MESSAGE = 256 * 1024


def command_line(server: Server, _programs: Programs) -> None:
    harness.check_texts(server.run("ranking", "gii-clusters", "--edition", "2025", "--top", "2"), "Shenzhen", "Tokyo")
    harness.check_texts(server.run("compare", "gii-clusters", "2023", "2025"), "do not mean the same", "method")
    share = ["figure", "GB.XPD.RSDV.GD.ZS", "CHN", "2015"]
    harness.check_texts(server.run(*share), "2.05701")
    harness.check_texts(server.run(*share, "--as-of", "2018-12-31"), "2.06558")
    harness.check_texts(server.run("figure", "CN.PAT.VALID.ENTERPRISE", "CHN", "2025-06"), "3.72", "3.73")


def queries(server: Server, programs: Programs) -> None:
    """Typed queries print the same in Python, Node and Go."""
    python = programs.output("py", "query", server.address)
    for language in ("mjs", "go"):
        harness.check_same("query.py", python, language, programs.output(language, "query", server.address))
    harness.check_texts(
        "\n".join(python), "   1  Shenzhen", "  10  Los Angeles", "now: 2.05701", "as of 2018-12-31: 2.06558",
        "3.72 x 10^6", "3.73 x 10^6", "differ by 10,000",
    )


def state(server: Server, programs: Programs) -> None:
    """Clients fetch the state, and check its count and digest."""
    head = server.head()
    watchers = []
    for language in LANGUAGES:
        watcher = programs.watch(language, "state", server.address, head)
        watcher.wait()
        watchers.append(watcher)
    check_all_same(watchers)
    lines = watchers[0].lines()
    harness.check(len(lines) == 1, f"more than the state: {lines}")
    harness.check_texts(lines[0], f"state at revision {head}: ")


def missed_commit_and_restart(server: Server, programs: Programs) -> None:
    """Clients catch up with a commit that they missed, stay through a restart of the server, and get the next one live."""
    head = server.head()
    # One commit: the definitions of two entities, and the edition that needs them.
    server.publish("made-up", tables.two_cities(1, 2), "--add-entities")
    harness.check(server.head() == head + 1, f"head is {server.head()}, not {head + 1}")

    watchers = []
    for language in LANGUAGES:
        # Every client prints the digest of its copy. The one in Python also asks the server for that of its state.
        options = ["--check-digest"] if language == "py" else []
        watchers.append(programs.watch(language, "watch", server.address, head + 2, *options))
    wait_for_all(watchers, 60, "not caught up", lambda watcher: watcher.revisions() == [head + 1])
    server.stop()
    server.start()
    harness.check(server.head() == head + 1, f"loading the sample data again moved head to {server.head()}")
    server.publish("made-up", tables.two_cities(2, 1), "--correct")
    for watcher in watchers:
        watcher.wait()

    # Every commit once, in order, with the same words and the same digest.
    check_all_same(watchers)
    python = watchers[0]
    harness.check(python.revisions() == [head + 1, head + 2], f"not every commit once: {python.report()}")
    check_counts(python)
    harness.check_texts(
        python.out.read_text(), f"revision {head + 1} (first release), digest ", "entity cluster:made-up-city-one: new",
        "edition gii-clusters made-up: published", "edition gii-clusters made-up: corrected",
        "made-up-city-two: 2 -> 1, up", "made-up-city-one: 1 -> 2, down",
    )


def nothing_repeated(server: Server, programs: Programs) -> None:
    """A client that comes back without a new commit prints nothing."""
    head = server.head()
    for language in LANGUAGES:
        watcher = programs.watch(language, "rest", server.address, head)
        watcher.wait()
        harness.check(not watcher.lines(), f"repeated: {watcher.report()}")


def silent_connection(server: Server, programs: Programs) -> None:
    """A connection goes silent in the middle of a stream, and a commit is made meanwhile. Clients notice by their own
    clocks, after three intervals of 1 s, and come back without a gap."""
    head = server.head()
    out = server.folder / "proxy.out"
    proxy = harness.start(["python3", f"{FOLDER}/silent_proxy.py", server.address], out)
    address = harness.address_of(proxy, out)
    watchers: list[Watcher] = []
    for language in LANGUAGES:
        watchers.append(programs.watch(language, "silent", address, head + 2, "--interval", "1"))
    server.publish("made-up", tables.two_cities(1, 2), "--correct")
    wait_for_all(watchers, 30, "not live", lambda watcher: watcher.revisions() == [head + 1])
    proxy.send_signal(signal.SIGUSR1)
    wait_for_all(watchers, 5, "did not notice that the connection is silent", Watcher.says_silent)
    server.publish("made-up", tables.two_cities(2, 1), "--correct")
    proxy.send_signal(signal.SIGUSR2)
    wait_for_all(watchers, 25, "did not come back", lambda watcher: watcher.revisions() == [head + 1, head + 2])
    for watcher in watchers:
        watcher.wait()
    harness.end(proxy)
    check_all_same(watchers)
    check_counts(watchers[0])


def foreign_error(server: Server, programs: Programs) -> None:
    """An error that Almanac did not make ends no client, whatever its status. The faulty server speaks no gRPC-Web."""
    head = server.head()
    for language in ("py", "mjs", "go"):
        out = server.folder / "faulty.out"
        faulty = harness.start([programs.python, f"{FOLDER}/faulty_server.py", server.address], out)
        address = harness.address_of(faulty, out)
        programs.state_file(language).unlink()
        watcher = programs.watch(language, "foreign", address, head)
        watcher.wait()
        harness.check_texts(watcher.log.read_text(), "a message that somebody cut; coming back")
        harness.check_texts(watcher.out.read_text(), f"state at revision {head}")
        harness.end(faulty)


def long_editions(server: Server, programs: Programs) -> None:
    """Clients that change no limit of their library fetch editions of 12 MB in every way there is, and compare two."""
    server.publish("made-up-long", tables.long_table(reverse=False), "--add-entities")
    server.publish("made-up-turned", tables.long_table(reverse=True))
    options = ["--ranking", "gii-clusters", "--edition", "made-up-long", "--compare-with", "made-up-turned"]
    python = programs.output("py", "edition", server.address, *options)
    print("\n".join(python))
    for language in ("mjs", "web"):
        other = programs.output(language, "edition", server.address, *options)
        harness.check_same("edition.py", python, language, other)
    rows = tables.LONG_ROWS
    harness.check_texts(
        "\n".join(python), f"ListEntries: {rows} entries", f"ListCommits: {rows} entries",
        f"Subscribe, commits: {rows} entries", f"Subscribe, state: {rows} entries", f"CompareEditions: {rows} moves",
    )
    digests = set()
    for line in python:
        total = int(re.search(r"(\d+) bytes,", line).group(1))
        longest = int(re.search(r"longest (\d+)", line).group(1))
        limit = LONGEST_FEED_MESSAGE if line.startswith("Subscribe") else LONGEST_ANSWER
        harness.check(total >= 12_000_000, f"not all of the edition: {line}")
        harness.check(longest < limit, f"a message of {limit} bytes or more: {line}")
        digests.update(re.findall(r"digest (\w+)", line))
    harness.check(len(python) == 5 and len(digests) == 1, f"not the same edition each way: {python}")


SCENARIO = [
    command_line,
    queries,
    state,
    missed_commit_and_restart,
    nothing_repeated,
    silent_connection,
    foreign_error,
    long_editions,
]


def run_scenario(server: Server, programs: Programs) -> None:
    server.start()
    for step in SCENARIO:
        began = time.monotonic()
        step(server, programs)
        print(f"clients: {step.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    server.stop()
