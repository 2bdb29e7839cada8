"""The progress bar of what takes long: a download, the computation of exact answers."""

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn


def progress_bar(*columns: ProgressColumn, shown: bool) -> Progress:
    """Return a bar on stderr that is gone when it ends; one that is not `shown` counts and draws nothing.

    The `columns` stand between the bar and the remaining time.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
        transient=True,
    )
