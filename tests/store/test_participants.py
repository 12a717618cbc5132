"""The table beside the recordings: read as a spreadsheet writes it, refused with the line that is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.store.participants import Participant, read_participants
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.subject import Subject


def test_no_table_no_participants(tmp_path: Path):
    assert read_participants(tmp_path) == {}


def test_a_table_as_a_spreadsheet_saves_it(tmp_path: Path):
    """A byte order mark, CRLF, padded cells, quoted commas, n/a as BIDS writes unknown."""
    (tmp_path / "participants.csv").write_bytes(
        b"\xef\xbb\xbffile,night_id,subject_id,age_years,sex,site,cohort,remark\r\n"
        b'alpha/a.edf, n-1 ,S 1,61.5,F,"Basel, CH",mine,"long, long"\r\n'
        b"b.edf,,,n/a,N/A,,,\r\n"
        b"./c.edf,,,0,Male,,,\r\n"
    )
    table = read_participants(tmp_path)
    assert table == {
        "alpha/a.edf": Participant("n-1", "S 1", 61.5, "female", "Basel, CH", "mine"),
        "b.edf": Participant(),
        "c.edf": Participant(age_years=0.0, sex="male"),
    }
    of_file = Subject("X", 30.0, "male")
    assert table["alpha/a.edf"].completed(of_file) == Subject("S 1", 61.5, "female")
    assert table["b.edf"].completed(of_file) == of_file
    assert table["c.edf"].completed(of_file).age_years == 0.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,age\na,3\n", "has no column 'file' (it has name, age)."),
        ("", "has no column 'file' (it has none)."),
        ("file,age_years\na.edf,old\n", "line 2: age_years is 'old', expected a number from 0 to 125, or nothing"),
        ("file,age_years\na.edf,60\nb.edf,-1\n", "line 3: age_years is '-1', expected a number from 0 to 125"),
        ("file,age_years\na.edf,999\n", "line 2: age_years is '999', expected"),
        ("file,age_years\na.edf,nan\n", "line 2: age_years is 'nan', expected"),
        ("file,sex\na.edf,2\n", "line 2: sex is '2', expected one of f, female, m, male, or nothing."),
        ("file,sex\na.edf,F\na.edf,M\n", "line 3 names a.edf a second time; keep one row a recording."),
        ("file,sex\n,F\n", "line 2 names no file; fill in the column 'file'."),
        ("sex,file\nF\n", "line 2 names no file; fill in the column 'file'."),
        ("file,site\na.edf,Basel, CH\n", "line 2 has more cells than the first line has columns; quote cells"),
        ("file,site\na.edf,Z\udce9\n", "is not a CSV table in UTF-8"),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path: Path, text: str, sentence: str):
    (tmp_path / "participants.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        read_participants(tmp_path)
    assert sentence in str(caught.value)
    assert str(tmp_path / "participants.csv") in str(caught.value)


@given(content=st.binary(max_size=60).map(lambda tail: b"file,age_years,sex\n" + tail))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content: bytes):
    folder = tmp_path_factory.mktemp("table")
    (folder / "participants.csv").write_bytes(content)
    try:
        table = read_participants(folder)
    except UsageError:
        return
    assert all(row.age_years is None or 0 <= row.age_years <= 125 for row in table.values())
