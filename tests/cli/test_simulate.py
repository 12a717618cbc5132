"""`sleep2vec simulate` as a cohort of the catalog, and straight to a store. The judges are `ingest` and the store."""

from pathlib import Path

from sleep2vec.store.reader import Store

SHORT = ("--hours", "0.25", "--workers", "1", "--seed", "3")


def test_nights_of_a_cohort_are_ingested_under_its_names(sleep2vec, tmp_path: Path):
    written = sleep2vec("simulate", tmp_path / "in", "--cohort", "CHAT", "--nights", "2", *SHORT)
    assert (written.code, written.out) == (0, f"2 nights of 1 people in {tmp_path / 'in'}, as chat writes its own\n")
    read = sleep2vec("ingest", tmp_path / "in", tmp_path / "store", "--cohort", "chat", "--workers", "1")
    assert read.code == 0, read.err
    assert [(row.cohort, row.visit) for row in Store(tmp_path / "store").rows] == [
        ("simulated-chat", "baseline"),
        ("simulated-chat", "followup"),
    ]


def test_nights_go_straight_to_a_store(sleep2vec, tmp_path: Path):
    out = sleep2vec(
        "simulate", tmp_path / "store", "--to-store", "--cohort", "apples", "--nights", "2", "--missing", "realistic",
        "--faults", "realistic", *SHORT,
    )  # fmt: skip
    assert (out.code, out.out) == (0, f"2 nights simulated; {tmp_path / 'store'} holds 2.\n")
    assert {row.subject_id for row in Store(tmp_path / "store").rows} == {"1", "2"}  # as the table names them


def test_everybody_may_wear_a_watch(sleep2vec, tmp_path: Path):
    """Pulse wave and actigraphy of every site are in the store, and are good."""
    out = sleep2vec("simulate", tmp_path / "store", "--to-store", "--watch", "--nights", "4", *SHORT)
    assert out.code == 0, out.err
    rows = Store(tmp_path / "store").rows
    assert {row.site for row in rows} == {"alpha", "beta", "gamma", "delta"}
    assert min(row.signals[name].valid_share for row in rows for name in ("ppg", "actigraphy")) > 0.6
    refused = sleep2vec("simulate", tmp_path / "no", "--watch", "--cohort", "mesa", *SHORT)
    assert (refused.code, "a cohort's recordings hold what its files hold" in refused.err) == (2, True)


def test_mistakes_are_told_in_a_sentence(sleep2vec, tmp_path: Path):
    unknown = sleep2vec("simulate", tmp_path, "--cohort", "shhs3", *SHORT)
    assert (unknown.code, unknown.err.startswith("sleep2vec: cohort 'shhs3' cannot be simulated; choose from")) == (
        2,
        True,
    )
    alone = sleep2vec("simulate", tmp_path, "--faults", "realistic", *SHORT)
    assert (alone.code, "name one with --cohort" in alone.err) == (2, True)
    long = sleep2vec("simulate", tmp_path, "--cohort", "mesa", "--hours", "99", "--workers", "1")
    assert (long.code, "a simulated night of 99 h; give 0.25 to 24 h." in long.err) == (2, True)
    assert not any(tmp_path.iterdir())
