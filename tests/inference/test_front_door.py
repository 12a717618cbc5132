"""`import sleep2vec`: the whole way in five lines, and reading a file costs no torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from untrained_models import untrained_model

import sleep2vec as s2v


def test_the_example_of_the_docstring_on_a_real_file(shared: Path, tmp_path: Path):
    night = s2v.harmonize(s2v.read(shared / "real_data" / "nox_a1_psg_120s" / "subject1.edf"))
    result = s2v.load(untrained_model(tmp_path / "m")).predict(night, tasks=["staging"], modalities=["ibi", "resp"])
    assert isinstance(result, s2v.NightResult)
    assert isinstance(night, s2v.Night)
    assert result.modalities == ("ibi", "resp")
    np.testing.assert_allclose(np.nansum(result.probabilities, axis=1), 1, atol=1e-5)


def test_every_name_at_the_door_opens():
    for name in s2v.__all__:
        assert getattr(s2v, name) is not None
    assert set(s2v.__all__) <= set(dir(s2v))
    assert issubclass(s2v.Sleep2vecError, Exception)
    with pytest.raises(AttributeError, match="module 'sleep2vec' has no attribute 'harmonise'"):
        s2v.harmonise  # noqa: B018


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert s2v.__version__ == version("sleep2vec") == "0.1.0"


def test_importing_costs_nothing():
    """That reading costs no torch either is shown in tests/architecture."""
    program = """
import sys, time
started = time.perf_counter()
import sleep2vec
seconds = time.perf_counter() - started
assert not {"numpy", "torch", "pyarrow", "pydantic"} & set(sys.modules)
assert seconds < 0.5, seconds
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
