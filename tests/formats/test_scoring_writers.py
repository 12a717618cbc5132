"""Scorings as cohorts hand them out. The judges are the writers of `tests/references`, made from public descriptions by
somebody else, the standard library's XML parser, pyedflib and wfdb, and the readers of `formats`, which came before.
"""

import json
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import cohort_scorings as references
import numpy as np
import pyedflib
import pytest
import wfdb
import xlrd

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.formats.annotations import read_scoring
from sleep2vec.formats.scoring_writers import DIALECTS
from sleep2vec.formats.wfdb_writer import write_wfdb
from sleep2vec.formats.xls_writer import write_xls
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.scoring import Scoring
from sleep2vec.vocabulary.stages import hypnogram_of

START = datetime(2001, 3, 4, 23, 57, 30)  # midnight comes soon
STAGES = np.random.default_rng(7).permutation(np.repeat(np.arange(5), 6)).tolist()
EVENTS = (
    Event("obstructive_apnea", 65.0, 14.0),
    Event("hypopnea", 200.0, 22.0),
    Event("desaturation", 215.0, 30.0),
    Event("arousal", 310.0, 5.0),
)
# Dialect: its reference, the file's name, the reader's dialect, the cohort whose words it uses.
TOLD = {
    "nsrr_xml": (references.nsrr_xml, "a-nsrr.xml", "nsrr_xml", "mesa"),
    "profusion_xml": (references.profusion_xml, "a-profusion.xml", "profusion_xml", "shhs1"),
    "luna_annot": (references.luna_annot, "a.annot", "luna_annot", "apples"),
    "wsc_allscore": (references.wsc_allscore, "a.allscore.txt", "timed_text", "wsc"),
    "wsc_stg": (references.wsc_stg, "a.stg.txt", "timed_csv", "wsc"),
    "stages_csv": (references.stages_csv, "a.csv", "timed_csv", "stages"),
    "hsp_csv": (references.hsp_csv, "a.csv", "hsp_csv", "hsp_bdsp"),
    "nchsdb_tsv": (references.nchsdb_tsv, "a.tsv", "bids_events", "nchsdb"),
    "boas_events": (references.boas_events, "a_events.tsv", "bids_events", "boas"),
    "isruc_text": (references.isruc_text, "a_1.txt", "stage_text", "isruc"),
    "ucddb_text": (references.ucddb_text, "a_stage.txt", "stage_text", "ucddb"),
    "dreem_json": (references.dod_json, "a.json", "dreem_json", "dod"),
    "sleep_edf_hypnogram": (references.sleep_edf_hypnogram, "a-Hypnogram.edf", "edf_plus", "sleep_edf"),
    "cinc2018_arousal": (references.cinc2018_arousal, "a.arousal", "wfdb_arousal", "cinc2018"),
    "cinc2026_traces": (references.cinc2026_traces, "a_expert_annotations.edf", "event_traces", "cinc2026"),
}


def scored(scoring: Scoring) -> tuple[list[float], set[tuple[str, float, float]], datetime | None]:
    stages = hypnogram_of(list(scoring.stages), 0.0, len(STAGES)).tolist()
    events = {(e.kind, round(e.onset_s, 2), round(e.duration_s, 2)) for e in scoring.events if e.kind}
    return stages, events, scoring.start


@pytest.mark.parametrize("dialect", TOLD)
def test_what_is_written_says_what_the_reference_says(dialect: str, tmp_path: Path):
    reference, name, reader, cohort = TOLD[dialect]
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    DIALECTS[dialect](tmp_path / "ours" / name, STAGES, EVENTS, START)
    reference(tmp_path / "theirs" / name, STAGES, [(e.kind, e.onset_s, e.duration_s) for e in EVENTS], START)
    words = cohort_of(cohort).words
    ours, theirs = (scored(read_scoring(tmp_path / f / name, words, reader)) for f in ("ours", "theirs"))
    assert ours == theirs
    assert ours[0] == STAGES


def test_the_table_holds_every_dialect():
    assert set(DIALECTS) == {*TOLD, "hsp_stage_csv", "hsp_event_csv"}


def test_two_tables_of_one_night_are_the_one_table_parted(tmp_path: Path):
    words = cohort_of("hsp_bdsp").words
    for dialect in ("hsp_csv", "hsp_stage_csv", "hsp_event_csv"):
        DIALECTS[dialect](tmp_path / f"{dialect}.csv", STAGES, EVENTS, START)
    one, stages, events = (
        read_scoring(tmp_path / f"{d}.csv", words, "hsp_csv") for d in ("hsp_csv", "hsp_stage_csv", "hsp_event_csv")
    )
    assert scored(stages)[0] == scored(one)[0] == STAGES
    assert (stages.events, events.stages) == ((), ())
    assert {(e.kind, e.duration_s) for e in events.events} == {(e.kind, e.duration_s) for e in EVENTS}


def test_unscored_epochs_stay_unscored_in_every_dialect_that_can_say_so(tmp_path: Path):
    holes = [None if i in (0, 7, 29) else stage for i, stage in enumerate(STAGES)]
    for dialect, (_, name, reader, cohort) in TOLD.items():
        (tmp_path / dialect).mkdir()
        path = tmp_path / dialect / name
        if dialect == "isruc_text":
            with pytest.raises(UsageError, match="have none for an epoch that nobody scored"):
                DIALECTS[dialect](path, holes, EVENTS, START)
            continue
        DIALECTS[dialect](path, holes, EVENTS, START)
        stages = scored(read_scoring(path, cohort_of(cohort).words, reader))[0]
        assert [None if np.isnan(stage) else stage for stage in stages] == holes, dialect


def test_nsrr_xml_is_well_formed_and_covers_the_night_once(tmp_path: Path):
    DIALECTS["nsrr_xml"](tmp_path / "a.xml", STAGES, EVENTS, START)
    events = ElementTree.parse(tmp_path / "a.xml").getroot().find("ScoredEvents")
    spans = sorted(
        (float(e.findtext("Start")), float(e.findtext("Duration")))
        for e in events
        if e.findtext("EventType") == "Stages|Stages"
    )
    assert spans[0][0] == 0
    assert all(at + length == after for (at, length), (after, _) in pairwise(spans))
    assert sum(length for _, length in spans) == 30 * len(STAGES)


def test_deep_sleep_is_stage_3_at_its_edges_and_4_within(tmp_path: Path):
    """Rechtschaffen & Kales have two deep stages; N3 is both."""
    DIALECTS["wsc_stg"](tmp_path / "a.stg.txt", [2, 3, 3, 3, 3, 2, 3, 2], (), START)
    rows = (tmp_path / "a.stg.txt").read_text().splitlines()[1:]
    assert [row.split("\t")[1] for row in rows] == list("23443232")


def test_traces_of_codes_are_an_edf_that_pyedflib_reads(tmp_path: Path):
    """The challenge's codes: 1 N3, 2 N2, 3 N1, 4 R, 5 W; 1 is an obstructive apnea."""
    DIALECTS["cinc2026_traces"](tmp_path / "a.edf", [0, 1, 2, 3, 4], EVENTS[:1], START)
    with pyedflib.EdfReader(str(tmp_path / "a.edf")) as edf:
        assert edf.getSignalLabels() == ["stage_expert", "resp_expert", "arousal_expert", "limb_expert"]
        assert edf.readSignal(0).round().tolist() == [5, 3, 2, 1, 4]
        assert np.flatnonzero(edf.readSignal(1).round() == 1).tolist() == list(range(65, 79))
        assert edf.getStartdatetime() == START


def test_a_wfdb_record_is_what_wfdb_reads(tmp_path: Path):
    rng = np.random.default_rng(1)
    samples = rng.normal(0, 50, (2, 1000)).astype(np.float32)
    samples[1, 100:120] = np.nan
    signals = [Signal.from_array(f"C{i}-M1", x, 200, "uV") for i, x in enumerate(samples)]
    write_wfdb(tmp_path / "tr03-0001.hea", Recording(tuple(signals), 5.0), comments=["made"])
    record = wfdb.rdrecord(str(tmp_path / "tr03-0001"))
    assert (record.fs, record.sig_name, record.units) == (200, ["C0-M1", "C1-M1"], ["uV", "uV"])
    assert record.comments == ["made"]
    step = 1 / np.array(record.adc_gain)
    assert np.nanmax(np.abs(record.p_signal - samples.T) / step) < 0.51
    np.testing.assert_array_equal(np.isnan(record.p_signal), np.isnan(samples.T))
    two_rates = Recording((signals[0], Signal.from_array("x", samples[0, :500], 100, "uV")), 5.0)
    with pytest.raises(UsageError, match="2 rates or lengths"):
        write_wfdb(tmp_path / "b.hea", two_rates)


def test_an_old_sheet_is_what_xlrd_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [["subject", "sex (F=1)", "naïve"], [0.0, 1.0, None], [12.0, 33.25, "text"]]
    write_xls(tmp_path / "a.xls", rows)
    sheet = xlrd.open_workbook(tmp_path / "a.xls").sheet_by_index(0)
    assert [[cell.value for cell in row] for row in sheet.get_rows()] == [
        ["" if c is None else c for c in r] for r in rows
    ]
    assert capsys.readouterr().out == ""  # xlrd complains there of what it has to guess
    with pytest.raises(UsageError, match="letters that an old Excel sheet cannot hold"):
        write_xls(tmp_path / "b.xls", [["Ω"]])
    with pytest.raises(UsageError, match="a cell of 300 letters"):
        write_xls(tmp_path / "b.xls", [["a" * 300]])


def test_json_of_dreem_is_a_list_of_codes(tmp_path: Path):
    DIALECTS["dreem_json"](tmp_path / "a.json", [0, 4, None], (), START)
    assert json.loads((tmp_path / "a.json").read_text()) == [0, 4, -1]
