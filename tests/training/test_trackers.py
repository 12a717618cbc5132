"""MLflow and Weights & Biases, played by two small modules: the real ones take a minute to import and a gigabyte.

The real ones were tried by hand (docs/training.md says with which versions).
"""

import sys
from types import SimpleNamespace

import pytest
from contrast_of_shares import OPTIMIZER, EndedError, contrast_work, run_config

from sleep2vec.training.logging import read_log
from sleep2vec.training.runner import train
from sleep2vec.training.world import World
from sleep2vec.vocabulary.errors import UsageError


class Book:
    """What was written, by run."""

    def __init__(self):
        self.runs, self.opened, self.status = {}, [], {}


class FakeMlflow:
    """The calls of MlflowClient that a tracker needs, with their real names and arguments."""

    def __init__(self, book):
        self.exceptions = SimpleNamespace(MlflowException=OSError)
        self._book = book

    def MlflowClient(self, tracking_uri):
        self._book.opened.append(tracking_uri)
        return self

    def search_experiments(self, max_results):
        if self._book.opened[-1].startswith("sqlite") and self._book.status.get("skinny"):
            raise OSError("got unsupported URI 'sqlite'\nand more")

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return "7"

    def create_run(self, experiment_id, run_name):
        identity = f"{experiment_id}/{run_name}/{len(self._book.runs)}"
        self._book.runs[identity] = []
        return SimpleNamespace(info=SimpleNamespace(run_id=identity))

    def log_metric(self, run_id, key, value, step):
        self._book.runs[run_id].append((step, key, value))

    def set_terminated(self, run_id, status="FINISHED"):
        self._book.status[run_id] = status


class FakeWandb:
    def __init__(self, book):
        self._book = book

    def init(self, *, project, name, id, resume, dir, mode):
        self._book.opened.append((mode, resume, dir))
        rows = self._book.runs.setdefault(id, [])
        log = lambda numbers, step: rows.extend((step, key, value) for key, value in numbers.items())  # noqa: E731
        return SimpleNamespace(log=log, finish=lambda: self._book.status.update({id: "FINISHED"}))


@pytest.fixture
def book(monkeypatch):
    for variable in ("MLFLOW_TRACKING_URI", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    books = {"mlflow": Book(), "wandb": Book()}
    monkeypatch.setitem(sys.modules, "mlflow", FakeMlflow(books["mlflow"]))
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb(books["wandb"]))
    return books


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_holds_what_the_log_holds_in_one_run_though_it_was_ended_between(book, tmp_path, name):
    config = run_config(steps=4, trackers=(name,))
    with pytest.raises(EndedError):
        train(contrast_work(World(), ends_at=2), config, OPTIMIZER, tmp_path, "x")
    train(contrast_work(World()), config, OPTIMIZER, tmp_path, "x")
    (rows,) = book[name].runs.values()
    logged = {(step, key): value for step, key, value in read_log(tmp_path)}
    assert {(step, key): value for step, key, value in rows} == pytest.approx(logged, rel=1e-6)
    assert set(book[name].status.values()) == {"FINISHED"}
    for opened in book[name].opened:  # the run's folder, nobody's server
        assert opened == (f"sqlite:///{tmp_path / 'mlflow.db'}" if name == "mlflow" else ("offline", "allow", tmp_path))


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_told_before_anything_is_done(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, name, None)  # as Python marks what cannot be imported
    with pytest.raises(UsageError, match=rf"trackers asks for {name}, which is not installed; .*pip install {name}"):
        train(contrast_work(World()), run_config(trackers=(name,)), OPTIMIZER, tmp_path, "x")
    assert not (tmp_path / "log.csv").exists()


def test_an_mlflow_without_a_database_is_told(book, tmp_path):
    book["mlflow"].status["skinny"] = True
    with pytest.raises(
        UsageError, match=r"mlflow cannot write to sqlite:.*\(got unsupported URI 'sqlite'\); install all"
    ):
        train(contrast_work(World()), run_config(trackers=("mlflow",)), OPTIMIZER, tmp_path, "x")
