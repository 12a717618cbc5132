"""Layouts of scorings that people write: the judge is what each text says to a person who reads it."""

import json
from datetime import datetime
from pathlib import Path

import mne
import numpy as np
import pytest
import wfdb
from edf_bytes import Channel, EdfFile, counting, time_stamps

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.formats.annotations import read_scoring
from sleep2vec.formats.edf import read_edf
from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.formats.reader import read
from sleep2vec.formats.wfdb_record import read_wfdb
from sleep2vec.vocabulary.errors import UnreadableFileError, UsageError
from sleep2vec.vocabulary.recording import Recording, Signal

START = datetime(2020, 4, 4, 23, 50, 0)


def scoring_of(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_scoring(tmp_path / name)


def spans(scoring) -> list[tuple[float, float, int | None]]:
    return [(span.onset_s, span.duration_s, span.stage) for span in scoring.stages]


def beside(tmp_path: Path, name: str, text: str, seconds: int = 1200) -> Recording:
    """A recording of `seconds` from 23:50 of the fourth of April, with a scoring."""
    signal = Signal.from_array("C4-M1", np.zeros(seconds * 10), 10.0, "uV", (-100, 100))
    write_edf(tmp_path / "n1.edf", Recording((signal,), float(seconds), START))
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read(tmp_path / "n1.edf")


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_are_counted_from_zero_or_from_one(tmp_path: Path, first: int):
    rows = "".join(f"{first + i},{stage}\n" for i, stage in enumerate(("W", "N1", "N2")))
    assert spans(scoring_of(tmp_path, "x.csv", "Epoch,Stage\n" + rows)) == [(0, 30, 0), (30, 30, 1), (60, 30, 2)]


def test_numbered_epochs_are_as_long_as_the_recording_says(tmp_path: Path):
    rows = "".join(f"{i + 1},{'W' if i < 30 else 'N2'}\n" for i in range(60))
    recording = beside(tmp_path, "n1.csv", "Epoch,Stage\n" + rows)
    assert {span.duration_s for span in recording.stages} == {20.0}
    assert recording.stages[30].onset_s == 600.0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("04/04/2020", "04/05/2020"),
        ("04/04/2020", "05/04/2020"),
        ("2020-04-04", "2020-04-05"),
        ("04.04.2020", "05.04.2020"),
    ],
)
def test_dates_are_read_in_the_order_of_the_whole_column(tmp_path: Path, first: str, second: str):
    text = f"time,stage\n{first} 23:59:00,N2\n{second} 00:02:00,R\n{second} 00:02:30,W\n"
    recording = beside(tmp_path, "n1.csv", text)
    assert [(span.onset_s, span.stage) for span in recording.stages] == [(540, 2), (720, 4), (750, 0)]


def test_days_above_twelve_decide_for_the_whole_column(tmp_path: Path):
    scoring = scoring_of(tmp_path, "x.csv", "time,stage\n03/12/2020 23:59:30,N2\n03/13/2020 00:00:00,R\n")
    assert [(span.onset_s, span.stage) for span in scoring.stages] == [(0, 2), (30, 4)]
    assert scoring.start == datetime(2020, 3, 12, 23, 59, 30)


def test_one_ambiguous_date_follows_the_recordings(tmp_path: Path):
    signal = Signal.from_array("C4-M1", np.zeros(12000), 10.0, "uV", (-100, 100))
    write_edf(tmp_path / "n1.edf", Recording((signal,), 1200.0, datetime(2020, 3, 4, 22, 0, 0)))
    (tmp_path / "n1.csv").write_text("time,stage\n03/04/2020 22:00:30,N2\n03/04/2020 22:01:00,R\n")
    recording = read(tmp_path / "n1.edf")
    assert [(span.onset_s, span.stage) for span in recording.stages] == [(30, 2), (60, 4)]
    assert any("day and month exchanged" in repair for repair in recording.repairs)


def test_a_row_may_hold_a_stage_and_an_event(tmp_path: Path):
    scoring = scoring_of(tmp_path, "x.csv", "Time,Stage,Event\n22:00:00,W,\n22:00:30,N1,\n22:01:00,N2,Arousal\n")
    assert [(span.onset_s, span.stage) for span in scoring.stages] == [(0, 0), (30, 1), (60, 2)]
    assert [(event.kind, event.onset_s) for event in scoring.events] == [("arousal", 60)]


def test_several_nights_in_one_table_are_refused(shared: Path):
    with pytest.raises(UnreadableFileError, match=r"it holds several nights or scorers\. Give each a file of its own"):
        read_scoring(shared / "real_data/ucddb_eeg/epochs_stage_and_resp_events.csv")


@pytest.mark.parametrize(
    "text",
    [
        "0,30,0\n30,60,1\n60,90,5\n",
        "0 30 W\n30 30 N1\n60 30 R\n",
        "0 30 W\n30 60 N1\n60 90 R\n",
        "0\t30\tW\n30\t60\tN1\n60\t90\tR\n",
        "0,0 W\n30,0 N1\n60,0 R\n",
        "22:00:00 30 W\n22:00:30 30 N1\n22:01:00 30 R\n",
        "22:00:00\tW\n22:00:30\tN1\n22:01:00\tR\n",
        "23:00:00\t30\t0\n23:00:30\t30\t1\n23:01:00\t30\t5\n",
    ],
)
def test_lines_without_a_header(tmp_path: Path, text: str):
    assert spans(scoring_of(tmp_path, "x.txt", text)) == [(0, 30, 0), (30, 30, 1), (60, 30, 4)]


@pytest.mark.parametrize(
    "words", [("0", "1", "5"), ("sleep_wake", "sleep_n1", "sleep_rem"), ("Despierto", "N1", "REM")]
)
def test_bids_trial_types_that_are_stages(tmp_path: Path, words: tuple[str, str, str]):
    rows = "".join(f"{30 * i}\t30\t{word}\n" for i, word in enumerate(words))
    scoring = scoring_of(tmp_path, "x_events.tsv", "onset\tduration\ttrial_type\n" + rows)
    assert spans(scoring) == [(0, 30, 0), (30, 30, 1), (60, 30, 4)]


def test_a_table_in_italian(tmp_path: Path):
    scoring = scoring_of(tmp_path, "x.csv", "Ora di inizio;Durata;Evento\n22:00:00;30;Veglia\n22:00:30;30;N2\n")
    assert spans(scoring) == [(0, 30, 0), (30, 30, 2)]


def test_a_companion_without_stages_says_what_it_says(tmp_path: Path):
    recording = beside(tmp_path, "n1.csv", "onset,duration,event\n0,30,Schlummer\n30,30,Schlummer\n60,30,Traum\n")
    told = [repair for repair in recording.repairs if "no stage that was understood" in repair]
    assert told
    assert "'Schlummer' 2 times, 'Traum' 1 times" in told[0]


@pytest.mark.parametrize("text", ["Artifact\n", "time,stage\n22:05,N2\n22:06,R\n"])
def test_a_file_that_could_not_be_used_is_named(tmp_path: Path, text: str):
    recording = beside(tmp_path, "n1.csv", text)
    assert recording.stages == ()
    assert any(repair.startswith("The file n1.csv, found by its name, was not used:") for repair in recording.repairs)


def test_times_from_midnight_to_the_recordings_end_are_times_of_day(tmp_path: Path):
    """The recording begins at 23:50 and lasts 20 min; the scoring from 00:00 to 00:10 is its second half."""
    rows = "".join(f"00:{i // 2:02d}:{30 * (i % 2):02d},30,N2\n" for i in range(20))
    recording = beside(tmp_path, "n1.csv", "time,duration,stage\n" + rows)
    assert (recording.stages[0].onset_s, recording.stages[-1].onset_s) == (600, 1170)
    assert any("begins at midnight and ends with the recording" in repair for repair in recording.repairs)
    rows = "".join(f"00:{i // 2:02d}:{30 * (i % 2):02d},30,N2\n" for i in range(40))
    assert beside(tmp_path, "n1.csv", "time,duration,stage\n" + rows).stages[0].onset_s == 0


def test_an_empty_line_is_an_epoch_that_nobody_scored(tmp_path: Path):
    scoring = scoring_of(tmp_path, "x.txt", "W\nN1\n\nN2\n")
    assert [span.stage for span in scoring.stages] == [0, 1, None, 2]
    assert "1 empty line(s)" in scoring.repairs[0]
    assert [span.stage for span in scoring_of(tmp_path, "y.txt", "W\n\nN1\n\nN2\n").stages] == [0, 1, 2]


def test_words_are_not_called_digits(tmp_path: Path):
    assert scoring_of(tmp_path, "x.txt", "W\nN1\nR\n").repairs == ()


def test_what_a_hypnogram_says_of_its_digits_holds(shared: Path):
    """The file's second line says 4: REM; 155 of its lines are 4."""
    path = shared / "real_data/yasa_snippets/data_full_6hrs_100Hz_hypno_30s.txt"
    stages = [span.stage for span in read_scoring(path).stages]
    lines = [line for line in path.read_text().split("\n") if line and not line.startswith("#")]
    assert stages.count(4) == lines.count("4") == 155
    assert len(stages) == len(lines)


def test_a_bids_sidecar_explains_digits(tmp_path: Path):
    (tmp_path / "sub-1").mkdir()
    levels = {"0": "Wake", "1": "N1", "2": "N2", "3": "N3", "4": "REM"}
    (tmp_path / "task-sleep_events.json").write_text(json.dumps({"trial_type": {"Levels": levels}}))
    path = tmp_path / "sub-1" / "sub-1_task-sleep_events.tsv"
    path.write_text("onset\tduration\ttrial_type\n0\t30\t3\n30\t30\t4\n")
    scoring = read_scoring(path)
    assert spans(scoring) == [(0, 30, 3), (30, 30, 4)]
    assert "as the scoring itself explains them" in scoring.repairs[0]


@pytest.mark.parametrize(("digits", "four"), [("0122334443322112234432", 3), ("012233322244440122444400", 4)])
def test_stage_four_grows_out_of_stage_three_and_rem_does_not(tmp_path: Path, digits: str, four: int):
    scoring = scoring_of(tmp_path, "x.txt", "\n".join(digits) + "\n")
    assert {span.stage for span, digit in zip(scoring.stages, digits, strict=True) if digit == "4"} == {four}
    assert "4 was read as" in scoring.repairs[0]


def test_boas_digits_without_its_cohort(shared: Path):
    """REM is 4 there (README of ds005555); the file alone tells it by its order."""
    folder = shared / "real_data/boas_ds005555/bids_example/sub-1/eeg"
    path = folder / "sub-1_task-Sleep_acq-psg_events.tsv"
    alone, as_boas = read_scoring(path), read_scoring(path, cohort_of("boas").words)
    assert [span.stage for span in alone.stages] == [span.stage for span in as_boas.stages]


def test_ucddb_has_codes_of_its_own(shared: Path):
    """README of the database: 1 is REM; night 018 has 822 epochs, 19 of them REM."""
    words = cohort_of("ucddb").words
    stages = [
        span.stage for span in read_scoring(shared / "real_data/ucddb_eeg/stage_txt/ucddb018_stage.txt", words).stages
    ]
    assert (len(stages), stages.count(4)) == (822, 19)


def test_a_list_beside_a_cut_recording_keeps_its_epochs(tmp_path: Path):
    """40 epochs of 30 s beside a file that promises 1200 s and holds 810 s: 20 s would fit what is left."""
    beside(tmp_path, "n1.txt", "N2\n" * 40)
    data = (tmp_path / "n1.edf").read_bytes()
    header = int(data[184:192])
    n_records, record_s = int(data[236:244]), float(data[244:252])
    kept = header + (len(data) - header) // n_records * int(810 / record_s)
    (tmp_path / "n1.edf").write_bytes(data[:kept])
    recording = read(tmp_path / "n1.edf")
    assert {span.duration_s for span in recording.stages} == {30.0}
    assert recording.declared_s == pytest.approx(1200)


@pytest.mark.parametrize("name", ["slp01a", "slp02a", "slp45"])
def test_rdann_text_is_the_annotation_file_it_was_printed_from(shared: Path, name: str):
    folder = shared / "real_data/mitbih_slpdb"
    text, binary = read_scoring(folder / f"{name}.an"), read_scoring(folder / "wfdb_reencoded" / f"{name}.st")
    assert spans(text) == spans(binary)
    assert [(e.kind, e.onset_s) for e in text.events] == [(e.kind, e.onset_s) for e in binary.events]


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ("30", "+30", (30, 30)),
        ("0+30", "60", (30, 30)),
        ("0+00:10:00", "0+00:10:30.5", (600, 30.5)),
        ("e:2", "e:2", (30, 30)),
        ("e:20:2", "e:20:3", (20, 40)),
    ],
)
def test_times_of_luna(tmp_path: Path, start: str, stop: str, expected: tuple[float, float]):
    scoring = scoring_of(tmp_path, "x.annot", f"N2\t.\t.\t{start}\t{stop}\t.\n")
    assert spans(scoring) == [(*expected, 2)]


def test_a_cropped_raw_keeps_its_stages_and_its_clock():
    """The judge is mne.events_from_annotations on the same crop."""
    for dated in (True, False):
        raw = mne.io.RawArray(np.zeros((1, 6000)), mne.create_info(["C4"], 10.0, "eeg"), verbose="error")
        if dated:
            raw.set_meas_date(datetime.fromisoformat("2020-01-01T22:00:00+00:00"))
        raw.set_annotations(
            mne.Annotations([120, 150, 300], [30, 30, 30], ["N1", "N2", "R"], orig_time=raw.info["meas_date"])
        )
        raw.crop(130)
        judge, _ = mne.events_from_annotations(raw, verbose="error")
        recording = read(raw)
        expected = (judge[:, 0] - raw.first_samp) / 10.0
        np.testing.assert_allclose([span.onset_s for span in recording.stages][-2:], expected[-2:])
        if dated:
            assert recording.start == datetime(2020, 1, 1, 22, 2, 10)


def test_a_raw_of_an_edf_file_keeps_units_that_are_no_volts(tmp_path: Path):
    """MNE calls every channel EEG and leaves % as it is."""
    signals = (
        Signal.from_array("C4-M1", 30 * np.sin(np.arange(3000)), 100.0, "uV", (-100, 100)),
        Signal.from_array("SpO2", np.full(3000, 96.0), 100.0, "%", (0, 100)),
    )
    write_edf(tmp_path / "n.edf", Recording(signals, 30.0, START))
    recording = read(mne.io.read_raw_edf(tmp_path / "n.edf", verbose="error"))
    eeg, spo2 = recording.signals
    assert np.abs(eeg.samples).max() == pytest.approx(30, rel=0.01)
    assert spo2.samples.mean() == pytest.approx(96, abs=0.1)


def test_segments_of_other_units_are_converted_and_of_other_rates_refused(tmp_path: Path):
    def segment(name: str, unit: str, gain: float, fs: int = 100):
        wfdb.wrsamp(name, fs, [unit], ["EEG"], d_signal=np.full((1000, 1), 500, "int64"), fmt=["16"], adc_gain=[gain],
                    baseline=[0], write_dir=str(tmp_path))  # fmt: skip

    segment("m_0001", "mV", 1000.0)
    segment("m_0002", "uV", 1.0)
    (tmp_path / "m.hea").write_text("m/3 1 100 2500\nm_0001 1000\n~ 500\nm_0002 1000\n")
    recording = read_wfdb(tmp_path / "m.hea")
    samples = recording.signals[0].samples
    np.testing.assert_allclose(samples[:1000], 0.5)
    assert np.isnan(samples[1000:1500]).all()
    np.testing.assert_allclose(samples[1500:], 0.5)
    assert any("1 gap(s), 5 s together" in repair for repair in recording.repairs)
    segment("m_0002", "mV", 1000.0, fs=200)
    with pytest.raises(UnreadableFileError, match="counts 100 frames a second and its segment m_0002 200"):
        read_wfdb(tmp_path / "m.hea")


def test_records_out_of_order_are_put_in_order(tmp_path: Path):
    digits = ("-32768", "32767")
    channels = [Channel(counting(4, 4), physical=digits), time_stamps(["+0", "+2", "+1", "+3"])]
    (tmp_path / "x.edf").write_bytes(EdfFile(channels, "EDF+D").to_bytes())
    recording = read_edf(tmp_path / "x.edf")
    np.testing.assert_array_equal(recording.signals[0].samples.reshape(4, 4)[:, 0], [0, 8, 4, 12])
    assert any("not in the order of their time stamps" in repair for repair in recording.repairs)


def test_a_label_that_is_no_text_is_refused():
    with pytest.raises(UsageError, match="the label 3 is int; give the channel's name as text"):
        read({3: (np.zeros(100), 10.0, "uV")})


def test_a_sidecar_speaks_of_its_own_columns(tmp_path: Path):
    """Two scorers in one table with digits of their own; the human's column is read, by the human's legend."""
    human = {"0": "Wake", "1": "REM", "2": "N1", "3": "N2", "4": "N3"}
    machine = {"0": "Wake", "1": "N1", "2": "N2", "3": "N3", "4": "REM"}
    told = {"stage_ai": {"Levels": machine}, "stage_hum": {"Levels": human}}
    (tmp_path / "x_events.json").write_text(json.dumps(told))
    text = "onset\tduration\tstage_ai\tstage_hum\n0\t30\t4\t1\n30\t30\t3\t4\n"
    assert spans(scoring_of(tmp_path, "x_events.tsv", text)) == [(0, 30, 4), (30, 30, 3)]


def test_a_comment_above_a_table_explains_its_digits(tmp_path: Path):
    text = "# 0: Wake, 1: REM, 2: N1, 3: N2, 4: N3\nonset,duration,stage\n0,30,1\n30,30,4\n"
    assert spans(scoring_of(tmp_path, "x.csv", text)) == [(0, 30, 4), (30, 30, 3)]


def test_events_behind_the_stages_of_a_long_night_keep_their_evening(tmp_path: Path):
    rows = [f"{(20 + i // 2) % 24:02d}:{30 * (i % 2):02d}:00,1800,N2," for i in range(29)]  # 20:00 to 10:30
    text = "\n".join(["time,duration,stage,event", *rows, "20:30:00,10,,Hypopnea"]) + "\n"
    scoring = scoring_of(tmp_path, "x.csv", text)
    assert [(e.kind, e.onset_s) for e in scoring.events] == [("hypopnea", 1800)]


@pytest.mark.parametrize(("start", "first", "hours"), [(8, 22, 24), (8, 21, 20), (22, 23, 8)])
def test_times_of_day_find_their_place_in_recordings_of_up_to_a_day(tmp_path: Path, start: int, first: int, hours: int):
    signal = Signal.from_array("C4-M1", np.zeros(hours * 3600), 1.0, "uV", (-100, 100))
    write_edf(tmp_path / "n1.edf", Recording((signal,), hours * 3600.0, datetime(2020, 4, 4, start, 0, 0)))
    rows = "".join(f"{(first + i) % 24:02d}:00:00,3600,N2\n" for i in range(6))
    (tmp_path / "n1.csv").write_text("time,duration,stage\n" + rows)
    assert read(tmp_path / "n1.edf").stages[0].onset_s == 3600 * ((first - start) % 24)
