"""How long jobs tell that they are alive, and how long they will still take."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_ESTIMATE_S = 3600.0  # nights take half a minute or more: a pace needs more than one of them
_LONGEST_SILENCE_S = 600.0

console = Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(what: str, unit: str, note: str = "") -> Iterator[Callable[[int, int, str], None]]:
    """A bar on the terminal's error stream; yields ``update(done, total, note)``.

    Where that is no terminal (a log file, a pipe), a line is written now and then instead of a moving bar.
    """
    if not sys.stderr.isatty():
        yield _lines(what, unit)
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
    with Progress(*columns, console=console, speed_estimate_period=_ESTIMATE_S) as bar:
        task = bar.add_task(what, total=None, note=note)
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def _lines(what: str, unit: str) -> Callable[[int, int, str], None]:
    """A line at every tenth, and at the latest every ten minutes, with the time left at the pace so far."""
    began_s = told_s = time.monotonic()
    first = tenth_told = 0

    def update(done: int, total: int, note: str) -> None:
        nonlocal told_s, tenth_told, first
        now_s = time.monotonic()
        first = first or done - 1  # what an earlier run did cost this one nothing
        tenth = 10 * done // max(1, total)
        if tenth == tenth_told and done != total and now_s - told_s < _LONGEST_SILENCE_S:
            return
        tenth_told, told_s = tenth, now_s
        left_s = (total - done) * (now_s - began_s) / max(1, done - first)
        left = f", {timedelta(seconds=round(left_s))} left" if done < total else ""
        console.print(f"{what}: {done}/{total} {unit}{left} {note}".rstrip(), soft_wrap=True)

    return update
