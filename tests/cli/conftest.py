"""The program, run in this process: importing torch anew for every command would take minutes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from untrained_models import untrained_model

from sleep2vec.cli.main import run
from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.vocabulary.recording import Recording, Signal


class Outcome(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def sleep2vec(monkeypatch, capsys) -> Callable[..., Outcome]:
    """Call it with the words of a command line."""

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["sleep2vec", *map(str, words)])
        capsys.readouterr()
        try:
            run()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return untrained_model(tmp_path_factory.mktemp("model") / "untrained")


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> Path:
    return untrained_model(tmp_path_factory.mktemp("model") / "encoder", kind="pretrained")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory) -> Path:
    """Files that are wrong in one way each, and a good one."""
    folder = tmp_path_factory.mktemp("recordings")
    draw = np.random.default_rng(0)

    def written(name: str, label: str, unit: str, seconds: float) -> None:
        # Neighbouring samples of a brain are alike; white noise would rightly be taken for an open input.
        samples_T = np.convolve(draw.normal(0, 60, round(seconds * 128)), np.ones(8) / 8, "same")
        signal = Signal.from_array(label, samples_T, 128.0, unit)
        write_edf(folder / name, Recording((signal,), seconds))

    written("good.edf", "C4-M1", "uV", 150)
    written("short.edf", "C4-M1", "uV", 29)
    written("nothing.edf", "Kitchen", "degC", 150)
    (folder / "text.edf").write_text("Dear Sir or Madam, please find attached the recording of the patient. " * 20)
    header = (folder / "good.edf").read_bytes()[: 256 * 2]
    (folder / "no-records.edf").write_bytes(header[:236] + b"0       " + header[244:])
    (folder / "empty.edf").touch()
    return folder
