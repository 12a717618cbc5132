"""Bit rot: every bit of every file is flipped; nothing may be read wrongly and silently."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from store_nights import made_night

from sleep2vec.store import verify
from sleep2vec.store.manifest import read_manifest, write_manifest
from sleep2vec.store.verify import damaged_nights
from sleep2vec.store.writer import create_store, write_night
from sleep2vec.vocabulary.errors import StoreError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    create_store(tmp_path)
    for i in range(2):
        write_night(tmp_path, made_night(f"n{i}", modalities=("ibi",), n_tokens=2, seed=i, site="a"))
    write_manifest(tmp_path)
    return tmp_path


def found(store: Path) -> str:
    """What verify says of it, or the sentence with which it cannot be opened."""
    try:
        return "; ".join(f"{night_id}: {wrong}" for night_id, wrong in damaged_nights(store))
    except StoreError as error:
        return str(error)


def test_a_whole_store_is_whole(store: Path):
    """The checksum is BLAKE2b-128 of the file, as any other program computes it."""
    assert found(store) == ""
    for row in read_manifest(store):
        content = (store / "nights" / f"{row.night_id}.s2v").read_bytes()
        assert row.checksum == hashlib.blake2b(content, digest_size=16).hexdigest()


@pytest.mark.parametrize("name", ["nights/n1.s2v", "nights/n1.json"])
def test_a_flipped_bit_in_any_byte_of_a_night_is_found(store: Path, name: str, monkeypatch):
    rows = read_manifest(store)
    monkeypatch.setattr(verify, "read_manifest", lambda store: rows)  # unchanged here, and slow to read
    path = store / name
    content = path.read_bytes()
    unnoticed = []
    for place in range(len(content)):
        turned = bytearray(content)
        turned[place] ^= 1 << (place % 8)
        path.write_bytes(turned)
        if f"n1: the checksum of {path.name} differs" not in found(store):
            unnoticed.append((place, content[place - 10 : place + 10]))
    assert unnoticed == []


def test_a_flipped_bit_of_the_manifest_is_found_or_changes_nothing_that_is_read(store: Path):
    """Parquet keeps statistics and hints nobody here reads; every other bit must be missed."""
    path = store / "manifest.parquet"
    content, wanted = path.read_bytes(), read_manifest(store)
    n_found, places = 0, np.random.default_rng(1).permutation(len(content))[:200]
    for place in places:
        turned = bytearray(content)
        turned[place] ^= 1 << int(np.random.default_rng(place).integers(8))
        path.write_bytes(turned)
        if found(store):
            n_found += 1
        else:
            assert read_manifest(store) == wanted
    assert n_found > 0.5 * len(places)


def test_a_manifest_that_disagrees_with_its_nights_is_found(store: Path):
    kept = (store / "manifest.parquet").read_bytes()
    write_night(store, made_night("n1", modalities=("ibi",), n_tokens=2, seed=9, site="a"))
    assert found(store) == "n1: the manifest says something else than its description"
    write_night(store, made_night("n2", modalities=("ibi",), n_tokens=2, seed=9, site="a"))
    write_manifest(store)
    assert found(store) == ""
    (store / "manifest.parquet").write_bytes(kept)
    assert found(store).endswith("n2: the manifest does not know it")


@pytest.mark.parametrize("name", ["n1.s2v", "n1.json"])
def test_a_missing_file_is_found(store: Path, name: str):
    (store / "nights" / name).unlink()
    assert found(store) == f"n1: its file {name} is missing"


def test_a_cut_file_is_found(store: Path):
    path = store / "nights" / "n0.s2v"
    path.write_bytes(path.read_bytes()[:-1])
    assert found(store).startswith("n0: the checksum of n0.s2v differs")
