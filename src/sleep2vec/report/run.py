"""The page of a training run, finished or not: what it learned, what can be read from it, and what went wrong."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from markupsafe import Markup

from sleep2vec.report.curves import Curve, Level, chart_svg
from sleep2vec.report.documents import template
from sleep2vec.report.matrix import retrieval_svg, standalone
from sleep2vec.report.palette import NEUTRAL, modality_colour
from sleep2vec.report.run_folder import RECIPE, RunFolder
from sleep2vec.report.run_history import RunHistory
from sleep2vec.report.run_warnings import smoothed, warnings_of
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import is_simulated

_MAIN, _SECOND, _PALE = "#1d4872", "#c03a63", "#7fb3d3"
_WIDE = 1000.0
_LAST_STAGE = "stage_2"  # of an adaptation

# Name in the log, heading, what the number is, and what it means where it stands.
PROBES = (
    ("site", "Site", "balanced accuracy", "Which site recorded it; near chance is best."),
    ("person_within", "Person, within the night", "balanced accuracy", "Known again in the other half of the night."),
    ("person_across", "Person, across nights", "balanced accuracy", "Known again in another night."),
    ("sex", "Sex", "balanced accuracy", "Physiology tells it, and so may the amplifier."),
    ("age", "Age", "R²", "0 is saying the mean age of all."),
    ("age_error", "Age, error", "years", "Mean absolute error; chance is saying the median age of all."),
    ("stage", "Sleep stage", "Cohen's kappa", "Of single tokens: what is worth knowing."),
)
_KINDS = (("mean", "mean of tokens", _MAIN), ("token", "tokens", _MAIN), ("cls", "[CLS]", _SECOND))


@dataclass(frozen=True)
class Panel:
    """A chart with its heading and a sentence."""

    title: str
    words: str
    figure: Markup


def run_html(run: RunFolder) -> str:
    """The page as one HTML document: inline SVG and styles, no script, nothing fetched from anywhere."""
    history = run.history
    return template("run.html").render(
        title=run.name,
        simulated=_simulated(run),
        facts=_facts(run),
        warnings=warnings_of(history),
        tiles=_tiles(history),
        loss=_loss(run),
        scores=_other_scores(run),
        retrieval=retrieval_figure(run),
        retrieval_course=_retrieval_course(run),
        chance=history.last("validation/chance"),
        geometry=_geometry(run),
        modality_rows=_modality_rows(history),
        probes=_probes(run),
        probe_rows=_probe_rows(history),
        probe_columns=[target for target in PROBES if history.last(_probe_name(history, target[0])) is not None],
        machine=_machine(run),
        recipe=yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True) if run.recipe else "",
        next_steps=_next_steps(run),
    )


def run_facts(run: RunFolder) -> dict[str, Any]:
    """What the page says, for a program: state, warnings, the newest value of everything logged, recipe and data."""
    history = run.history
    return {
        "run": run.name,
        "finished": run.finished,
        "step": history.last_step,
        "steps": _n_steps(run),
        "saved_step": run.saved_step,
        "log_written": run.written.isoformat(timespec="seconds"),
        "warnings": list(warnings_of(history)),
        "last": {name: history.last(name) for name in history.names},
        "data": dict(run.data),
        "recipe": dict(run.recipe),
    }


def retrieval_figure(run: RunFolder) -> Markup | None:
    """Top-1 retrieval of each pair at the newest validation; None where no pair was validated."""
    top1 = {pair: series.last for pair, series in run.history.by_pair("validation/top1").items()}
    if not top1:
        return None
    return retrieval_svg(
        top1, run.history.last("validation/chance"), _ordered({name for pair in top1 for name in pair})
    )


def retrieval_file(run: RunFolder) -> str | None:
    """The same as an SVG file of its own."""
    figure = retrieval_figure(run)
    return None if figure is None else standalone(figure)


def _n_steps(run: RunFolder) -> int:
    """As planned; of an adaptation, those of the stage whose folder it is."""
    part: Any = run.recipe
    if _LAST_STAGE in run.recipe:
        part = run.recipe.get(run.name.replace("-", "_"), run.recipe[_LAST_STAGE])
    for name in ("run", "steps"):
        part = part.get(name) if isinstance(part, dict) else None
    return part if isinstance(part, int) else run.history.last_step


def _axis_end(run: RunFolder) -> int:
    """What is there is drawn large; how much is to come stands in the facts."""
    return run.history.last_step


def _simulated(run: RunFolder) -> bool:
    cohorts = [name for part in run.data.values() for name in part.get("cohorts", {})]
    return bool(cohorts) and all(map(is_simulated, cohorts))


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    step, n_steps = run.history.last_step, _n_steps(run)
    written = f"{run.written:%d %B %Y, %H:%M:%S}"
    state = f"finished after {n_steps:,} steps" if run.finished else f"step {step:,} of {n_steps:,}; not finished"
    model = run.recipe.get("model") or {}
    rows = [("State", state.replace(",", " ")), ("Log last written", written)]
    if model:
        made_of = ", ".join(str(model[part]) for part in ("size", "tokenizer", "backbone") if part in model)
        rows += [("Model", made_of), ("Modalities", ", ".join(model.get("modalities", ())))]
    if run.recipe.get("pretrained"):
        rows.append(("Starts from", str(run.recipe["pretrained"])))
    for use, part in run.data.items():
        cohorts = ", ".join(f"{name} ({n})" for name, n in part.get("cohorts", {}).items()) or "no cohort"
        nights = f"{part.get('n_nights', 0)} nights of {part.get('n_people', 0)} people, {part.get('hours', 0):g} h"
        rows.append((use.capitalize(), f"{nights}; {cohorts}"))
    batches = run.recipe.get("batches") or {}
    if batches:
        rows.append(("Batch", f"{batches.get('batch_windows')} windows of {batches.get('window_tokens')} tokens"))
    alignment = run.recipe.get("alignment") or {}
    objective, weight = alignment.get("objective"), alignment.get("reconstruction_weight")
    words = f"{objective} + {weight:g} x reconstruction" if weight else str(objective)
    return [*rows, *([("Objective", words)] if objective else [])]


def _tiles(history: RunHistory) -> list[tuple[str, str, str]]:
    """Name, value, what to compare it with; only of what was logged."""
    chance = history.last("validation/chance")
    wanted = [
        ("Training loss", smoothed(history.series("train/loss")).last, 3, "running median"),
        ("Validation loss", history.last("validation/loss"), 3, "mean over pairs"),
        ("Validation kappa", history.last("validation/kappa"), 3, ""),
        ("Top-1 retrieval", history.last("validation/top1"), 3, "" if chance is None else f"chance {chance:.3f}"),
        ("Stage, linear probe", history.last("probes/stage_token"), 2, _beside(history, "stage_token", "kappa")),
        ("Site, linear probe", history.last("probes/site_mean"), 2, _against(history, "site")),
        ("Person, linear probe", history.last("probes/person_within_mean"), 2, _against(history, "person_within")),
    ]
    return [
        (name, f"{value:.{digits}f}", beside)
        for name, value, digits, beside in wanted
        if value is not None and not math.isnan(value)
    ][:6]


def _against(history: RunHistory, target: str) -> str:
    chance = history.last(f"probes/{target}_chance")
    return "" if chance is None else f"chance {chance:.2f}"


def _beside(history: RunHistory, name: str, unit: str) -> str:
    untrained = history.last(f"untrained/{name}")
    return unit if untrained is None else f"{unit}; untrained {untrained:.2f}"


def _loss(run: RunFolder) -> Markup | None:
    history = run.history
    train, pairs = history.series("train/loss"), history.by_pair("validation/loss")
    validation = history.series("validation/loss")
    curves = []
    if len(train):
        curves += [Curve("batches", train, _PALE, "points"), Curve("training", smoothed(train), "#4f93bd")]
    if len(validation):
        band = history.band(pairs.values(), (0.1, 0.9)) if len(pairs) > 2 else None
        curves.append(Curve("validation", validation, _SECOND, band=band))
    return (
        chart_svg(curves, "Loss over the steps", _axis_end(run), width=_WIDE, height=250, digits=3) if curves else None
    )


def _other_scores(run: RunFolder) -> list[Panel]:
    """Accuracy, kappa and the like: what a fine-tuning run validates."""
    names = ("kappa", "accuracy", "macro_f1")
    found = {name: run.history.series(f"validation/{name}") for name in names}
    return [
        Panel(
            name.replace("_", "-").capitalize(),
            "",
            chart_svg([Curve("", series, _MAIN)], f"Validation {name}", _axis_end(run), digits=3),
        )
        for name, series in found.items()
        if len(series)
    ]


def _retrieval_course(run: RunFolder) -> Markup | None:
    history = run.history
    mean, pairs = history.series("validation/top1"), history.by_pair("validation/top1")
    chance = history.last("validation/chance")
    if not len(mean):
        return None
    band = history.band(pairs.values(), (0.1, 0.9)) if len(pairs) > 2 else None
    levels = [] if chance is None else [Level("chance", chance)]
    return chart_svg(
        [Curve("mean", mean, _MAIN, band=band)], "Top-1 retrieval", _axis_end(run), levels, shown=(0, None)
    )


def _geometry(run: RunFolder) -> list[Panel]:
    """Alignment, uniformity and rank over the steps."""
    history, panels = run.history, []
    most = history.last("validation/most_rank")
    of_most = "" if most is None else f", of {most:.0f}"
    rows = (
        ("alignment", "Alignment", "Squared distance of partners: 0 is the same place, 2 nothing in common."),
        ("uniformity", "Uniformity", "How evenly embeddings cover the sphere: low is even, 0 is one point."),
        (
            "rank",
            "Effective rank",
            f"Directions in which embeddings differ{of_most}; a few are a dimensional collapse.",
        ),
        ("spread", "Spread", "Variance on the sphere, at most 1; near 0 is a total collapse."),
    )
    for kind, title, words in rows:
        mean = history.series(f"validation/{kind}")
        if not len(mean):
            continue
        name = f"validation/{kind}"
        parts = list((history.by_pair(name) if kind == "alignment" else history.by_modality(name)).values())
        band = history.band(parts, (0.0, 1.0)) if len(parts) > 1 else None
        figure = chart_svg(
            [Curve("mean", mean, _MAIN, band=band)], title, _axis_end(run), digits=1 if kind == "rank" else 2
        )
        panels.append(Panel(title, words, figure))
    return panels


def _modality_rows(history: RunHistory) -> list[tuple[str, str, list[str]]]:
    """Modality, colour, and its mean retrieval and alignment over pairs, uniformity, rank, spread."""
    alone = {kind: history.by_modality(f"validation/{kind}") for kind in ("uniformity", "rank", "spread")}
    paired = {kind: history.by_pair(f"validation/{kind}") for kind in ("top1", "alignment")}
    rows = []
    for name in _ordered(set(alone["rank"])):
        means = [_mean([series.last for pair, series in paired[kind].items() if name in pair]) for kind in paired]
        values = [(means[0], 2), (means[1], 2), *((alone[kind][name].last, digits) for kind, digits in _DIGITS)]
        rows.append((name, modality_colour(name), [_text(value, digits) for value, digits in values]))
    return rows


_DIGITS = (("uniformity", 2), ("rank", 1), ("spread", 2))


def _probes(run: RunFolder) -> list[Panel]:
    history, panels = run.history, []
    for target, title, unit, words in PROBES:
        curves = []
        for kind, name, colour in _KINDS:
            series = history.series(f"probes/{target}_{kind}")
            if not len(series):
                continue
            ends = [history.series(f"probes/{target}_{kind}_{end}") for end in ("low", "high")]
            banded = kind != "cls" and all(len(end) == len(series) for end in ends)
            curves.append(Curve(name, series, colour, band=(ends[0], ends[1]) if banded else None))
        if not curves:
            continue
        untrained = history.last(f"untrained/{_probe_name(history, target).removeprefix('probes/')}")
        chance = history.last(f"probes/{target}_chance")
        levels = [] if chance is None else [Level("chance" if target != "age" else "mean age", chance)]
        levels += [] if untrained is None else [Level("untrained", untrained)]
        figure = chart_svg(curves, title, _axis_end(run), levels)
        panels.append(Panel(title, f"{unit[0].upper()}{unit[1:]}. {words}", figure))
    return panels


def _probe_rows(history: RunHistory) -> list[tuple[str, str, list[str]]]:
    """The newest score of each probe by modality, then together, then of the untrained encoder, then chance."""
    asked = [name for target, *_ in PROBES if history.last(name := _probe_name(history, target)) is not None]
    by_modality = {name: history.by_modality(name) for name in asked}
    modalities = _ordered({m for found in by_modality.values() for m in found})
    rows = [
        (
            m,
            modality_colour(m),
            [_text(by_modality[name][m].last, 2) if m in by_modality[name] else "–" for name in asked],
        )
        for m in modalities
    ]
    if not asked:
        return []
    ends = [(history.last(f"{name}_low"), history.last(f"{name}_high")) for name in asked]
    spans = ["–" if low is None or high is None else f"{low:.2f} to {high:.2f}" for low, high in ends]
    untrained = [history.last(name.replace("probes/", "untrained/")) for name in asked]
    chances = [history.last(f"{name.rpartition('_')[0]}_chance") for name in asked]
    rows.append(("all", NEUTRAL, [_text(history.last(name), 2) for name in asked]))
    rows.append(("95 % by person", "", spans))
    rows.append(("untrained", "", [_text(value, 2) for value in untrained]))
    rows.append(("chance", "", [_text(value, 2) for value in chances]))
    return rows


def _probe_name(history: RunHistory, target: str) -> str:
    return f"probes/{target}_{'token' if target == 'stage' else 'mean'}"


def _machine(run: RunFolder) -> list[Panel]:
    """Learning rate, gradient norm, speed, waiting, memory."""
    rows = (
        ("train/learning_rate", "Learning rate", "", 6),
        ("train/gradient_norm", "Gradient norm", "Before clipping.", 2),
        ("train/windows_per_second", "Windows per second", "Pauses for validation aside.", 1),
        ("train/waiting_share", "Waiting for data", "Share of the time; above 5 % the loader is the bottleneck.", 3),
        ("train/seconds_per_step", "Seconds per step", "", 2),
        ("train/memory_gb", "Memory, GB", "", 1),
    )
    found = [(run.history.series(name), title, words, digits) for name, title, words, digits in rows]
    return [
        Panel(
            title, words, chart_svg([Curve("", series, _MAIN)], title, _axis_end(run), digits=digits, shown=(0, None))
        )
        for series, title, words, digits in found
        if len(series)
    ]


def _command(run: RunFolder) -> str:
    """Which command the recipe is for, by the part that only it has."""
    return "finetune" if "task" in run.recipe else "adapt" if _LAST_STAGE in run.recipe else "pretrain"


def _next_steps(run: RunFolder) -> list[tuple[str, str]]:
    """What a person would do now, and the command for it."""
    command = _command(run)
    if not run.finished:
        saved = f"from step {run.saved_step:,}".replace(",", " ") if run.saved_step else "from its beginning"
        resume = f"sleep2vec {command} --recipe {run.path / RECIPE}"
        return [(f"Go on with it where it was stopped, {saved}", resume)]
    if command != "finetune":
        store = run.recipe.get("store", "STORE")
        tuned = f"--set pretrained={run.path} --set store={store} --set out={run.path}-staging"
        if "split" in run.recipe:  # by another one, people whom the model knows would judge it
            tuned += f" --set 'split={json.dumps(run.recipe['split'])}'"
        return [
            ("See what the model is", f"sleep2vec inspect {run.path}"),
            ("Teach it to stage sleep", f"sleep2vec finetune --recipe tiny-demo-staging {tuned}"),
        ]
    return [
        ("See what the model is", f"sleep2vec inspect {run.path}"),
        ("Stage a night with it", f"sleep2vec predict NIGHT.edf --model {run.path}"),
    ]


def _ordered(names: set[str]) -> list[str]:
    """In the order of the table of modalities, strangers last."""
    return sorted(names, key=lambda name: (list(MODALITIES).index(name) if name in MODALITIES else 99, name))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
