"""A memory group is made where cgroup v2 lets us, and nowhere else."""

from pathlib import Path

import pytest

from ann_bench.runner.cgroup import MemoryGroup


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A stand-in for /sys/fs/cgroup: a slice that hands the memory controller down to our scope."""
    mount = tmp_path / "cgroup"
    scope = mount / "user.slice" / "our.scope"
    scope.mkdir(parents=True)
    for folder, controllers in ((scope, ""), (scope.parent, "cpu memory"), (mount, "memory")):
        (folder / "cgroup.subtree_control").write_text(controllers)
        (folder / "cgroup.procs").write_text("")
    return mount


def test_the_group_is_made_beside_ours(mount: Path) -> None:
    """Our own group hands nothing down; its parent does, and gets the new group with its limit."""
    group = MemoryGroup.make("worker", 1000, mount=mount, own="/user.slice/our.scope")
    assert group is not None
    folder = mount / "user.slice" / "worker"
    assert group.procs == folder / "cgroup.procs"
    assert (folder / "memory.max").read_text() == "1000"
    assert (folder / "memory.swap.max").read_text() == "0"
    assert not group.killed()
    (folder / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert group.killed()


def test_without_the_memory_controller_there_is_no_group(mount: Path) -> None:
    """Nothing is made, and nothing is left, where the controller is not handed down."""
    (mount / "user.slice" / "cgroup.subtree_control").write_text("cpu")
    assert MemoryGroup.make("worker", 1000, mount=mount, own="/user.slice/our.scope") is None
    assert not (mount / "user.slice" / "worker").exists()


def test_on_another_system_there_is_no_group(tmp_path: Path) -> None:
    """A machine without cgroup v2 is no error."""
    assert MemoryGroup.make("worker", 1000, mount=tmp_path / "nowhere", own="/x") is None
