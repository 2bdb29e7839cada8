"""Several environments installed at a time, within the cores given; an interrupt leaves what is finished."""

import signal
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from pathlib import Path

from ann_bench.environments import Environment, describe, install
from ann_bench.recipes import read_recipe
from ann_bench.supervised import Commands


class Observer:
    """Who wants to know how installations go; `began` and `step` are called from several threads."""

    def began(self, name: str) -> None:
        """An installation begins."""

    def step(self, name: str, line: str) -> None:
        """A step of it begins."""

    def ended(self, environment: Environment) -> None:
        """An installation ended, one way or the other."""


def install_all(
    names: Sequence[str],
    observer: Observer,
    *,
    cpus: Sequence[int],
    definitions: Sequence[Path] = (),
    force: bool = False,
) -> dict[str, Environment]:
    """Return the environments `names`, made first unless they are ready; the observer hears of those made.

    A KeyboardInterrupt ends at once all that runs, and is raised: a second call goes on where it was.

    Parameters
    ----------
    cpus
        The cores to use: as many installations run at a time, each build within its share.
    """
    found = {name: describe(name, definitions) for name in names}
    todo = [name for name, environment in found.items() if force or environment.state != "ready"]
    # A build from source takes the longest: begun last, it would keep all waiting, and one core busy.
    todo.sort(key=lambda name: not read_recipe(name, definitions).recipe.source)
    if not todo:
        return found
    at_once = min(len(cpus), len(todo))
    commands = Commands(cpus)

    def work(name: str) -> Environment:
        observer.began(name)
        return install(
            name,
            definitions=definitions,
            force=force,
            report=lambda line: observer.step(name, line),
            commands=commands,
            cores=len(cpus) // at_once,
        )

    at_interrupt = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(at_once, thread_name_prefix="install") as pool:
        running: list[Future[Environment]] = []
        try:
            running += [pool.submit(work, name) for name in todo]
            for ended in as_completed(running):
                environment = ended.result()
                found[environment.name] = environment
                observer.ended(environment)
        except BaseException:
            # Another Ctrl-C could not make this quicker; it could only tear the pool's own clean-up.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            commands.stop()
            for future in running:
                future.cancel()
            wait(running)
            signal.signal(signal.SIGINT, at_interrupt)
            raise
    return found
