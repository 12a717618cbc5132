"""`sleep2vec predict`: a recording in, a result out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sleep2vec.inference.result import NightResult
    from sleep2vec.vocabulary.outcome import Outcome

NAME = "predict"


def command(
    file: Annotated[Path, typer.Argument(help="The recording (EDF, EDF+, BDF).")],
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a fine-tuned model. Default: tiny-tasks, which comes with sleep2vec."),
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(help="Use only these, with commas: for example ibi,resp. Default: all there are.")
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Answer only these, with commas: for example staging,respiratory. Default: all that it was taught."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: FILE's name with -sleep2vec, beside it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json instead of a summary.")] = False,
) -> None:
    """Answer a night from whatever sensors it has: sleep stages, and whatever else the model was taught.

    Writes result.json, stages.csv, stages.edf (EDF+ annotations of stages and events), embeddings.parquet and
    night.html; and events.csv where the model looks for events.
    """
    from sleep2vec.formats.reader import read
    from sleep2vec.harmonization.pipeline import harmonize
    from sleep2vec.vocabulary.modalities import parse_modalities

    wanted = None if modalities is None else parse_modalities(modalities.split(","))
    from sleep2vec.inference.predictor import load

    loaded = load() if model is None else load(model)
    asked = None if tasks is None else loaded.checked_tasks([name.strip() for name in tasks.split(",")])
    night = harmonize(read(file), night_id=file.stem, modalities=wanted or loaded.modalities)
    result = loaded.predict(night, tasks=asked, modalities=wanted)
    paths = result.save(out or file.parent / f"{file.stem}-sleep2vec")
    if as_json:
        typer.echo(next(path for path in paths if path.name == "result.json").read_text(encoding="utf-8"))
        return
    typer.echo(summary(result))
    typer.echo(f"written: {', '.join(path.name for path in paths)} in {paths[0].parent}")


def summary(result: "NightResult") -> str:
    """A result in a few lines for the terminal."""
    lines = [
        f"{result.night.night_id}: {result.night.n_tokens} epochs, from {', '.join(result.modalities)}",
        *_sleep_lines(result),
        *_breathing_lines(result),
        *_person_lines(result),
    ]
    weights = result.sensor_weights.sum(axis=0)
    total = weights.sum() or 1.0
    decided = sorted(zip(result.modalities, weights / total, strict=True), key=lambda pair: -pair[1])
    lines.append("  decided by " + ", ".join(f"{name} {share:.0%}" for name, share in decided))
    if result.simulated_weights:
        lines.append("  The model was trained on simulated nights only: believe nothing it says of a person.")
    lines += [f"  ! {warning}" for warning in result.warnings]
    return "\n".join(lines)


def _sleep_lines(result: "NightResult") -> list[str]:
    from sleep2vec.report.figures import share_text

    statistics = result.statistics
    n_answered = sum(word is not None for word in result.words_of(5))
    if n_answered == 0:
        return ["  sleep: no epoch was staged"]
    lines = [
        f"  sleep {statistics.total_sleep_min:g} min of {statistics.time_in_bed_min:g} min "
        f"(N1 {statistics.n1_min:g}, N2 {statistics.n2_min:g}, N3 {statistics.n3_min:g}, R {statistics.rem_min:g})"
    ]
    if result.least_confidence is not None:
        lines.append(f"  doubtful: {share_text(result.doubtful.sum() / n_answered)} of the epochs")
    return lines


def _breathing_lines(result: "NightResult") -> list[str]:
    """Per hour of predicted sleep; what was not looked for is left out, what is not defined is a dash."""
    breathing, lines = result.breathing, []
    if breathing is None:
        return []
    if breathing.indices:
        names = {"as scored": "by the model's own rule", "1A": "by rule 1A", "1B": "by rule 1B"}
        told = [
            f"{_plain(found.ahi)} {names[found.rule]}" + (f" ({found.severity})" if found.severity else "")
            for found in breathing.indices
        ]
        lines.append("  AHI per hour of predicted sleep: " + ", ".join(told))
    numbers = []
    if breathing.oxygen is not None:
        oxygen = breathing.oxygen
        numbers += [f"ODI3 {_plain(oxygen.odi3)}/h", f"ODI4 {_plain(oxygen.odi4)}/h"]
        if breathing.indices:
            numbers.append(f"hypoxic burden {_plain(oxygen.hypoxic_burden)} %min/h")
        numbers.append(f"{_plain(oxygen.below_90_percent)} % of sleep below 90 %")
    if "arousal" in result.seconds:
        numbers.append(f"arousal index {_plain(breathing.arousal_index)}/h")
    return [*lines, *(["  " + ", ".join(numbers)] if numbers else [])]


def _person_lines(result: "NightResult") -> list[str]:
    from sleep2vec.report.night_person import chance_text, years_text

    lines = []
    if result.outcomes:
        lines.append("  person, no diagnosis: " + ", ".join(map(_outcome_words, result.outcomes)))
    for outcome in dict.fromkeys(prognosis.outcome for prognosis in result.prognoses):
        told = [
            f"{chance_text(prognosis.survival)} after {years_text(prognosis.years)}"
            + (f" ({chance_text(prognosis.baseline)} by age and sex alone)" if prognosis.baseline is not None else "")
            for prognosis in result.prognoses
            if prognosis.outcome == outcome
        ]
        lines.append(f"  free of {outcome.replace('_', ' ')}: " + ", ".join(told))
    return lines


def _outcome_words(outcome: "Outcome") -> str:
    from sleep2vec.report.figures import share_text

    title = outcome.title.replace("_", " ")
    if outcome.unit == "probability":
        usual = "" if outcome.usual is None else f" (usual {share_text(outcome.usual)})"
        return f"{title} {share_text(outcome.value)}{usual}"
    error = "" if outcome.error is None else f" ± {outcome.error:.1f}"
    return f"{title} {outcome.value:.1f}{error} {outcome.unit}".rstrip()


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
