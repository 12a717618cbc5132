"""What tells a run that a store is no longer the one it began with."""

from dataclasses import replace

from made_nights import made_night, store_of


def test_what_a_model_learns_from_a_night_is_told_apart(tmp_path):
    """A corrected age, another site, another scale or other samples: each is another night to a run that goes on."""
    (row,) = store_of(tmp_path / "store", [made_night("n", 1, 4, ("spo2",))]).rows
    scaled = replace(row.signals["spo2"], scale=2 * row.signals["spo2"].scale)
    others = [
        replace(row, age_years=1.0 + (row.age_years or 0.0)),
        replace(row, site="elsewhere"),
        replace(row, sex="female" if row.sex != "female" else "male"),
        replace(row, checksum="0"),
        replace(row, signals={"spo2": scaled}),
    ]
    assert len({row.taught, *(other.taught for other in others)}) == len(others) + 1
    assert replace(row, source="/moved/n.edf").taught == row.taught
