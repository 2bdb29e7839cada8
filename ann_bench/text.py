"""Text from files and libraries, made fit for a terminal."""


def printable(text: object, keep: str = "") -> str:
    r"""Return text in which nothing but itself can reach the terminal.

    Every control or invisible character (escape sequences, line breaks, marks that turn the direction of
    writing) becomes a replacement character, except those in `keep`: "\n\t" for a log of several lines.
    """
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in str(text))
