"""Downloads from a server on this machine that is slow, cut off, wrong, or refuses."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import filelock
import pytest

from ann_bench.datasets import Entry, download
from ann_bench.errors import DatasetError
from tests.datasets.files import write
from tests.datasets.server import Server, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Return a server whose content is a right dataset file."""
    with running() as running_server:
        running_server.content = write(tmp_path / "source.hdf5").read_bytes()
        yield running_server


def entry(server: Server, *manners: str, size: bool = True, sha256: bool = True, **changes: Any) -> Entry:
    """Return a catalogue entry with one URL for each manner of answering."""
    facts: dict[str, Any] = {
        "distance": "euclidean",
        "shape": {"rows": 200, "dimension": 12, "queries": 30},
        "urls": [server.url(manner) for manner in manners],
        "size": len(server.content) if size else None,
        "sha256": hashlib.sha256(server.content).hexdigest() if sha256 else None,
    }
    return Entry.model_validate(facts | changes)


def fails(folder: Path, wanted: Entry, timeout_s: float = 10) -> str:
    """Return the message of a download that fails and leaves no file."""
    with pytest.raises(DatasetError) as caught:
        download("set", wanted, folder, timeout_s=timeout_s)
    assert {path.name for path in folder.iterdir()} <= {".set.lock", "set.sha256"}
    return str(caught.value)


@pytest.mark.parametrize("manner", ["good", "slow"])
def test_a_file_is_downloaded_whole(server: Server, tmp_path: Path, manner: str) -> None:
    """The file is there under its name, byte for byte, and nothing unfinished beside it; slow is no fault."""
    path = download("set", entry(server, manner), tmp_path / "here", timeout_s=10)
    assert path == tmp_path / "here" / "set.hdf5"
    assert path.read_bytes() == server.content
    assert {other.name for other in path.parent.iterdir()} <= {"set.hdf5", ".set.lock"}


def test_a_file_that_is_here_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    """The second call asks no server."""
    for _ in range(2):
        download("set", entry(server, "good"), tmp_path)
    assert server.hits["good"] == 1


def test_the_user_agent_is_our_own(server: Server, tmp_path: Path) -> None:
    """Servers that refuse Python's default agents get another, which says who asks."""
    download("set", entry(server, "good"), tmp_path)
    (agent,) = server.agents
    assert agent.startswith("Mozilla/5.0 (compatible; ann_bench/")


def test_mirrors_are_tried_in_order(server: Server, tmp_path: Path) -> None:
    """After a 403, a cut-off and a wrong file the next mirror's is taken; a further one is not asked."""
    download("set", entry(server, "forbidden", "cut", "other", "good", "slow"), tmp_path)
    assert (tmp_path / "set.hdf5").read_bytes() == server.content
    assert dict(server.hits) == {"forbidden": 1, "cut": 1, "other": 1, "good": 1}


def test_when_all_fail_every_url_is_named_with_its_reason(server: Server, tmp_path: Path) -> None:
    """The message has a line for each mirror, and ends in what to do."""
    lines = fails(tmp_path / "here", entry(server, "forbidden", "missing", "other")).split("\n")
    assert lines[0] == "set: no mirror gave the file:"
    assert lines[1] == f"  {server.url('forbidden')}: answered 403 Forbidden"
    assert lines[2] == f"  {server.url('missing')}: answered 404 Not Found"
    assert lines[3].startswith(f"  {server.url('other')}: sent a file with sha256 ")
    assert lines[4].startswith("Try again later, or put set.hdf5 into ")
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("short", "has a file of {short:,} bytes; the file has {size:,}"),
        ("brief", "sent {short:,} bytes; the file has {size:,}"),
        ("long", "sent more than the {size:,} bytes of the file"),
        ("other", "sent a file with sha256 "),
        ("cut", "broke off: "),
        ("page", "has a file of 26 bytes; the file has {size:,}"),
    ],
)
def test_a_wrong_file_is_refused(server: Server, tmp_path: Path, manner: str, reason: str) -> None:
    """Size, checksum and the end of the transfer are checked before the file gets its name."""
    size = len(server.content)
    assert reason.format(size=size, short=size - 10) in fails(tmp_path / "here", entry(server, manner))


def test_a_server_that_falls_silent_is_given_up(server: Server, tmp_path: Path) -> None:
    """A transfer without a byte for the given time ends, and says so."""
    message = fails(tmp_path / "here", entry(server, "stall"), timeout_s=0.2)
    assert f"{server.url('stall')}: sent nothing for 0.2 s" in message


def test_a_server_that_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    """A refused connection is told apart from a wrong answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/set.hdf5"
        assert f"{url}: cannot be reached: " in fails(tmp_path / "here", entry(server, urls=[url]))


@pytest.mark.parametrize("manner", ["page", "cut", "short"])
def test_without_size_and_checksum_a_file_must_still_be_whole(
    server: Server, tmp_path: Path, manner: str
) -> None:
    """An error page or a cut-off file is refused though the catalogue knows nothing, and not recorded."""
    message = fails(tmp_path / "here", entry(server, manner, size=False, sha256=False))
    assert server.url(manner) in message
    assert not (tmp_path / "here" / "set.sha256").exists()


def test_the_first_download_records_the_checksum(server: Server, tmp_path: Path) -> None:
    """Where none is known it is kept beside the file, as sha256sum writes it, and holds next time."""
    unknown = entry(server, "good", sha256=False)
    download("set", unknown, tmp_path).unlink()
    record = tmp_path / "set.sha256"
    assert record.read_text() == f"{hashlib.sha256(server.content).hexdigest()}  set.hdf5\n"
    server.content = server.content[:-1] + bytes([server.content[-1] ^ 1])
    with pytest.raises(
        DatasetError, match=r"the first download had \w+ \(delete .*set.sha256 if the publisher"
    ):
        download("set", unknown, tmp_path)
    record.unlink()
    assert download("set", unknown, tmp_path).is_file()


@pytest.mark.parametrize("left", [b"", b"3f2a", b"\xff\xfe", b"z" * 64])
def test_a_checksum_that_cannot_be_read_counts_as_none(server: Server, tmp_path: Path, left: bytes) -> None:
    """What an interrupted program left in NAME.sha256 is written anew."""
    (tmp_path / "set.sha256").write_bytes(left)
    download("set", entry(server, "good", sha256=False), tmp_path)
    expected = f"{hashlib.sha256(server.content).hexdigest()}  set.hdf5\n"
    assert (tmp_path / "set.sha256").read_text() == expected


def test_a_known_checksum_is_not_recorded(server: Server, tmp_path: Path) -> None:
    """The catalogue's checksum needs no second place."""
    download("set", entry(server, "good"), tmp_path)
    assert not (tmp_path / "set.sha256").exists()


def test_two_at_once_download_once(server: Server, tmp_path: Path) -> None:
    """The second waits for the first and takes its file."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: download("set", entry(server, "slow"), tmp_path), range(4)))
    assert server.hits["slow"] == 1
    assert {path.read_bytes() for path in found} == {server.content}


def test_waiting_for_another_process_is_told(server: Server, tmp_path: Path) -> None:
    """Whoever finds another downloading says so, once, and takes its file."""
    told = threading.Event()
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        told.set()

    with ThreadPoolExecutor(1) as pool:
        with filelock.FileLock(tmp_path / ".set.lock"):
            waiting = pool.submit(download, "set", entry(server, "good"), tmp_path, report=report)
            assert told.wait(20)
        assert waiting.result().is_file()
    assert lines == ["set: another process is downloading it; waiting"]


def test_what_a_killed_download_left_is_replaced(server: Server, tmp_path: Path) -> None:
    """An unfinished file of an earlier run is neither used nor kept."""
    (tmp_path / ".set.hdf5.part").write_bytes(bytes(10))
    download("set", entry(server, "good"), tmp_path)
    assert not (tmp_path / ".set.hdf5.part").exists()
    assert (tmp_path / "set.hdf5").read_bytes() == server.content


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    """Where a file is in the way of the folder, the message says where it wanted to write."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"set: cannot be written to .*file/here.* ANN_BENCH_CACHE"):
        download("set", entry(server, "good"), tmp_path / "file" / "here")


def test_the_progress_bar_goes_to_stderr(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a program reads from stdout is not disturbed."""
    download("set", entry(server, "good"), tmp_path, progress=True)
    assert capsys.readouterr().out == ""
