"""The text of published figures."""


def formatted(number, decimals):
    return f"{number:.{decimals}f}"


def number_text(value):
    """The published text, digit by digit; `missing` where there is no number."""
    if value.exact:
        return value.exact
    return formatted(value.number, value.decimals) if value.HasField("number") else "missing"
