"""Where a run may be followed besides its own log: MLflow and Weights & Biases, in the run's folder, without account.

Whoever has a server names it in the variables that these packages read themselves (MLFLOW_TRACKING_URI; WANDB_MODE).
"""

import importlib
import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Literal, Protocol

from sleep2vec.vocabulary.errors import UsageError

TrackerName = Literal["mlflow", "wandb"]
_MLFLOW_RUN = "mlflow-run.txt"


class Tracker(Protocol):
    """Takes numbers by step until it is closed. A run that goes on opens the same record again."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


def open_tracker(name: TrackerName, folder: Path) -> Tracker:
    """Raises `UsageError` when the package is not installed."""
    try:
        package = importlib.import_module(name)
    except ImportError:
        raise UsageError(
            f"run.trackers asks for {name}, which is not installed; install it (pip install {name}), "
            "or leave it out: log.csv is written in any case."
        ) from None
    return _TRACKERS[name](package, folder)


class _Mlflow:
    def __init__(self, mlflow: ModuleType, folder: Path) -> None:
        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        try:
            self._client = mlflow.MlflowClient(tracking_uri=place)
            self._client.search_experiments(max_results=1)
        except mlflow.exceptions.MlflowException as error:  # mlflow-skinny has no database of its own
            reason = str(error).strip().splitlines()[0]
            raise UsageError(
                f"run.trackers: mlflow cannot write to {place} ({reason}); install all of it (pip install mlflow), "
                "or name a server in MLFLOW_TRACKING_URI."
            ) from None
        known = folder / _MLFLOW_RUN
        if not known.exists():
            experiment = self._client.get_experiment_by_name("sleep2vec")
            number = experiment.experiment_id if experiment else self._client.create_experiment("sleep2vec")
            known.write_text(self._client.create_run(number, run_name=folder.name).info.run_id)
        self._run = known.read_text()
        self._client.set_terminated(self._run, "RUNNING")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._client.log_metric(self._run, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._run)


class _Wandb:
    def __init__(self, wandb: ModuleType, folder: Path) -> None:
        self._run = wandb.init(
            project="sleep2vec",
            name=folder.name,
            # The same for the same folder, so that the parts of a run that was stopped become one.
            id=f"{folder.name}-{blake2b(str(folder.resolve()).encode(), digest_size=4).hexdigest()}",
            resume="allow",
            dir=folder,
            mode=os.environ.get("WANDB_MODE", "offline"),
        )

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


_TRACKERS: MappingProxyType[TrackerName, Callable[[ModuleType, Path], Tracker]] = MappingProxyType(
    {"mlflow": _Mlflow, "wandb": _Wandb}
)
