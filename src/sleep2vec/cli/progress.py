"""How long jobs tell that they are alive, and how long they will still take."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(what: str, unit: str, note: str = "") -> Iterator[Callable[[int, int, str], None]]:
    """A bar on the terminal's error stream; yields ``update(done, total, note)``.

    Where that is no terminal (a log file, a pipe), a line is written at every tenth instead of a moving bar.
    """
    if not sys.stderr.isatty():
        yield _tenths(what, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None, note=note)
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def _tenths(what: str, unit: str) -> Callable[[int, int, str], None]:
    told = 0

    def update(done: int, total: int, note: str) -> None:
        nonlocal told
        tenth = 10 * done // max(1, total)
        if tenth > told or done == total:
            told = tenth
            console.print(f"{what}: {done}/{total} {unit} {note}".rstrip(), soft_wrap=True)

    return update
