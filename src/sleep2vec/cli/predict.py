"""`sleep2vec predict`: a recording in, a result out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sleep2vec.inference.result import NightResult

NAME = "predict"


def command(
    file: Annotated[Path, typer.Argument(help="The recording (EDF, EDF+, BDF).")],
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a fine-tuned model. Default: small-tasks, which comes with sleep2vec."),
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(help="Use only these, with commas: for example ibi,resp. Default: all there are.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: FILE's name with -sleep2vec, beside it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json instead of a summary.")] = False,
) -> None:
    """Stage a night from whatever sensors it has.

    Writes result.json, stages.csv, stages.edf (EDF+ annotations), embeddings.parquet and night.html.
    """
    from sleep2vec.formats.reader import read
    from sleep2vec.harmonization.pipeline import harmonize
    from sleep2vec.vocabulary.modalities import parse_modalities

    wanted = None if modalities is None else parse_modalities(modalities.split(","))
    from sleep2vec.inference.predictor import load

    loaded = load() if model is None else load(model)
    night = harmonize(read(file), night_id=file.stem, modalities=wanted or loaded.modalities)
    result = loaded.predict(night, modalities=wanted)
    paths = result.save(out or file.parent / f"{file.stem}-sleep2vec")
    if as_json:
        typer.echo(next(path for path in paths if path.name == "result.json").read_text(encoding="utf-8"))
        return
    typer.echo(summary(result))
    typer.echo(f"written: {', '.join(path.name for path in paths)} in {paths[0].parent}")


def summary(result: "NightResult") -> str:
    """A result in a few lines for the terminal."""
    statistics = result.statistics
    lines = [
        f"{result.night.night_id}: {result.night.n_tokens} epochs, from {', '.join(result.modalities)}",
        f"  sleep {statistics.total_sleep_min:g} min of {statistics.time_in_bed_min:g} min "
        f"(N1 {statistics.n1_min:g}, N2 {statistics.n2_min:g}, N3 {statistics.n3_min:g}, R {statistics.rem_min:g})",
    ]
    weights = result.sensor_weights.sum(axis=0)
    total = weights.sum() or 1.0
    decided = sorted(zip(result.modalities, weights / total, strict=True), key=lambda pair: -pair[1])
    lines.append("  decided by " + ", ".join(f"{name} {share:.0%}" for name, share in decided))
    if result.simulated_weights:
        lines.append("  The model was trained on simulated nights only: believe nothing it says of a person.")
    lines += [f"  ! {warning}" for warning in result.warnings]
    return "\n".join(lines)
