"""Tables of people, by the cells that were written."""

from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.formats.companions import FileIndex
from sleep2vec.store.cohort_tables import CohortTables
from sleep2vec.store.participants import Participant
from sleep2vec.vocabulary.errors import UsageError

YAML = """
name: mine
identity: ['(?P<subject>p\\d+)_(?P<visit>\\d)']
metadata:
  - name: "people*.{suffix}"
    key: {{subject: id, visit: visit}}
    columns:
      subject_id: {{column: person}}
      family_id: {{column: household}}
      age_years: {{column: age}}
      sex: {{column: sex, codes: {{"1": male, "2": female}}}}
    measures:
      bmi: {{column: bmi, missing: ["-9"]}}
"""
HEADER = ["id", "visit", "person", "household", "age", "sex", "bmi"]
ROWS = [
    ["P007", "1", "1234567", "70001112", "50", "1", "22.5"],
    ["P007", "2", "1234567", "70001112", "55", "1", "-9"],
    ["p8", "1", "1234568", "", "999", "3", "n/a"],
]


def tables(tmp_path: Path, suffix: str) -> CohortTables:
    (tmp_path / "mine.yaml").write_text(YAML.format(suffix=suffix))
    return CohortTables(cohort_of(str(tmp_path / "mine.yaml")), tmp_path, FileIndex.of(tmp_path))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_rows_are_found_by_person_and_visit_and_long_numbers_stay_whole(tmp_path: Path, suffix: str):
    path = tmp_path / f"people-0.3.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({name: [row[i] for row in ROWS] for i, name in enumerate(HEADER)}), path)
    else:
        mark = "," if suffix == "csv" else "\t"
        path.write_text("\n".join(mark.join(row) for row in [["A caption"] + [""] * 6, HEADER, *ROWS]))
    found = tables(tmp_path, suffix)
    first = found.participant_of(PurePath("a/P007_1.edf"))
    assert first == Participant(
        subject_id="1234567",
        family_id="70001112",
        age_years=50,
        sex="male",
        visit="1",
        cohort="mine",
        measures={"bmi": 22.5},
    )
    second = found.participant_of(PurePath("p007_2.edf"))
    assert (second.subject_id, second.age_years, second.measures) == ("1234567", 55, {})
    third = found.participant_of(PurePath("p8_1.edf"))
    assert (third.age_years, third.sex, third.family_id) == (None, None, None)
    nobody = found.participant_of(PurePath("p9_1.edf"))
    assert (nobody.subject_id, nobody.age_years) == ("p9", None)


def test_a_table_without_its_key_says_so(tmp_path: Path):
    (tmp_path / "people.csv").write_text("who,age\n1,2\n")
    with pytest.raises(UsageError, match=r"people.csv has no column id or visit \(it begins with who, age\)"):
        tables(tmp_path, "csv")


def test_a_table_that_is_missing_is_noted(tmp_path: Path):
    (note,) = tables(tmp_path, "csv").notes
    assert "people*.csv is not below" in note
