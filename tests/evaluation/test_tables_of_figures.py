"""Tables of figures, judged by the csv and json readers of the standard library and by pandas."""

import io
import json
import subprocess
import sys
from dataclasses import asdict, fields

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.evaluation.tables import COLUMNS, csv_text, json_rows
from sleep2vec.metrics.figure import Figure

NUMBERS = st.none() | st.floats() | st.sampled_from([np.inf, -np.inf, np.nan])
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=8)
FIGURES = st.builds(Figure, WORDS, NUMBERS, NUMBERS, NUMBERS, st.integers(0), st.integers(0), outcome=WORDS)


def plain(value):
    return None if isinstance(value, float) and not np.isfinite(value) else value


@given(st.lists(FIGURES, max_size=4))
def test_json_and_csv_hold_every_attribute_and_no_nan(figures):
    wanted = [{name: plain(value) for name, value in asdict(line).items()} for line in figures]
    assert json.loads(json.dumps(json_rows(figures), allow_nan=False)) == wanted
    table = pd.read_csv(io.StringIO(csv_text(figures), newline=""), dtype=str, keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    assert set(COLUMNS) == {column.name for column in fields(Figure)}
    for row, line in zip(table.to_dict("records"), wanted, strict=True):
        assert (row["what"], row["outcome"]) == (line["what"], line["outcome"])
        for name in ("estimate", "low", "high"):
            assert (float(row[name]) if row[name] else None) == line[name]
        assert int(row["n_people"]) == line["n_people"]


def test_a_table_to_read():
    line = Figure("kappa", 0.75, None, float("nan"), 3, 2, "staging", "5 classes", "sex: female, 40-59")
    assert csv_text([line]) == (
        "task,outcome,what,group,sensors,estimate,low,high,n_nights,n_people\n"
        'staging,5 classes,kappa,"sex: female, 40-59",,0.75,,,3,2\n'
    )


def test_figures_need_no_torch():
    modules = ("staging_figures", "breathing_figures", "outcome_figures", "subgroups", "tables")
    imports = ", ".join(f"sleep2vec.evaluation.{name}" for name in modules)
    program = f"import sys, {imports}; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
