"""The demo's own arithmetic and care; that the whole of it runs is shown in tests/end_to_end."""

import time
from pathlib import Path

import numpy as np
import pyedflib
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, f1_score

from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.studies import demo
from sleep2vec.studies.measured_command import run_measured
from sleep2vec.vocabulary.errors import Sleep2vecError, UsageError

WORDS = {5: ("W", "N1", "N2", "N3", "R"), 4: ("W", "Light", "Deep", "R"), 3: ("W", "NREM", "R")}
GROUPS = {5: (0, 1, 2, 3, 4), 4: (0, 1, 1, 2, 3), 3: (0, 1, 1, 1, 2)}


def test_scores_are_those_of_scikit_learn():
    """60 epochs, 20 of them wrong, 3 abstained from: those are left out and counted."""
    draw = np.random.default_rng(2)
    truth_L = draw.integers(0, 5, 60).astype(np.float32)
    said_L = np.where(draw.random(60) < 0.3, draw.integers(0, 5, 60), truth_L).astype(int)
    silent = {4, 30, 59}
    stages = {
        str(scheme): [None if t in silent else words[GROUPS[scheme][said]] for t, said in enumerate(said_L)]
        for scheme, words in WORDS.items()
    }
    scores = demo.score({"modalities": {"eeg": {}}, "abstained_epochs": sorted(silent), "stages": stages}, truth_L)
    kept = [t for t in range(60) if t not in silent]
    true, said = truth_L[kept].astype(int), said_L[kept]
    assert scores["accuracy"] == pytest.approx(accuracy_score(true, said))
    assert scores["kappa"] == pytest.approx(cohen_kappa_score(true, said))
    assert scores["macro_f1"] == pytest.approx(f1_score(true, said, average="macro"))
    assert scores["confusion"] == confusion_matrix(true, said).tolist()
    for scheme in (4, 3):
        grouped = [np.asarray(GROUPS[scheme])[codes] for codes in (true, said)]
        assert scores[f"kappa_{scheme}_classes"] == pytest.approx(cohen_kappa_score(*grouped))
    assert (scores["abstained"], scores["modalities"]) == (3, ["eeg"])
    table = demo.table(
        {"sensor_sets": {"EEG": scores}, "steps": {"a": {"seconds": 3, "peak_memory_mb": 1500}}, "note": ""}
    )
    assert f"{scores['accuracy']:>9.2f}{scores['kappa']:>8.2f}{scores['macro_f1']:>10.2f}" in table
    assert "3 s in all, at most 1.5 GB of memory." in table


def test_an_earlier_demo_is_emptied_and_nothing_else(tmp_path: Path):
    demo._prepare(tmp_path / "demo")
    (tmp_path / "demo" / "results.json").touch()
    demo._prepare(tmp_path / "demo")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [".sleep2vec-demo"]
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="holds something that no demo made"):
        demo._prepare(tmp_path)
    assert (tmp_path / "mine.txt").exists()


def test_the_unseen_night_loses_its_eeg_halfway_and_nothing_else(tmp_path: Path, monkeypatch):
    """pyedflib reads both files: equal everywhere but in the second half of the EEG.

    The truth that the demo compares with is how the person slept, not what the scorer wrote into the file.
    """
    monkeypatch.setattr(demo, "UNSEEN_HOURS", 0.5)
    truth_L = demo.write_unseen(tmp_path / "unseen", seed=3)
    assert len(truth_L) == 60
    with (
        pyedflib.EdfReader(str(tmp_path / "unseen" / "night.edf")) as whole,
        pyedflib.EdfReader(str(tmp_path / "unseen" / "night-eeg-off.edf")) as off,
    ):
        changed = []
        for channel, label in enumerate(whole.getSignalLabels()):
            first, second = (file.readSignal(channel) for file in (whole, off))
            half = len(first) // 2
            np.testing.assert_allclose(first[: half - 1], second[: half - 1], atol=2e-3 * np.ptp(first))
            if not np.allclose(first[half:], second[half:], atol=2e-3 * np.ptp(first)):
                changed.append(label)
        texts = [text for text in whole.readAnnotations()[2] if text.startswith("Sleep stage")]
        spans = [d for d, text in zip(*whole.readAnnotations()[1:], strict=True) if text.startswith("Sleep stage")]
    assert changed
    assert all(label.upper().startswith(("EEG", "F", "C", "O", "P")) for label in changed), changed
    words = [text.split()[-1] for text, s in zip(texts, spans, strict=True) for _ in range(round(s / 30))]
    scored_L = np.array([np.nan if word == "?" else WORDS[5].index(word) for word in words])
    truth = simulate_night(demo.UNSEEN_SEED_OFFSET + 3, site=demo.UNSEEN_SITE, hours=0.5).truth
    np.testing.assert_array_equal(truth_L, truth.stages_L)
    np.testing.assert_array_equal(scored_L, truth.scored_L)


def test_a_measured_command_has_its_cost_and_a_failed_one_its_exit_code():
    started = time.perf_counter()
    cost = run_measured(["--version"])
    assert 0 < cost.seconds <= time.perf_counter() - started
    assert 5 < cost.peak_memory_mb < 1000  # an interpreter with typer in it
    with pytest.raises(Sleep2vecError, match="`sleep2vec frobnicate` failed with exit code 2; see above"):
        run_measured(["frobnicate"])
