"""What every test may ask for."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers fill the cores already; two torch threads each, here and in the commands they start, wait for one
    # another several times longer than they compute. Set before anything imports torch.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of facts and real recordings beside the project (`S2V_SHARED`, default ``../shared``)."""
    project = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("S2V_SHARED", project.parent / "shared"))
    if not (folder / "real_data").is_dir():
        pytest.skip(f"needs the shared folder of facts and real recordings: {folder} is not there (set S2V_SHARED)")
    return folder
