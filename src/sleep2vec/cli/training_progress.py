"""The bar of a training run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sleep2vec.cli.progress import progress_bar

if TYPE_CHECKING:  # importing the loop imports torch
    from sleep2vec.training.runner import Progress


@contextmanager
def training_bar(what: str, windows_per_step: int) -> Iterator[Callable[["Progress"], None]]:
    """A bar that shows the loss and the speed."""
    with progress_bar(what, "steps") as update:

        def watch(report: "Progress") -> None:
            speed = windows_per_step / max(report.seconds_per_step, 1e-9)
            update(report.step, report.n_steps, f"loss {report.loss:.3f}, {speed:.0f} windows/s")

        yield watch
