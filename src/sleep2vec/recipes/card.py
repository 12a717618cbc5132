"""Model cards, written by the code that trained the model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.night import is_simulated

SIMULATED_WARNING = (
    "These weights were trained on simulated nights only. They show how the software works; "
    "do not draw conclusions about people from them."
)


@dataclass(frozen=True)
class TrainingData:
    """What a model has seen."""

    n_nights: int
    n_people: int
    hours: float
    cohorts: dict[str, int]
    simulated_only: bool

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def training_data(rows: Sequence[ManifestRow]) -> TrainingData:
    """Sum up the nights of a training set."""
    cohorts = Counter(row.cohort or "unknown" for row in rows)
    return TrainingData(
        n_nights=len(rows),
        n_people=len({row.person for row in rows}),
        hours=round(sum(row.n_tokens for row in rows) * TOKEN_SECONDS / 3600, 1),
        cohorts=dict(sorted(cohorts.items())),
        simulated_only=bool(cohorts) and all(map(is_simulated, cohorts)),
    )


def card_text(
    title: str,
    purpose: str,
    data: Sequence[tuple[str, TrainingData]],
    scores: Mapping[str, float],
    recipe: str,
    warnings: Sequence[str] = (),
) -> str:
    """A card in Markdown.

    Args:
        title, purpose: what the model is and what it is for.
        data: (what it was used for, what it was) for each stage of training.
        scores: what was measured on people kept apart.
        recipe: YAML.
        warnings: what went wrong while it learned, a sentence each.
    """
    lines = [f"# {title}", "", purpose, ""]
    if all(part.simulated_only for _, part in data):
        lines += [f"**{SIMULATED_WARNING}**", ""]
    lines += ["For research; not a medical device.", "", "## Training data", ""]
    for use, part in data:
        cohorts = ", ".join(f"{name} ({n})" for name, n in part.cohorts.items())
        lines.append(f"- {use}: {part.n_nights} nights of {part.n_people} people, {part.hours:g} h; cohorts: {cohorts}")
    lines += ["", "## Measured on people kept apart", ""]
    lines += [f"- {name}: {value:.3f}" for name, value in scores.items()] or ["- nothing: the split keeps nobody apart"]
    if warnings:
        lines += ["", "## Warnings from its training", "", *(f"- {warning}" for warning in warnings)]
    return "\n".join([*lines, "", "## Recipe", "", "```yaml", recipe.rstrip(), "```", ""])
