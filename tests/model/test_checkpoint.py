"""A model folder: what goes in comes out, and what is broken is said in a sentence."""

import hashlib
import json

import pytest
import torch

from sleep2vec.model.checkpoint import load_config, load_weights, save_checkpoint, structure_of, weights_digest
from sleep2vec.vocabulary.errors import ModelError


@pytest.fixture
def folder(tmp_path):
    weights = {"a": torch.randn(3, 4), "half": torch.randn(5).bfloat16(), "view": torch.randn(6, 2).T}
    save_checkpoint(tmp_path / "model", weights, {"kind": "test", "model": {"size": "tiny"}}, "# Card\nÅngström")
    return tmp_path / "model", weights


def test_what_goes_in_comes_out_bit_for_bit(folder):
    path, weights = folder
    loaded = load_weights(path)
    assert loaded.keys() == weights.keys()
    assert all(
        torch.equal(loaded[name], weights[name]) and loaded[name].dtype == weights[name].dtype for name in loaded
    )
    assert load_config(path) == {"format": 1, "kind": "test", "model": {"size": "tiny"}}
    assert (path / "card.md").read_text(encoding="utf-8") == "# Card\nÅngström"


def test_only_the_three_files_lie_there_and_none_is_a_pickle(folder):
    path, _ = folder
    assert sorted(p.name for p in path.iterdir()) == ["card.md", "config.json", "model.safetensors"]
    size = int.from_bytes((path / "model.safetensors").read_bytes()[:8], "little")  # the format: length, then JSON
    header = json.loads((path / "model.safetensors").read_bytes()[8 : 8 + size])
    assert set(header) == {"a", "half", "view"}


def test_who_may_read_other_files_may_read_the_weights(folder, tmp_path):
    (tmp_path / "usual").touch()
    assert (folder[0] / "model.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_structure_is_that_of_the_module_that_would_be_built():
    """Names and shapes, also of buffers that are kept; a part more is another structure."""
    built = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    structure = json.loads(structure_of(lambda: torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))))
    assert structure == {name: list(tensor.shape) for name, tensor in built.state_dict().items()}
    assert "1.running_mean" in structure
    assert structure_of(lambda: torch.nn.Linear(3, 2)) != structure_of(lambda: torch.nn.Linear(3, 2, bias=False))


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ModelError, match=r"is not a folder; a model is a folder with model\.safetensors and"):
        load_config(tmp_path / "nowhere")


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(folder, missing):
    path, _ = folder
    (path / missing).unlink()
    with pytest.raises(ModelError, match=rf"is no model: it lacks {missing}; name the folder"):
        load_config(path)


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"kind": "x"}', "\xff\xfe"])
def test_a_damaged_config_is_named(folder, text):
    path, _ = folder
    (path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"config.json is damaged; copy the model again"):
        load_config(path)


def test_a_later_format_is_refused(folder):
    path, _ = folder
    (path / "config.json").write_text('{"format": 2}')
    with pytest.raises(ModelError, match="model format 2, this sleep2vec reads format 1"):
        load_config(path)


@pytest.mark.parametrize("cut", [0, 4, 60, -3])
def test_damaged_weights_are_named(folder, cut):
    path, _ = folder
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[:cut])
    with pytest.raises(ModelError, match=r"model.safetensors is damaged .*; copy the model again"):
        load_weights(path)


def test_the_digest_of_weights_is_that_of_the_file_and_changes_with_one_bit(tmp_path):
    """`hashlib` over the file's bytes is the judge; a model that was trained on is another model."""
    save_checkpoint(tmp_path, {"weight": torch.zeros(3, 3)}, {"fingerprint": "same"}, "")
    first = weights_digest(tmp_path)
    assert first == hashlib.blake2b((tmp_path / "model.safetensors").read_bytes(), digest_size=12).hexdigest()
    changed = torch.zeros(3, 3)
    changed[0, 0] = 1e-38
    save_checkpoint(tmp_path, {"weight": changed}, {"fingerprint": "same"}, "")
    assert weights_digest(tmp_path) != first
