"""What every test may ask for."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of facts and real recordings beside the project (`S2V_SHARED`, default ``../shared``)."""
    project = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("S2V_SHARED", project.parent / "shared"))
    if not (folder / "real_data").is_dir():
        pytest.skip(f"needs the shared folder of facts and real recordings: {folder} is not there (set S2V_SHARED)")
    return folder
