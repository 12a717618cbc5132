"""Stages and events of EDF+ files, held to mne and to the words of the standard."""

import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import Channel, EdfFile, counting, time_stamps
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.formats.annotation_words import EVENT_WORDS, kind_of
from sleep2vec.formats.edf_annotations import Annotation, parse_annotations, read_hypnogram, stages_and_events
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.stages import StageSpan, hypnogram_of

# The Sleep-EDF words, as its documentation gives them.
RK = {"W": 0, "1": 1, "2": 2, "3": 3, "4": 3, "R": 4, "?": None}


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_sleep_edf_hypnogram_is_what_mne_reads(shared: Path, suffix: str):
    import mne

    path = shared / f"real_data/sleep_edf/SC4001EC-Hypnogram{suffix}"
    scoring = read_hypnogram(path)
    stages, events, start = list(scoring.stages), list(scoring.events), scoring.start
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge = mne.read_annotations(path.with_suffix(".edf"))
    assert events == []
    assert start == datetime(1989, 4, 24, 16, 13)
    assert [span.onset_s for span in stages] == list(judge.onset)
    assert [span.duration_s for span in stages] == list(judge.duration)
    words = [text.removeprefix("Sleep stage ") for text in judge.description]
    assert [span.stage for span in stages] == [RK[word] if word != "Movement time" else None for word in words]


def test_sleep_edf_hypnogram_agrees_with_another_persons_extraction(shared: Path):
    """AutoSleepScorer published SC4001 by the second, the wake around the night trimmed."""
    stages = list(read_hypnogram(shared / "real_data/sleep_edf/SC4001EC-Hypnogram.edf").stages)
    night = np.load(shared / "real_data/sleep_edf/autosleepscorer_sc_hypnograms_1s.npz")
    name = next(key for key in night.files if "4001" in key)
    theirs = np.array([0, 1, 2, 3, 3, 4])[np.clip(night[name][::30].ravel().astype(int), 0, 5)]
    ours = hypnogram_of(stages, 0.0, 2880)
    ours = ours[np.isfinite(ours)]
    matches = [np.array_equal(theirs[:600], ours[i : i + 600]) for i in range(len(ours) - 600)]
    assert sum(matches) == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Obstructive apnea", "obstructive_apnea"),
        ("Apnea, obstructive", "obstructive_apnea"),
        ("OBSTRUCTIVE APNOEA@@Nasal", "obstructive_apnea"),
        ("Central apnea", "central_apnea"),
        ("Apnea (central)", "central_apnea"),
        ("Mixed Apnea", "mixed_apnea"),
        ("Hypopnea", "hypopnea"),
        ("Obstructive Hypopnoea", "hypopnea"),
        ("EEG arousal", "arousal"),
        ("Arousal (hypopnea)", "arousal"),
        ("SpO2 desaturation 4 %", "desaturation"),
        ("Oxygen Desaturation", "desaturation"),
        ("Lights off", "lights_off"),
        ("LIGHTS OUT", "lights_off"),
        ("Lights on", "lights_on"),
        ("light-on", "lights_on"),
        ("Apnea", "apnea"),  # which one was not said
        ("RERA", "rera"),
        ("Respiratory effort-related arousal", "rera"),
        ("Obstructive apnea?", None),
        ("no hypopnea seen", None),
        ("Limb movement", "limb_movement"),
        ("patient asks for the lights on in the corridor to be switched", None),
        ("", None),
    ],
)
def test_kinds_of_events(text: str, kind: str | None):
    assert kind_of(text) == kind


def test_every_kind_is_found_in_the_words_it_is_written_with():
    assert {kind: kind_of(words) for kind, words in EVENT_WORDS.items()} == {kind: kind for kind in EVENT_WORDS}


def spans(*rows: tuple[float, float | None, str]) -> list[StageSpan]:
    return stages_and_events([Annotation(*row) for row in rows])[0]


def test_a_stage_without_a_duration_lasts_until_the_next():
    """A list of changes: W at 0, N1 at 90, N2 at 120 and nothing behind it."""
    assert spans((0, None, "Sleep stage W"), (90, None, "N1"), (120, 0, "N2")) == [
        StageSpan(0, 90, 0),
        StageSpan(90, 30, 1),
        StageSpan(120, 30, 2),
    ]


def test_a_hole_in_a_list_of_epochs_stays_a_hole():
    """W twice in a row: one entry an epoch. Nobody scored 60 to 300 s."""
    rows = [(0, None, "Sleep stage W"), (30, None, "Sleep stage W"), (300, None, "Sleep stage N2")]
    hypnogram = hypnogram_of(spans(*rows), 0.0, 11)
    np.testing.assert_array_equal(hypnogram, [0, 0, *[np.nan] * 8, 2])


def test_epochs_of_20_s_keep_their_length():
    assert [s.duration_s for s in spans(*[(20 * i, None, "Sleep stage 2") for i in range(3)])] == [20, 20, 30]


def test_remarks_do_not_unscore_an_epoch():
    """A technician's "Movement" is a remark; "Sleep stage ?" and whole epochs of it are unscored."""
    stages, events = stages_and_events(
        [
            Annotation(0, 30, "N2"),
            Annotation(10, None, "Movement"),
            Annotation(30, 30, "Movement"),
            Annotation(60, 30, "Sleep stage ?"),
            Annotation(90, 30, "Movement time"),
            Annotation(95, 3, "U"),
        ]
    )
    assert [span.stage for span in stages] == [2, None, None, None]
    assert [(event.text, event.kind) for event in events] == [("Movement", None), ("U", None)]


def test_parses_the_examples_of_the_standard():
    """EDF+ 2.2.2: several texts in one list; a duration; UTF-8; and pieces that are none of it."""
    record = b"+180\x14Lights off\x14Close door\x14\0+1800.2\x1525.5\x14Apnea\x14\0+3\x14\xc3\xa9veil\x14\0\0\0"
    garbage = b"+9030.4\x150\x14\0hello\0+99999999999\x14x\x14\0+1\x15abc\x14x\x14\0"
    found, n_garbage = parse_annotations([record, garbage])
    assert found == [
        Annotation(180.0, None, "Lights off"),
        Annotation(180.0, None, "Close door"),
        Annotation(1800.2, 25.5, "Apnea"),
        Annotation(3.0, None, "éveil"),
    ]
    assert n_garbage == 4


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_whatever_break_the_parser(records: list[bytes]):
    found, _ = parse_annotations(records)
    stages_and_events(found)
    assert all(np.isfinite(item.onset_s) and item.text for item in found)


def test_several_annotation_channels(tmp_path: Path):
    second = time_stamps(["+0", "+1"], {1: b"+1.5\x14Hypopnea\x14\0"})
    second.data = [b"+0.2\x14Lights off\x14\0", b"+1.5\x14Hypopnea\x14\0"]
    path = tmp_path / "night.edf"
    path.write_bytes(EdfFile([Channel(counting(2, 2)), time_stamps(["+0", "+1"]), second], "EDF+C").to_bytes())
    events = list(read_hypnogram(path).events)
    assert [(event.kind, event.onset_s) for event in events] == [("lights_off", 0.2), ("hypopnea", 1.5)]


def test_a_file_without_annotations_is_no_hypnogram(tmp_path: Path):
    path = tmp_path / "night.edf"
    path.write_bytes(EdfFile([Channel(counting(2, 2))]).to_bytes())
    with pytest.raises(UnreadableFileError, match="has no 'EDF Annotations' channel, so it holds no hypnogram"):
        read_hypnogram(path)


def slowly(rows: list[tuple[float, float, int | None]], start_s: float, n_tokens: int) -> list[float]:
    """By seconds: the later row holds, most seconds win, at least 15, of equals the one that comes first."""
    found = []
    for token in range(n_tokens):
        first = start_s + 30 * token
        seconds: list[int | None] = []
        for second in np.arange(first, first + 30):
            inside = [stage for onset, length, stage in rows if onset <= second < onset + length]
            seconds.append(inside[-1] if inside else None)
        scored = [stage for stage in seconds if stage is not None]
        most = max((scored.count(stage) for stage in scored), default=0)
        winner = next((stage for stage in scored if scored.count(stage) == most), None)
        found.append(float(winner) if winner is not None and len(scored) >= 15 else np.nan)
    return found


whole = st.integers(-40, 200).map(float)
span_rows = st.lists(
    st.tuples(whole, st.integers(0, 90).map(float), st.one_of(st.none(), st.integers(0, 4))), max_size=8
)


@given(span_rows, st.integers(-20, 20).map(float))
def test_a_token_has_the_stage_that_fills_most_of_it(rows: list[tuple[float, float, int | None]], start_s: float):
    np.testing.assert_array_equal(
        hypnogram_of([StageSpan(*row) for row in rows], start_s, 6),
        np.array(slowly(rows, start_s, 6), dtype=np.float32),
    )


def test_a_stage_without_an_end_lasts_to_the_end():
    np.testing.assert_array_equal(hypnogram_of([StageSpan(30.0, float("inf"), 2)], 0.0, 4), [np.nan, 2, 2, 2])
