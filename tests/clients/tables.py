"""Tables that nobody published, for editions that only these checks see."""

NOTICE = "# MADE UP for a check of this program. Nobody published it."
LONG_ROWS = 8_000
LONG_PARTS = range(1, 41)


def two_cities(rank_of_one: int, rank_of_two: int) -> str:
    rows = [f"{rank_of_one},Made-Up City One,CHN", f"{rank_of_two},Made-Up City Two,CHN"]
    return "\n".join([NOTICE, "rank,name,economies", *rows]) + "\n"


def long_table(reverse: bool) -> str:
    """8,000 places with forty components each: at least 12 MB on the wire. `reverse` turns the order around."""
    columns = [f"raw:p{part:02},score:p{part:02},year:p{part:02}" for part in LONG_PARTS]
    lines = [NOTICE, ",".join(["rank,name,economies", *columns])]
    for rank in range(1, LONG_ROWS + 1):
        place = LONG_ROWS + 1 - rank if reverse else rank
        cells = [f"{rank * part}.{part % 10},{(rank + part) % 100}.25,2026" for part in LONG_PARTS]
        lines.append(",".join([f"{rank},Made-Up Place {place:05},CHN", *cells]))
    return "\n".join(lines) + "\n"
