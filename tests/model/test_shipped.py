"""Models that come with the package: found by name, told from folders, small, and honest about what taught them."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sleep2vec.model.checkpoint import CARD, CONFIG, WEIGHTS, load_config, load_weights, save_checkpoint
from sleep2vec.model.shipped import STAGING, model_folder, shipped_models
from sleep2vec.vocabulary.errors import ModelError


def test_what_answers_when_nobody_names_a_model_is_there():
    assert STAGING in shipped_models()


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_is_small_and_says_that_only_simulated_nights_taught_it(name: str):
    """The judge is the file's own header: 16 bits, below 40 MB; and the words of card and config."""
    folder = model_folder(name)
    assert (folder / WEIGHTS).stat().st_size < 40e6
    with safe_open(folder / WEIGHTS, "pt") as tensors:
        slices = [tensors.get_slice(key) for key in load_weights(folder)]
        kinds = {part.get_dtype() for part in slices if len(part.get_shape()) > 1}
    assert kinds == {"BF16"}
    assert "trained on simulated nights only" in (folder / CARD).read_text(encoding="utf-8")
    config = load_config(folder)
    assert all(data["simulated_only"] for data in config["training_data"].values())
    assert "/work" not in (folder / CONFIG).read_text(encoding="utf-8")


def test_a_folder_comes_before_a_name_and_what_is_neither_is_told(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / STAGING).mkdir()
    assert model_folder(STAGING) == Path(STAGING)
    assert model_folder(tmp_path / "mine") == tmp_path / "mine"  # what is wrong with it, `load_config` tells
    with pytest.raises(ModelError, match=f"smal is neither the folder of a model nor one that comes .*{STAGING}"):
        model_folder("smal")


def test_16_bits_round_matrices_alone(tmp_path: Path):
    """bfloat16 keeps 8 bits of the mantissa: rounding is off by at most 2^-9 of a number, and vectors by nothing."""
    draw = torch.Generator().manual_seed(0)
    weights = {"matrix": torch.randn(40, 30, generator=draw), "vector": torch.randn(50, generator=draw)}
    save_checkpoint(tmp_path, weights, {}, "", "bfloat16")
    read = load_weights(tmp_path)
    assert torch.equal(read["vector"], weights["vector"])
    assert read["matrix"].dtype == torch.bfloat16
    error = (read["matrix"].float() - weights["matrix"]).abs() / weights["matrix"].abs()
    assert 0 < error.max() <= 2**-8
