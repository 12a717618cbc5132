"""The page of a run: what stands on it is what stands in its log, and what went wrong is said."""

import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import DATA, MODALITIES, made_run, validated

from sleep2vec.report.curves import Curve, Level, chart_svg, round_ticks
from sleep2vec.report.matrix import shade
from sleep2vec.report.run import retrieval_file, run_facts, run_html
from sleep2vec.report.run_folder import read_run
from sleep2vec.report.run_history import RunHistory, Series
from sleep2vec.report.run_warnings import warnings_of
from sleep2vec.vocabulary.errors import UsageError


def logged(folder: Path) -> dict[str, float]:
    """The last value of each name, by the csv module alone."""
    with (folder / "log.csv").open(newline="") as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


def page_of(folder: Path) -> ElementTree.Element:
    html = run_html(read_run(folder))
    assert "<script" not in html
    assert not re.search(r"(src|href)=", html)  # nothing is fetched from anywhere
    body = html[html.index("<body>") : html.index("</body>") + 7]
    return ElementTree.fromstring(body)


def words_of(page: ElementTree.Element) -> str:
    return " ".join(" ".join(page.itertext()).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = made_run(
        tmp_path_factory.mktemp("runs") / "a <b>run</b>", gradient_norm=1.5, learning_rate=0.00025, waiting_share=0.01
    )
    (made / "state-00000300").mkdir()
    (made / "state-00000300" / "complete").touch()
    return made


def test_the_matrix_holds_the_retrieval_of_the_last_validation(folder):
    last = logged(folder)
    cells = {cell.get("data-pair"): cell.text for cell in page_of(folder).iter("text") if cell.get("data-pair")}
    assert len(cells) == len(MODALITIES) * (len(MODALITIES) - 1)
    for pair, text in cells.items():
        first, second = pair.split("_")
        value = last.get(f"validation/top1_{first}_{second}", last.get(f"validation/top1_{second}_{first}"))
        assert text == f"{value:.2f}"
    assert f"A blind guess is right in {last['validation/chance']:.3f}" in words_of(page_of(folder))


def test_every_tile_and_table_holds_what_was_logged(folder):
    last, page = logged(folder), page_of(folder)
    tiles = {
        box.find("span").text: (box.find("b").text, box.findtext("small"))
        for box in page.iter("div")
        if box.find("b") is not None
    }
    assert tiles["Validation loss"][0] == f"{last['validation/loss']:.3f}"
    assert tiles["Top-1 retrieval"] == (f"{last['validation/top1']:.3f}", "chance 0.031")
    assert tiles["Site, linear probe"] == (f"{last['probes/site_mean']:.2f}", "chance 0.25")
    untrained = f"kappa; untrained {last['untrained/stage_token']:.2f}"
    assert tiles["Stage, linear probe"] == (f"{last['probes/stage_token']:.2f}", untrained)
    rows = [["".join(cell.itertext()) for cell in row.iter("td")] for row in page.iter("tr")]
    for name in MODALITIES:
        paired = {
            kind: np.mean([v for key, v in last.items() if key.startswith(f"validation/{kind}_") and name in key])
            for kind in ("top1", "alignment")
        }
        alone = [last[f"validation/{kind}_{name}"] for kind in ("uniformity", "rank", "spread")]
        expected = [f"{paired['top1']:.2f}", f"{paired['alignment']:.2f}"]
        expected += [f"{value:.{digits}f}" for value, digits in zip(alone, (2, 1, 2), strict=True)]
        assert [name, *expected] in rows
        assert [name, *(f"{last[f'probes/{of}_{name}']:.2f}" for of in ("site_mean", "stage_token"))] in rows
    assert ["chance", "0.25", "0.00"] in rows
    low, high = last["probes/site_mean_low"], last["probes/site_mean_high"]
    assert any(row[:2] == ["95 % by person", f"{low:.2f} to {high:.2f}"] for row in rows)


def test_curves_end_at_the_last_logged_values(folder):
    last = logged(folder)
    names = [text.text for text in page_of(folder).iter("text") if text.get("class") == "name"]
    assert f"validation {last['validation/loss']:.3f}" in names
    assert f"mean {last['validation/rank']:.1f}" in names
    assert f"untrained {last['untrained/site_mean']:.2f}" in names
    assert "chance 0.25" in names
    assert f" {last['train/learning_rate']:.6f}" in names


def test_the_page_says_what_it_was_about_and_how_to_go_on(folder, tmp_path):
    words = words_of(page_of(folder))
    assert "a <b>run</b>" in words  # escaped in the source, plain to a reader
    assert "step 400 of 400; not finished" in words
    assert "19 nights of 17 people, 152.5 h; shhs1 (12), mesa (7)" in words
    assert "5 nights of 4 people, 40 h; mesa (5)" in words
    assert "Simulated" not in words
    assert f"sleep2vec pretrain --recipe {folder / 'recipe.yaml'}" in words
    assert "from step 300" in words
    finished = made_run(tmp_path / "done")
    (finished / "model.safetensors").touch()
    (finished / "config.json").write_text(json.dumps({"format": 1}))
    words = words_of(page_of(finished))
    assert "finished after 400 steps" in words
    assert f"finetune --recipe tiny-demo-staging --set pretrained={finished}" in words


def test_an_adaptation_is_gone_on_with_by_its_own_command(tmp_path):
    for name, steps in (("run", 900), ("stage-1", 500)):
        made = made_run(tmp_path / name)
        stages = "stage_1: {run: {steps: 500}}\nstage_2: {run: {steps: 900}}\n"
        (made / "recipe.yaml").write_text(f"store: somewhere\npretrained: before\n{stages}")
        words = words_of(page_of(made))
        assert f"step 400 of {steps}; not finished" in words
        assert f"sleep2vec adapt --recipe {made / 'recipe.yaml'}" in words


def test_json_holds_every_last_number(folder):
    facts = json.loads(json.dumps(run_facts(read_run(folder)), allow_nan=False))
    assert facts["last"] == pytest.approx(logged(folder))
    assert (facts["finished"], facts["step"], facts["saved_step"], facts["steps"]) == (False, 400, 300, 400)
    assert facts["data"] == DATA
    assert facts["warnings"] == []


def test_the_picture_is_an_svg_of_its_own(folder):
    picture = ElementTree.fromstring(retrieval_file(read_run(folder)))
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert len([cell for cell in picture.iter() if cell.get("data-pair")]) == 6


def test_a_run_that_just_began_and_one_without_pairs_have_pages(tmp_path):
    began = made_run(tmp_path / "began", steps=[4], validations={4: {}}, losses={4: 3.0})
    words = words_of(page_of(began))
    assert "find each other" not in words
    assert retrieval_file(read_run(began)) is None
    tuned = made_run(tmp_path / "tuned", validations={s: {"validation/kappa": s / 500} for s in (100, 200, 300, 400)})
    assert "0.800" in words_of(page_of(tuned))
    with pytest.raises(UsageError, match=r"is no folder of a run: it has no log\.csv"):
        read_run(tmp_path)
    (tuned / "data.json").write_text("{")
    with pytest.raises(UsageError, match="holds a damaged file of its run"):
        read_run(tuned)


# --- warnings ---------------------------------------------------------------------------------------------------


def warned(tmp_path, **given):
    return " ".join(warnings_of(read_run(made_run(tmp_path / "run", **given)).history))


def test_a_collapse_is_on_the_page_with_its_kind_and_modality(tmp_path):
    gone = {"validation/collapse": 3.0, "validation/spread_ibi": 0.001, "validation/uniformity_ibi": -0.004}
    narrow = {"validation/collapse": 2.0, "validation/rank_eeg": 3.0}
    assert "Total collapse of ibi: all embeddings" in warned(tmp_path, validations={400: validated(1, **gone)})
    found = warned(tmp_path, validations={400: validated(1, **narrow)})
    assert "Dimensional collapse of eeg" in found
    assert "in 3.0 of 128 directions" in found
    assert "(step 400)" in found
    assert found in words_of(page_of(tmp_path / "run"))
    recovered = warned(tmp_path, validations={200: validated(1, **narrow)})
    assert recovered.startswith(
        "The embeddings were collapsed when validated at step 200, and no longer are at step 400"
    )


def test_a_loss_that_climbs_back_is_a_divergence_and_noise_is_none(tmp_path):
    draw = np.random.default_rng(0)
    falling = {step: 3 * 0.99 ** (step / 2) + 0.3 * draw.random() for step in range(2, 401, 2)}
    assert warned(tmp_path, losses=falling) == ""
    climbing = {step: loss + (2.5 if step > 320 else 0) for step, loss in falling.items()}
    assert "training loss has lost more than half of what it had gained" in warned(tmp_path, losses=climbing)


@pytest.mark.parametrize(("name", "sign"), [("loss", 1.0), ("kappa", -1.0)])
def test_validation_that_gets_worse_is_told_with_its_best_step(tmp_path, name, sign):
    def run(values):
        rows = {100 * (i + 1): {f"validation/{name}": sign * value} for i, value in enumerate(values)}
        return warned(tmp_path, steps=list(rows), validations=rows)

    assert f"validation {name} was best at step 200 ({sign:.3f})" in run([3.0, 1.0, 1.3, 1.4, 1.5])
    assert run([3.0, 2.0, 1.5, 1.2, 1.0]) == ""
    assert run([3.0, 1.0, 1.3, 1.4]) == ""  # two later validations are not enough
    assert run([3.0, 1.0, 1.01, 1.0, 1.02]) == ""  # noise


def test_waiting_for_data_is_told_above_a_twentieth(tmp_path):
    assert "8% of the time goes by waiting" in warned(tmp_path, waiting_share=0.08)
    assert warned(tmp_path, waiting_share=0.04) == ""


# --- the pieces -------------------------------------------------------------------------------------------------


def test_points_lie_where_their_numbers_say():
    """Judged by a straight line: equal steps in both directions on the paper."""
    line = Series(np.array([0, 100, 200]), np.array([1.0, 2.0, 3.0]))
    figure = ElementTree.fromstring(
        chart_svg([Curve("a", line, "#000")], "x", 200, [Level("chance", 2.0)], shown=(1, 3))
    )
    (path,) = [p for p in figure.iter("path") if p.get("data-curve") == "a"]
    points = np.array([[float(n) for n in pair.split()] for pair in re.split("[ML]", path.get("d"))[1:]])
    assert np.ptp(np.diff(points, axis=0), axis=0) == pytest.approx([0, 0], abs=0.02)
    assert points[2, 1] < points[0, 1]  # up is more
    (level,) = [p for p in figure.iter("path") if p.get("class") == "level"]
    assert float(level.get("d").split()[1].partition("H")[0]) == pytest.approx(points[1, 1], abs=0.01)


@pytest.mark.parametrize("n_far", [0, 3, 12])
def test_a_tenth_of_all_batches_far_away_leaves_the_course_of_the_others_to_be_seen(n_far):
    """A loss that falls from 6 to 3 keeps most of the height, and every batch is drawn within the figure."""
    losses = np.linspace(6.0, 3.0, 120)
    losses[5 : 5 + 9 * n_far : 9] = 250.0
    series = Series(np.arange(120), losses)
    figure = ElementTree.fromstring(chart_svg([Curve("batches", series, "#000", "points")], "x", 120, height=250))
    (path,) = [p for p in figure.iter("path") if p.get("data-curve") == "batches"]
    heights = np.array([float(dot.split()[1].removesuffix("h0")) for dot in path.get("d").split("M")[1:]])
    assert len(heights) == 120
    assert heights.min() >= 0
    assert heights.max() <= 250
    near = heights[losses < 10]
    assert np.ptp(near) > 0.3 * 250


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")))), max_size=12))
def test_any_series_can_be_drawn_and_nan_breaks_the_line(rows):
    series = RunHistory((step, "x", value) for step, value in rows).series("x")
    assert series.steps_P.tolist() == sorted({step for step, _ in rows})
    figure = chart_svg([Curve("<a>", series, "#000")], "x", max([s for s, _ in rows], default=1))
    assert "nan" not in figure
    path = next(p for p in ElementTree.fromstring(figure).iter("path") if p.get("data-curve"))
    drawn = re.findall(r"[ML][-\d.]+ [-\d.]+", path.get("d"))
    assert len(drawn) == np.isfinite(series.values_P).sum()


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e5))
def test_ticks_are_round_few_and_inside(low, width):
    ticks = round_ticks(low, low + width, 5)
    assert len(ticks) <= 7
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        assert float(f"{step:.0e}"[0]) in (1, 2, 5)


def test_shades_run_from_chance_to_always_by_the_logarithm():
    assert shade(0.03, 0.03) == pytest.approx(0.0)
    assert shade(0.001, 0.03) == 0.0
    assert shade(1.0, 0.03) == 1.0
    assert shade(0.03**0.5, 0.03) == pytest.approx(0.5)
    assert shade(0.4, None) == 0.4


def test_a_step_logged_twice_counts_once_and_names_are_told_apart():
    history = RunHistory(
        [(1, "probes/site_mean", 0.1), (1, "probes/site_mean", 0.2), (1, "probes/site_mean_low", 0.0),
         (1, "probes/site_mean_eeg", 0.3), (1, "validation/top1_eeg_ibi", 0.5), (1, "validation/top1", 0.5)]
    )  # fmt: skip
    assert history.series("probes/site_mean").values_P.tolist() == [0.2]
    assert list(history.by_modality("probes/site_mean")) == ["eeg"]
    assert list(history.by_pair("validation/top1")) == [("eeg", "ibi")]
    assert history.last("validation/nothing") is None
