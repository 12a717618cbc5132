"""A user's one YAML: the example of docs/adding_a_cohort.md, word for word, on files of its own."""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from cohort_recordings import body_of

from sleep2vec.cohorts.catalog import closest_cohorts, cohort_of
from sleep2vec.cohorts.schema import Dialect
from sleep2vec.formats.annotations import ANNOTATION_READERS
from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.store.ingest import ingest
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.errors import RecipeError
from sleep2vec.vocabulary.recording import Recording, Signal

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_cohort.md"


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    path = tmp_path / "my_lab.yaml"
    path.write_text(example, encoding="utf-8")
    return path


def test_the_example_makes_a_foreign_folder_readable(yaml: Path, tmp_path: Path):
    night = body_of(4).recording
    base = {signal.label: signal for signal in night.signals}
    named = {"HIRNSTROM-1": ("C4", "M1"), "Bauchgurt": ("abdomen",), "Sauerstoff": ("spo2",), "Lage": ("pulse",)}
    signals = tuple(
        Signal.from_array(
            label,
            base[parts[0]].samples - (base[parts[1]].samples if len(parts) > 1 else 0),
            base[parts[0]].rate_hz,
            base[parts[0]].unit,
        )
        for label, parts in named.items()
    )
    folder = tmp_path / "in" / "north"
    folder.mkdir(parents=True)
    write_edf(folder / "P007_2_psg.edf", Recording(signals, night.duration_s, night.start))
    (folder / "other.edf").write_text("not one of the cohort's")
    words = ["wach", "leicht", "tief", "traum"] * 7
    rows = [f"{30 * i},30,{word}" for i, word in enumerate(words)]
    (folder / "P007_2_psg_stages.csv").write_text("onset,duration,stage\n" + "\n".join(rows) + "\n")
    (tmp_path / "in" / "P007_events.txt").write_text("61 Ap. obstr.\n70 Bett verlassen\n")
    table = "patient_no,age,sex,household,bmi,htn,died,days_to_last_contact\nP7,61,2,H3,999,yes,0,3652.5\n"
    (tmp_path / "in" / "patients.csv").write_text(table.replace("P7", "P007"))

    report = ingest(tmp_path / "in", tmp_path / "store", cohort=str(yaml))

    assert report.failures == ()
    (row,) = Store(tmp_path / "store").rows
    assert (row.cohort, row.site, row.subject_id, row.visit) == ("my_lab", "north", "P007", "2")
    assert (row.age_years, row.sex, row.family_id) == (61, "female", "H3")
    assert row.measures == pytest.approx(
        {"diagnosis.hypertension": 1, "event.death": 0, "time_years.death": 10}, rel=1e-3
    )
    assert {name: signal.channels for name, signal in row.signals.items()} == {
        "eeg": "HIRNSTROM-1",
        "belt": "Bauchgurt",
        "resp": "Bauchgurt",
        "spo2": "Sauerstoff",
    }
    code = {"wach": 0, "leicht": 2, "tief": 3, "traum": 4}
    stages = Store(tmp_path / "store").stages(row.night_id)
    np.testing.assert_array_equal(stages[:28], [code[word] for word in words])
    assert np.isnan(stages[28:]).all()
    assert row.events == {"obstructive_apnea": 1}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("kind: eeg", "knd: eeg"), r"rules\.0\.kind: Field required(?s:.*)rules\.0\.knd: .* \(did you mean kind\?\)"),
        (("N3", "deep"), r"scoring\.stages\.tief"),
        (("(?P<site>", "(?P<site"), r"identity\.0: .* cannot be compiled"),
        (("(?P<site>", "(?P<sit>"), r"identity\.0: .* names the group sit \(did you mean site\?\)"),
        (("mains_hz: 50", "mains_hz: 55"), r"mains_hz: Input should be 50 or 60"),
        (("kind: abdomen", "kind: abdomn"), r"rules\.1\.kind: there is no kind 'abdomn' \(did you mean abdomen\?\)"),
        (("dialect: timed_csv", "dialect: timed_cvs"), r"scoring\.files\.0\.dialect: .* \(did you mean timed_csv\?\)"),
        (("age_years:", "age_yr:"), r"metadata\.0\.columns\.age_yr: .* \(did you mean age_years\?\)"),
        (
            ("{subject: patient_no}", "{person: patient_no}"),
            r"metadata\.0\.key\.person: .* found are: site, subject, visit",
        ),
        (("{subject}_events", "{patient}_events"), r"scoring\.files\.1\.name: {patient} is found by no pattern"),
        (("traps:", "preferences: {egg: [C4-M1]}\ntraps:"), r"preferences\.egg: .* \(did you mean e.g\?\)"),
        (("traps:", "preferences: {eeg: [C4M1]}\ntraps:"), r"preferences\.eeg\.0: 'C4M1' .* \(did you mean C4-M1\?\)"),
        (("sauerstoff", "{nosuch} x"), r"rules\.2\.patterns\.0: .* the macro {nosuch}, which does not exist"),
        (("sauerstoff", "sauer(stoff"), r"rules\.2\.patterns\.0: .* cannot be compiled"),
        (("hirnstrom 1", "Hirnstrom_1"), r"rules\.0\.patterns\.0: 'Hirnstrom_1' has 'H_', .* \('hirnstrom 1'\)"),
        (("name: my_lab", "name: My Lab"), r"name: String should match"),
        (("name: my_lab", "name: shhs1"), r"name: shhs1 is a cohort of the catalog"),
        (
            ("position, taken: false", "position"),
            r"rules\.3\.kind: no modality is made from position; say `taken: false`",
        ),
        (("traps:", "trap:"), r"trap: there is no such field \(did you mean traps\?\)"),
        (
            ("diagnosis.hypertension", "diagnos.hypertension"),
            r"measures\.diagnos\.hypertension: .* \(did you mean diagnosis",
        ),
        (('"2": female', '"2": woman'), r"metadata\.0\.columns\.sex\.codes: values must be female or male"),
    ],
)
def test_mistakes_in_a_cohort_file_are_told_with_their_place(yaml: Path, change: tuple[str, str], sentence: str):
    assert change[0] in yaml.read_text()
    yaml.write_text(yaml.read_text().replace(*change, 1))
    with pytest.raises(RecipeError, match=sentence):
        cohort_of(str(yaml))


def test_all_mistakes_are_told_at_once(yaml: Path):
    text = (
        yaml.read_text()
        .replace("kind: abdomen", "kind: abdomn")
        .replace("traps:", "trap:")
        .replace("wach: W", "wach: X")
    )
    yaml.write_text(text.replace("age_years:", "age_yr:"))
    with pytest.raises(RecipeError) as told:
        cohort_of(str(yaml))
    assert re.findall(r"^  (\S+):", str(told.value), flags=re.MULTILINE) == [
        "scoring.stages.wach",
        "trap",
        "metadata.0.columns.age_yr",
        "rules.1.kind",
    ]


def test_dialects_are_those_of_the_readers():
    """Cohorts lie above formats and may not ask them: the list is written twice, and compared here."""
    assert set(get_args(Dialect)) == set(ANNOTATION_READERS)


def test_a_name_that_is_nearly_one():
    assert closest_cohorts("shsh1") == ("shhs1",)
    assert closest_cohorts("Sleep-EDF") == ("sleep_edf",)
    assert closest_cohorts("shhs") == ("shhs1", "shhs2")
    assert closest_cohorts("zzz") == ()
