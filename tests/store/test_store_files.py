"""What is written is what is read, judged by a plain reading of the bytes as `store.schema` documents them."""

import json
import os
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from store_nights import STORY, made_night

from sleep2vec.store.manifest import read_manifest, write_manifest
from sleep2vec.store.reader import Store
from sleep2vec.store.schema import Layout
from sleep2vec.store.writer import create_store, write_night
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.modalities import CORE, MODALITIES, TOKEN_SECONDS, WEARABLES
from sleep2vec.vocabulary.night import Night
from sleep2vec.vocabulary.subject import Subject

RATES = {"eeg": 128, "eog": 128, "emg": 128, "ecg": 128, "airflow": 4, "belt": 4, "spo2": 4, "ibi": 4, "resp": 4}
"""`method.md`, section 2; also the order in which signals lie in a file."""


def store_of(folder: Path, *nights: Night) -> Store:
    create_store(folder)
    for night in nights:
        write_night(folder, night)
    write_manifest(folder)
    return Store(folder)


@st.composite
def nights(draw) -> Night:
    """Any few tokens of any modalities: constant, tiny, huge, wholly invalid, one-sided."""
    n_tokens = draw(st.integers(1, 3))
    names = draw(st.lists(st.sampled_from(["airflow", "belt", "spo2", "ibi", "resp"]), min_size=1, unique=True))
    samples, valid = {}, {}
    for name in names:
        # Amplitudes of anything measured: 1e-12 (volts of an EEG are 1e-6) to 1e12.
        size, level = 10.0 ** draw(st.integers(-12, 12)), draw(st.sampled_from([0.0, 1.0, -40.0, 1000.0]))
        shape = arrays.arrays(np.float32, n_tokens * 120, elements=st.floats(-1, 1, width=32))
        samples[name] = ((draw(shape) + np.float32(level)) * np.float32(size)).astype(np.float32)
        valid[name] = draw(arrays.arrays(np.bool_, n_tokens))
    stages = draw(st.none() | arrays.arrays(np.float32, n_tokens, elements=st.sampled_from([0, 1, 2, 3, 4, np.nan])))
    return Night("n", Subject(), n_tokens, 0.0, samples, valid, dict.fromkeys(names, STORY), stages=stages)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(night=nights())
def test_valid_tokens_come_back_to_the_quantisation_step(tmp_path_factory, night: Night):
    """16 bits over the valid range: half a step of range / 65,534, and what float32 itself cannot hold."""
    store = store_of(tmp_path_factory.mktemp("store"), night)
    assert set(store.row("n").signals) == set(night.samples)
    for name, samples_T in night.samples.items():
        valid_L = store.valid("n", name)
        assert valid_L.tolist() == night.valid[name].tolist()
        wanted_LS = samples_T.reshape(night.n_tokens, -1)[valid_L].astype(np.float64)
        if wanted_LS.size == 0:
            continue
        found_LS = store.samples("n", name)[valid_L].astype(np.float64)
        step = (wanted_LS.max() - wanted_LS.min()) / 65534
        # Below 1e-38 float32 has no relative precision left, and a step is multiplied by up to 32,767.
        floats = np.finfo(np.float32)
        rounding = 4 * floats.eps * np.abs(wanted_LS).max() + 32767 * float(floats.smallest_subnormal)
        assert np.abs(found_LS - wanted_LS).max() <= 0.5 * step + rounding
    wanted_L = np.full(night.n_tokens, np.nan) if night.stages is None else night.stages
    np.testing.assert_array_equal(store.stages("n"), wanted_L)


def test_invalid_tokens_never_matter(tmp_path: Path):
    """Whatever lies in an invalid token, the same bytes are written, so nobody downstream can see it."""
    clean = made_night(seed=3)
    dirty = made_night(seed=3)
    for name, samples_T in dirty.samples.items():
        tokens_LS = samples_T.reshape(dirty.n_tokens, -1)
        tokens_LS[~dirty.valid[name]] = np.resize([np.nan, np.inf, -1e30, 7.0], tokens_LS.shape[1])
    assert not all(valid_L.all() for valid_L in dirty.valid.values())
    for folder, night in (("clean", clean), ("dirty", dirty)):
        store_of(tmp_path / folder, night)
    for file in ("nights/n1.s2v", "nights/n1.json", "manifest.parquet", "store.json"):
        assert (tmp_path / "clean" / file).read_bytes() == (tmp_path / "dirty" / file).read_bytes()


def test_valid_tokens_that_are_not_numbers_are_refused(tmp_path: Path):
    night = made_night(seed=3)
    night.valid["eeg"][:] = True
    night.samples["eeg"][17] = np.nan
    create_store(tmp_path)
    with pytest.raises(StoreError, match="n1: valid eeg tokens hold values that are not finite"):
        write_night(tmp_path, night)
    assert list((tmp_path / "nights").iterdir()) == []


def plain_reading(path: Path, row: dict, n_tokens: int) -> tuple[dict, dict, list]:
    """The file by its description alone: int16 signals one after the other, validity bytes, stage bytes."""
    content, place = path.read_bytes(), 0
    present = [name for name in RATES if row[f"{name}_sensor"] is not None]
    signals, valid = {}, {}
    for name in present:
        n = n_tokens * TOKEN_SECONDS * RATES[name]
        integers = struct.unpack_from(f"<{n}h", content, place)
        signals[name] = [integer * row[f"{name}_scale"] + row[f"{name}_offset"] for integer in integers]
        place += 2 * n
    for name in present:
        valid[name] = [byte == 1 for byte in content[place : place + n_tokens]]
        place += n_tokens
    stages = [None if byte == 255 else byte for byte in content[place:]]
    assert len(stages) == n_tokens
    return signals, valid, stages


def test_the_file_is_laid_out_as_documented(tmp_path: Path):
    night = made_night(modalities=("resp", "spo2", "ecg", "eeg"), n_tokens=4)
    store = store_of(tmp_path, night)
    row = pq.read_table(tmp_path / "manifest.parquet").to_pylist()[0]
    signals, valid, stages = plain_reading(tmp_path / "nights" / "n1.s2v", row, 4)
    assert list(signals) == ["eeg", "ecg", "spo2", "resp"]
    for name in signals:
        wanted = np.array(signals[name])
        np.testing.assert_allclose(store.samples("n1", name).ravel(), wanted, rtol=1e-6, atol=1e-6 * np.ptp(wanted))
        assert store.valid("n1", name).tolist() == valid[name]
    assert [None if np.isnan(code) else code for code in store.stages("n1")] == stages


@pytest.mark.parametrize("modality", ["eeg", "spo2", "resp"])
def test_a_window_of_one_modality_reads_its_own_bytes_and_no_others(tmp_path: Path, modality: str):
    """Every byte outside the window is turned over; the window may not notice, and must see each byte inside."""
    whole = store_of(tmp_path, made_night(modalities=("eeg", "spo2", "resp"), n_tokens=6))
    first, n_tokens = 2, 3
    wanted = whole.samples("n1", modality, first, n_tokens)
    before = {"eeg": 0, "spo2": 6 * 30 * 128 * 2, "resp": 6 * 30 * (128 + 4) * 2}[modality]
    size = 2 * 30 * MODALITIES[modality].rate_hz
    window = slice(before + first * size, before + (first + n_tokens) * size)
    path = tmp_path / "nights" / "n1.s2v"
    content = np.fromfile(path, np.uint8)
    turned = ~content
    turned[window] = content[window]
    turned.tofile(path)
    np.testing.assert_array_equal(Store(tmp_path).samples("n1", modality, first, n_tokens), wanted)
    content[window] ^= 1
    content.tofile(path)
    assert (Store(tmp_path).samples("n1", modality, first, n_tokens) != wanted).sum() > wanted.size / 2


def test_windows_are_cuts_of_the_night_and_nothing_beyond_it(tmp_path: Path):
    store = store_of(tmp_path, made_night(n_tokens=7))
    for first in range(8):
        for n_tokens in range(8 - first):
            place = slice(first, first + n_tokens)
            np.testing.assert_array_equal(
                store.samples("n1", "eeg", first, n_tokens), store.samples("n1", "eeg")[place]
            )
            np.testing.assert_array_equal(store.valid("n1", "ibi", first, n_tokens), store.valid("n1", "ibi")[place])
            np.testing.assert_array_equal(store.stages("n1", first, n_tokens), store.stages("n1")[place])
    for first, n_tokens in ((-1, 2), (0, 8), (7, 1), (3, -1)):
        with pytest.raises(IndexError, match="n1 has 7 tokens"):
            store.samples("n1", "eeg", first, n_tokens)


def test_the_same_night_gives_the_same_bytes(tmp_path: Path):
    for folder in ("a", "b"):
        store_of(tmp_path / folder, made_night("n1", seed=5), made_night("n0", seed=6))
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert [str(name) for name in names] == [
        "manifest.parquet", "nights/n0.json", "nights/n0.s2v", "nights/n1.json", "nights/n1.s2v", "store.json",
    ]  # fmt: skip
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_night_being_replaced_is_not_there_until_it_is_whole(tmp_path: Path, monkeypatch):
    """New integers under an old description would be read with the wrong constants."""
    store_of(tmp_path, made_night("n1", seed=5))
    old, replace = (tmp_path / "nights" / "n1.s2v").read_bytes(), os.replace

    def fails_at_the_description(source, target):
        if str(target).endswith(".json"):
            raise OSError("no space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_at_the_description)
    with pytest.raises(OSError, match="no space left"):
        write_night(tmp_path, made_night("n1", seed=6))
    assert (tmp_path / "nights" / "n1.s2v").read_bytes() != old
    assert [path.name for path in (tmp_path / "nights").iterdir()] == ["n1.s2v"]


def test_the_manifest_says_version_3_and_what_the_night_said(tmp_path: Path):
    night = made_night(start=datetime(2024, 3, 1, 22, 30, 15), cohort="shhs", site="alpha")
    store_of(tmp_path, night, made_night("n2", subject=Subject(), stages=None))
    table = pq.read_table(tmp_path / "manifest.parquet")
    assert table.schema.metadata[b"sleep2vec_store_version"] == b"3"
    assert json.loads((tmp_path / "store.json").read_text())["sleep2vec_store_version"] == 3
    first, second = table.to_pylist()
    told = ("night_id", "subject_id", "cohort", "site", "age_years", "sex", "start", "grid_start_s", "n_tokens")
    assert tuple(first[name] for name in told) == (
        "n1", "p1", "shhs", "alpha", 61.5, "female", datetime(2024, 3, 1, 22, 30, 15), 7.5, 5,
    )  # fmt: skip
    assert (first["eeg_centre"], first["eeg_spread"], first["eeg_sensor"]) == (1.5, 12.25, "eeg")
    assert first["eeg_valid_share"] == pytest.approx(sum(night.valid["eeg"]) / 5)
    assert first["n_scored_tokens"] == sum(not np.isnan(stage) for stage in night.stages)
    assert {name: first[f"{name}_sensor"] for name in RATES if first[f"{name}_sensor"]} == {"eeg": "eeg", "ibi": "eeg"}
    assert [second[name] for name in ("subject_id", "age_years", "sex", "start", "cohort")] == [None] * 5
    assert second["n_scored_tokens"] == 0


def test_a_store_with_one_open_night_reads_them_all(tmp_path: Path):
    made = [made_night(f"n{i}", seed=i) for i in range(4)]
    many, one = store_of(tmp_path, *made), Store(tmp_path, open_nights=1)
    for i in (0, 1, 1, 3, 2, 0, 3, 0):
        np.testing.assert_array_equal(one.samples(f"n{i}", "eeg"), many.samples(f"n{i}", "eeg"))
        assert list(one._files) == [f"n{i}"]
    assert len(many._files) == 4


def test_the_longest_unused_night_is_closed(tmp_path: Path):
    store_of(tmp_path, *(made_night(f"n{i}") for i in range(3)))
    store = Store(tmp_path, open_nights=2)
    for name in ("n0", "n1", "n0", "n2"):
        store.valid(name, "eeg")
    assert list(store._files) == ["n0", "n2"]


@pytest.mark.parametrize("night_id", ["../up", "a/b", "", ".hidden", "ü", "n" * 152, "con:1"])
def test_ids_that_cannot_name_a_file_are_refused(tmp_path: Path, night_id: str):
    create_store(tmp_path / "store")
    with pytest.raises(StoreError, match="cannot name a file: use letters, digits"):
        write_night(tmp_path / "store", made_night(night_id))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["nights", "store", "store.json"]


def test_a_folder_of_something_else_is_no_store_and_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.doc").write_text("chapter 1")
    with pytest.raises(StoreError, match="exists, is not empty and is not a store; name an empty or a new folder"):
        create_store(tmp_path)
    with pytest.raises(StoreError, match="is a file; name an empty or a new folder"):
        create_store(tmp_path / "thesis.doc")
    with pytest.raises(StoreError, match=r"is not a store \(it has no store.json\); make one with `sleep2vec ingest`"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_broken_stores_say_what_is_wrong(tmp_path: Path):
    store_of(tmp_path, made_night())
    manifest, marker, signals = tmp_path / "manifest.parquet", tmp_path / "store.json", tmp_path / "nights" / "n1.s2v"

    def complaint() -> str:
        with pytest.raises(StoreError) as caught:
            Store(tmp_path).samples("n1", "eeg")
        return str(caught.value)

    with pytest.raises(StoreError, match="has no night 'n9'"):
        Store(tmp_path).samples("n9", "eeg")
    kept = signals.read_bytes()
    signals.write_bytes(kept[:-1])
    assert f"n1.s2v has {len(kept) - 1} bytes where the manifest says {len(kept)}." in complaint()
    signals.unlink()
    assert "n1.s2v is missing or empty; run `sleep2vec ingest` again." in complaint()
    manifest.write_bytes(b"PAR1 and no more")
    assert "manifest.parquet is damaged" in complaint()
    manifest.unlink()
    assert "has no manifest: its ingest did not finish; run `sleep2vec ingest` again." in complaint()
    marker.write_text('{"sleep2vec_store_version": 1}')
    assert (
        "is a store of version 1, this sleep2vec reads version 3; ingest the recordings again into a new" in complaint()
    )
    for damage in (b"", b"[]", b"{}", b"\xff\xfe\x00", b"7"):
        marker.write_bytes(damage)
        assert "store.json is damaged; ingest the recordings again into a new folder." in complaint()


def test_a_manifest_of_another_version_is_not_read(tmp_path: Path):
    store_of(tmp_path, made_night())
    table = pq.read_table(tmp_path / "manifest.parquet")
    pq.write_table(table.replace_schema_metadata({"sleep2vec_store_version": "4"}), tmp_path / "manifest.parquet")
    with pytest.raises(StoreError, match=r"manifest.parquet says version 4, this sleep2vec reads 3"):
        read_manifest(tmp_path)


def test_a_store_of_version_2_is_read_and_becomes_version_3_with_its_first_new_night(tmp_path: Path):
    """Version 2 knew nine modalities: its files lie as ours do, and its manifest lacks the columns of the other two."""
    core = made_night("n1")
    store = store_of(tmp_path, core)
    before = {name: store.samples("n1", name) for name in core.samples}
    marker, manifest = tmp_path / "store.json", tmp_path / "manifest.parquet"
    marker.write_text(json.dumps({"sleep2vec_store_version": 2}))
    table = pq.read_table(manifest)
    older = [name for name in table.column_names if name.split("_")[0] not in WEARABLES]
    pq.write_table(table.select(older).replace_schema_metadata({"sleep2vec_store_version": "2"}), manifest)
    opened = Store(tmp_path)
    assert all(np.array_equal(opened.samples("n1", name), before[name]) for name in before)
    worn = made_night("n2", modalities=("eeg", *WEARABLES))
    again = store_of(tmp_path, worn)
    assert json.loads(marker.read_text())["sleep2vec_store_version"] == 3
    assert [row.night_id for row in again.rows] == ["n1", "n2"]
    assert set(again.row("n2").signals) == {"eeg", *WEARABLES}
    assert np.array_equal(again.valid("n2", "ppg"), worn.valid["ppg"])


def test_what_is_new_in_version_3_lies_behind_what_version_2_knew():
    """So the signals of a night stay where they were, whatever a watch adds."""
    nine, eleven = Layout(7, CORE), Layout(7, tuple(MODALITIES))
    assert tuple(MODALITIES)[:9] == CORE
    assert [eleven.signal_start(name) for name in CORE] == [nine.signal_start(name) for name in CORE]
