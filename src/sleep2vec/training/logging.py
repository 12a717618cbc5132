"""What a run writes down while it learns: ``log.csv`` always, TensorBoard files where the package is installed."""

import csv
import importlib.util
from pathlib import Path
from types import TracebackType
from typing import Any


class RunLog:
    """Numbers by step. Opened at a step, it forgets what a killed run wrote after it.

    ``log.csv`` is in long form (step, name, value): names may come and go during a run.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._path = folder / "log.csv"
        kept = [row for row in read_log(folder) if row[0] <= first_step] if first_step else []
        self._file = self._path.open("w", newline="")
        self._table = csv.writer(self._file)
        self._table.writerow(["step", "name", "value"])
        self._table.writerows(kept)
        self._board = _tensorboard(folder, first_step)

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Note numbers after `step` steps."""
        self._table.writerows([step, name, f"{value:.9g}"] for name, value in numbers.items())
        self._file.flush()
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_log(folder: Path) -> list[tuple[int, str, float]]:
    """The rows of ``log.csv``; empty where there is none."""
    path = folder / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    # A killed process may have left half a line at the end.
    return [(int(row[0]), row[1], float(row[2])) for row in rows if len(row) == 3 and row[2]]


def _tensorboard(folder: Path, first_step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder / "tensorboard", purge_step=first_step + 1 if first_step else None)
