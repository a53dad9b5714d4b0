"""Asks Almanac for a ranking, for a figure at two points of history, and for a figure that sources disagree about.

Set up as README.md says. Then, while `almanac serve --sample-data` runs:

    python examples/python/query.py [--server HOST:PORT]
"""

import argparse

import grpc

from almanac.v1 import ranking_service_pb2 as ranking
from almanac.v1 import ranking_service_pb2_grpc as ranking_grpc
from almanac.v1 import statistics_service_pb2 as statistics
from almanac.v1 import statistics_service_pb2_grpc as statistics_grpc
from almanac.v1 import types_pb2 as types
from text import formatted, number_text


def text(value):
    """The figure as it was published, digit by digit, with its qualifier."""
    number = number_text(value)
    if number == "missing":
        return number
    before = {types.QUALIFIER_APPROXIMATE: "about ", types.QUALIFIER_AT_LEAST: "at least ",
              types.QUALIFIER_AT_MOST: "at most "}.get(value.qualifier, "")
    if value.qualifier == types.QUALIFIER_RANGE:
        number += f" to {formatted(value.upper, value.decimals)}"
    power = f" x 10^{value.multiplier_pow10}" if value.multiplier_pow10 else ""
    return before + number + power


def main():
    arguments = argparse.ArgumentParser(description="Typed answers from Almanac.")
    arguments.add_argument("--server", default="127.0.0.1:50051")
    with grpc.insecure_channel(arguments.parse_args().server) as channel:
        rankings = ranking_grpc.RankingServiceStub(channel)
        figures = statistics_grpc.StatisticsServiceStub(channel)

        # A page may have fewer rows than the request asks for; ten rows fit in one page.
        top = rankings.ListEntries(
            ranking.ListEntriesRequest(ranking="gii-clusters", edition="2025", page_size=10), timeout=10)
        print(f"{top.edition.title or top.edition.ranking}, edition {top.edition.id}, answered at revision {top.revision}")
        for entry in top.entries:
            # The rank may be unset: the edition lists the entity, and its rank is unknown.
            place = entry.rank if entry.HasField("rank") else "?"
            print(f"{place:>4}  {entry.published_name} ({'/'.join(entry.economies)})")

        # The same figure at two points of history. `released` asks for what the producer had published by that day.
        print("\nR&D spending of China in 2015, % of GDP (GB.XPD.RSDV.GD.ZS)")
        for name, as_of in [("now", None), ("as of 2018-12-31", types.AsOf(released="2018-12-31"))]:
            answer = figures.GetFigure(
                statistics.GetFigureRequest(indicator="GB.XPD.RSDV.GD.ZS", entity="CHN", period="2015", as_of=as_of),
                timeout=10)
            selected = answer.selected
            print(f"  {name}: {text(selected.value)} (released {selected.released} by {selected.source})")

        # Almanac never merges sources. The policy chooses the one that answers; the others are alternatives.
        answer = figures.GetFigure(
            statistics.GetFigureRequest(indicator="CN.PAT.VALID.ENTERPRISE", entity="CHN", period="2025-06"), timeout=10)
        print(f"\nInvention patents held by Chinese enterprises, June 2025, {answer.unit} (policy {answer.policy})")
        print(f"  selected: {text(answer.selected.value)} ({answer.selected.source})")
        for other in answer.alternatives:
            print(f"  also said: {text(other.value)} ({other.source})")
        apart = answer.disagreement
        if apart.compared > 1:
            # The server has applied the multipliers: these are plain numbers, whatever unit each source printed.
            print(f"  they differ by {apart.spread:,.0f} ({apart.relative_spread:.2%})")
        if apart.not_comparable:
            print(f"  {apart.not_comparable} of them only bounds the figure, or is missing: not compared")


if __name__ == "__main__":
    main()
