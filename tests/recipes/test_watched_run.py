"""A small pretraining, whole: what it writes before its first step, what it logs, and the page made of it."""

import csv
import json
from pathlib import Path

import pytest
from made_nights import SLOW, made_night, store_of

from sleep2vec.cli.main import run
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.pretraining import run_pretraining
from sleep2vec.recipes.schema import PretrainRecipe
from sleep2vec.vocabulary.subject import Subject


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> PretrainRecipe:
    folder = tmp_path_factory.mktemp("watched")
    nights = [
        made_night(f"n{i}", i, 40, SLOW, subject=Subject(f"p{i}", 30.0 + i, "male" if i % 2 else "female"))
        for i in range(14)
    ]
    store_of(folder / "store", nights)
    return PretrainRecipe.model_validate(
        {
            "store": folder / "store",
            "out": folder / "run",
            "model": {"modalities": SLOW, "dropout": 0.0},
            "batches": {"batch_windows": 4, "window_tokens": 10},
            "run": {"steps": 4, "validate_every": 2, "log_every": 1, "device": "cpu"},
            "split": {"validation": 0.5, "test": 0.0},
            "probes": {"window_tokens": 8},
        }
    )


def logged(folder: Path) -> list[tuple[str, str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return [(row["step"], row["name"], row["value"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(recipe) -> Path:
    killed_before_its_first_step = []

    def watch(progress):
        if not killed_before_its_first_step:
            killed_before_its_first_step.append(sorted(path.name for path in recipe.out.iterdir()))

    run_pretraining(recipe, watch)
    assert {"recipe.yaml", "data.json", "log.csv"} <= set(killed_before_its_first_step[0])
    return recipe.out


def test_the_recipe_it_wrote_is_the_recipe_and_goes_on_with_the_run(recipe, finished):
    again = load_recipe(finished / "recipe.yaml", PretrainRecipe)
    assert again == recipe
    before = logged(finished)
    scores = run_pretraining(again)  # finished: nothing is done again
    assert logged(finished) == before
    assert scores["top1"] == float(next(v for s, n, v in before if (s, n) == ("4", "validation/top1")))


def test_its_data_are_counted_by_side(finished):
    data = json.loads((finished / "data.json").read_text())
    assert {side: (part["n_nights"], part["cohorts"]) for side, part in data.items()} == {
        "training": (7, {"made": 7}),
        "validation": (7, {"made": 7}),
    }


def test_it_is_probed_at_every_validation_and_the_reference_stays(finished):
    values = {(step, name): value for step, name, value in logged(finished)}
    for name in ("sex_mean", "person_within_mean", "age_mean"):
        assert {step for step, found in values if found == f"probes/{name}"} == {"2", "4"}
        assert values["2", f"untrained/{name}"] == values["4", f"untrained/{name}"]
    assert not any("site" in name or "stage" in name for _, name in values)  # one site, and nobody scored


@pytest.mark.parametrize(("when", "steps"), [("end", {"4"}), ("never", set())])
def test_when_is_obeyed_and_changes_nothing_of_what_is_learned(recipe, finished, tmp_path, when, steps):
    changed = recipe.model_copy(
        update={"out": tmp_path / "run", "probes": recipe.probes.model_copy(update={"when": when})}
    )
    run_pretraining(changed)
    assert {step for step, name, _ in logged(changed.out) if name.startswith("probes/")} == steps
    learned = [(folder / "model.safetensors").read_bytes() for folder in (changed.out, finished)]
    assert learned[0] == learned[1]


def test_a_warning_reaches_the_card(recipe, finished):
    """Noise against noise: simultaneous signals cannot find each other."""
    values = {(step, name): value for step, name, value in logged(finished)}
    card = (finished / "card.md").read_text()
    warned = float(values["4", "validation/collapse"]) > 0
    assert ("## Warnings from its training" in card) is warned
    assert warned


def test_the_command_writes_the_page_and_prints_the_numbers(finished, tmp_path, monkeypatch, capsys):
    def command(*words):
        monkeypatch.setattr("sys.argv", ["sleep2vec", "report", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run()
        return ended.value.code or 0, capsys.readouterr()

    code, said = command(finished, "--out", tmp_path / "page")
    assert code == 0
    assert f"open {tmp_path / 'page' / 'report.html'} in a browser" in said.out
    assert "warning: " in said.out
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["report.html", "retrieval.svg"]
    code, said = command(finished, "--json")
    last = {name: float(value) for _, name, value in logged(finished)}
    assert json.loads(said.out)["last"] == pytest.approx(last)
    assert json.loads(said.out)["finished"] is True
    code, said = command(tmp_path)
    assert code != 0
    assert "has no log.csv" in said.err
