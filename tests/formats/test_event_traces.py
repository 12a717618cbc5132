"""Codes over time in an EDF that another library wrote, against the codes and a plain walk over them."""

from itertools import groupby
from pathlib import Path

import edfio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.formats.event_traces import read_event_traces
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.scoring import ScoringWords

STAGES = [5, 5, 3, 2, 2, 1, 4, 9, 5, 5]
NAME_OF_CODE = {1: 3, 2: 2, 3: 1, 4: 4, 5: 0}  # the challenge's code -> index in W N1 N2 N3 R


def trace(label: str, codes: list[int], rate_hz: float) -> edfio.EdfSignal:
    samples = np.asarray(codes, float)
    return edfio.EdfSignal(samples, rate_hz, label=label, physical_range=(0, 10), digital_range=(0, 10))


def written(path: Path, *signals: edfio.EdfSignal) -> Path:
    edfio.Edf(list(signals), data_record_duration=30).write(path)
    return path


def test_stages_and_events_at_their_own_rates(tmp_path: Path):
    resp = np.zeros(300, int)
    resp[30:45], resp[100:112], resp[112:130] = 1, 4, 5
    arousal = np.zeros(600, int)
    arousal[240:250] = 1  # 120-125 s at 2 Hz
    path = written(
        tmp_path / "a_caisr_annotations.edf",
        trace("stage_caisr", STAGES, 1 / 30),
        trace("resp_caisr", resp.tolist(), 1.0),
        trace("arousal_caisr", arousal.tolist(), 2.0),
        trace("caisr_prob_w", [1] * 10, 1 / 30),
    )
    scoring = read_event_traces(path, ScoringWords())
    seconds = [s.stage for s in scoring.stages for _ in range(round(s.duration_s))]
    assert seconds == [NAME_OF_CODE.get(code) for code in STAGES for _ in range(30)]
    assert scoring.epoch_s == pytest.approx(30)
    assert [(e.kind, e.onset_s, e.duration_s) for e in scoring.events] == [
        ("obstructive_apnea", 30, 15),
        ("hypopnea", 100, 12),
        ("rera", 112, 18),
        ("arousal", 120, 5),
    ]


def test_experts_have_codes_of_their_own(tmp_path: Path):
    """The challenge's table of human annotations: 1-3 apneas, 4-6 hypopneas, 7 RERA, 8 apnea, 9 hypopnea."""
    codes = np.repeat([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 3)
    path = written(tmp_path / "a.edf", trace("resp_expert", codes.tolist(), 1.0))
    assert [event.kind for event in read_event_traces(path, ScoringWords()).events] == [
        "obstructive_apnea",
        "central_apnea",
        "mixed_apnea",
        *["hypopnea"] * 3,
        "rera",
        "apnea",
        "hypopnea",
    ]


def test_the_cohorts_codes_win(tmp_path: Path):
    path = written(tmp_path / "a.edf", trace("stage_expert", [0, 4, 7], 1 / 30))
    words = ScoringWords(stages={"0": 0, "4": 3})
    assert [span.stage for span in read_event_traces(path, words).stages] == [0, 3, None]


def test_a_recording_is_no_scoring(tmp_path: Path):
    path = written(tmp_path / "a.edf", trace("C4-M1", [0] * 30, 1.0))
    with pytest.raises(UnreadableFileError, match=r"no channel of codes .*scoring was expected"):
        read_event_traces(path, ScoringWords())


@settings(max_examples=25, deadline=None)
@given(codes=st.lists(st.integers(0, 10), min_size=30, max_size=30))
def test_every_run_is_one_event(tmp_path_factory: pytest.TempPathFactory, codes: list[int]):
    path = written(tmp_path_factory.mktemp("traces") / "a.edf", trace("limb_expert", codes, 1.0))
    at = 0
    expected = []
    for code, run in groupby(codes):
        n = len(list(run))
        if code:
            expected.append((at, n, True))
        at += n
    events = read_event_traces(path, ScoringWords()).events
    assert [(e.onset_s, e.duration_s, e.kind == "limb_movement") for e in events] == expected
