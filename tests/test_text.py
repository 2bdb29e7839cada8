"""Text from files on its way to a terminal."""

from ann_bench.text import printable


def test_nothing_but_printable_characters_pass():
    """Escapes, controls, line breaks and marks of direction are replaced one by one; letters stay."""
    assert printable("naïve 向量 \x1b[2J\r\n\u202ex") == "naïve 向量 \ufffd[2J\ufffd\ufffd\ufffdx"
    assert printable(3.5) == "3.5"


def test_a_log_keeps_its_lines():
    """What is to be kept is kept."""
    assert printable("a\tb\n\x07", keep="\n\t") == "a\tb\n\ufffd"
