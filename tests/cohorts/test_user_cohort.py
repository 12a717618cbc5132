"""A user's one YAML: the example of docs/adding_a_cohort.md, word for word, on files of its own."""

import re
from pathlib import Path

import numpy as np
import pytest
from cohort_recordings import body_of

from sleep2vec.cohorts.catalog import closest_cohort, cohort_of
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
        (("kind: eeg", "knd: eeg"), r"rules\.0\.kind: Field required.*rules\.0\.knd"),
        (("N3", "deep"), r"scoring\.stages\.tief"),
        (("(?P<site>", "(?P<site"), r"cannot be compiled"),
        (("mains_hz: 50", "mains_hz: 55"), r"mains_hz: Input should be 50 or 60"),
    ],
)
def test_mistakes_in_a_cohort_file_are_told_with_their_place(yaml: Path, change: tuple[str, str], sentence: str):
    yaml.write_text(yaml.read_text().replace(*change, 1))
    with pytest.raises(RecipeError, match=sentence):
        cohort_of(str(yaml))


def test_a_name_that_is_nearly_one():
    assert (closest_cohort("shsh1"), closest_cohort("Sleep-EDF"), closest_cohort("zzz")) == ("shhs1", "sleep_edf", None)
