"""What a training run tells the terminal: a bar, and one voice where several processes train."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sleep2vec.cli.progress import console
from sleep2vec.vocabulary.errors import Sleep2vecError

if TYPE_CHECKING:  # importing the loop imports torch
    from sleep2vec.training.runner import Progress as Report

_LONGEST_SILENCE_S = 600.0


@contextmanager
def training_bar(what: str) -> Iterator[Callable[["Report"], None]]:
    """A bar with the loss, the speed and the time left; lines now and then where there is no terminal.

    The time left is the run's own estimate: it counts what a bar does not see, validating and saving.
    """
    if not sys.stderr.isatty() or not speaks():
        yield _lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None, note="")
        yield lambda report: bar.update(task, completed=report.step, total=report.n_steps, note=note_of(report))


def note_of(report: "Report") -> str:
    """What stands behind the bar: ``2:10:05 left, loss 3.912, 840 windows/s``."""
    least = "at least " if report.at_least else ""
    left = f"{least}{timedelta(seconds=round(report.seconds_left))} left, " if report.step < report.n_steps else ""
    speed = f", {report.windows_per_second:.0f} windows/s" if report.windows_per_second > 0 else ""
    return f"{left}loss {report.loss:.3f}{speed}"


def speaks() -> bool:
    """Whether this process speaks to people: of those that torchrun started, the first."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1 or os.environ.get("RANK", "0") == "0"


@contextmanager
def one_voice() -> Iterator[None]:
    """What goes wrong in here goes wrong in every process alike; the first one says it."""
    try:
        yield
    except Sleep2vecError as error:
        if speaks():
            raise
        sys.exit(error.exit_code)


def _lines(what: str) -> Callable[["Report"], None]:
    told_s = time.monotonic()
    tenth_told = -1

    def watch(report: "Report") -> None:
        nonlocal told_s, tenth_told
        now_s = time.monotonic()
        tenth = 10 * report.step // max(1, report.n_steps)
        if tenth == tenth_told and report.step != report.n_steps and now_s - told_s < _LONGEST_SILENCE_S:
            return
        tenth_told, told_s = tenth, now_s
        console.print(f"{what}: {report.step}/{report.n_steps} steps, {note_of(report)}", soft_wrap=True)

    return watch
