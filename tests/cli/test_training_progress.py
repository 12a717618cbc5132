"""What a training run says, and that one of several processes says it."""

import pytest

from sleep2vec.cli.training_progress import note_of, one_voice, training_bar
from sleep2vec.training.runner import Progress
from sleep2vec.vocabulary.errors import RecipeError


def report(step: int, at_least: bool = False, speed: float = 12.4) -> Progress:
    return Progress(step, 20, 3.14159, 2.0, speed, (20 - step) * 2.0 + 3.0, at_least)


def test_the_note_tells_the_time_left_and_when_it_is_only_a_bound():
    assert note_of(report(5)) == "0:00:33 left, loss 3.142, 12 windows/s"
    assert note_of(report(5, at_least=True)) == "at least 0:00:33 left, loss 3.142, 12 windows/s"
    assert note_of(report(20, speed=0.0)) == "loss 3.142"


def test_without_a_terminal_every_tenth_is_a_line(capsys):
    with training_bar("pretrain") as watch:
        for step in range(1, 21):
            watch(report(step))
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" steps")[0] for line in told] == [f"pretrain: {n}/20" for n in (1, *range(2, 21, 2))]


@pytest.mark.parametrize(("rank", "raised"), [("0", RecipeError), ("1", SystemExit)])
def test_a_mistake_that_all_processes_find_is_told_by_the_first(monkeypatch, rank, raised):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(raised), one_voice():
        raise RecipeError("recipe x has 1 mistake")
