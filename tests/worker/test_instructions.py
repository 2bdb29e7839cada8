"""The count of instructions, where the machine has one, and None where it has not."""

import ctypes
import platform
from collections.abc import Callable

import pytest

from ann_bench.worker.instructions import Instructions
from ann_bench.worker.timed import Counters


def spin(turns: int) -> Callable[[], None]:
    """Return a function that does as much as it has turns."""

    def run() -> None:
        for _ in range(turns):
            pass

    return run


def test_more_work_is_more_instructions() -> None:
    """Ten times the work retires about ten times the instructions, each time alike."""
    count = Instructions()
    if count.read() is None:
        pytest.skip("this machine counts no instructions")

    def cost(run: Callable[[], None]) -> int:
        before = count.read()
        run()
        after = count.read()
        assert before is not None
        assert after is not None
        return after - before

    assert cost(spin(1_000_000)) / cost(spin(100_000)) == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("change", ["machine", "system", "no call", "refused"])
def test_where_they_are_not_counted_it_is_none(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Another processor or system, a C library without the call, or a refusal gives None, and no error."""

    class Library:
        def __init__(self, _name: None, **_options: bool) -> None:
            if change != "no call":
                self.syscall = lambda *_words: -1

    if change == "machine":
        monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    elif change == "system":
        monkeypatch.setattr(platform, "system", lambda: "Darwin")
    else:
        monkeypatch.setattr(ctypes, "CDLL", Library)
    assert Instructions().read() is None


def test_the_call_asks_for_this_process_in_user_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """perf_event_open gets what linux/perf_event.h describes: instructions, neither kernel's nor host's."""
    asked: list[tuple[int | bytes, ...]] = []

    class Library:
        def __init__(self, _name: None, **_options: bool) -> None:
            self.syscall = lambda *words: asked.append(words) or -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    Instructions()
    ((number, attributes, *rest),) = asked
    assert (number, rest) == (298, [0, -1, -1, 8])
    assert isinstance(attributes, bytes)
    kind, size, config = (int.from_bytes(attributes[a:b], "little") for a, b in ((0, 4), (4, 8), (8, 16)))
    assert (kind, size, config, len(attributes)) == (0, 112, 1, 112)
    bits = int.from_bytes(attributes[40:48], "little")
    assert [bit for bit in range(64) if bits >> bit & 1] == [1, 5, 6]


def test_a_block_tells_its_instructions_or_none() -> None:
    """What is counted of a block holds them where the machine counts them."""
    with Counters() as counters:
        spin(100_000)()
    told = counters.figures["instructions"]
    assert (told is None) == (Instructions().read() is None)
    assert told is None or told > 100_000
