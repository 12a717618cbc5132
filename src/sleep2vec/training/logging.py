"""What a run writes down while it learns.

``log.csv`` always, TensorBoard files where the package is installed, and the trackers that the recipe asks for.
"""

import csv
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sleep2vec.training.trackers import TrackerName, open_tracker
from sleep2vec.vocabulary.errors import ModelError


class RunLog:
    """Numbers by step. Opened at a step, it forgets what a killed run wrote after it.

    ``log.csv`` is in long form (step, name, value): names may come and go during a run.
    """

    def __init__(self, folder: Path, first_step: int, trackers: Sequence[TrackerName] = ()) -> None:
        # First: a tracker that is not there ends the run before anything is touched.
        self._trackers = [open_tracker(name, folder) for name in trackers]
        self._path = folder / "log.csv"
        kept = [row for row in read_log(folder) if row[0] <= first_step] if first_step else []
        # Replaced whole, then added to: a run that is killed again before its first row keeps its history.
        shortened = self._path.with_name(".log.csv.part")
        with shortened.open("w", newline="") as file:
            csv.writer(file).writerows([("step", "name", "value"), *kept])
        shortened.replace(self._path)
        self._file = self._path.open("a", newline="")
        self._table = csv.writer(self._file)
        self._board = _tensorboard(folder, first_step)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Note numbers after `step` steps."""
        self._table.writerows([step, name, f"{value:.9g}"] for name, value in numbers.items())
        self._file.flush()
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)
        for tracker in self._trackers:
            tracker.write(step, numbers)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()
        for tracker in self._trackers:
            tracker.close()


def read_log(folder: Path) -> list[tuple[int, str, float]]:
    """The rows of ``log.csv``; empty where there is none."""
    path = folder / "log.csv"
    if not path.exists():
        return []
    text = path.read_text()
    # A killed process may have left half a line at the end, half a number even.
    rows = csv.reader(text[: text.rfind("\n") + 1].splitlines()[1:])
    try:
        return [(int(step), name, float(value)) for step, name, value in rows]
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}); delete it, and the run goes on with a new one.") from None


def _tensorboard(folder: Path, first_step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder / "tensorboard", purge_step=first_step + 1 if first_step else None)
