"""The page of an evaluation: what a fine-tuned model found on the nights of a store, with whom, and how surely."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sleep2vec.metrics.figure import Figure
from sleep2vec.report.agreement_plot import bland_altman_picture
from sleep2vec.report.confidence_plots import coverage_picture, reliability_picture
from sleep2vec.report.confusion import confusion_picture
from sleep2vec.report.discrimination_plot import roc_picture
from sleep2vec.report.documents import template
from sleep2vec.report.evaluation_plots import (
    BlandAltmanPlot,
    ConfusionPlot,
    CoveragePlot,
    HypnodensityPlot,
    KaplanMeierPlot,
    Plot,
    ReliabilityPlot,
    RocPlot,
    SubsetPlot,
)
from sleep2vec.report.figure_tables import Comparison, FigureRow, group_comparisons, main_rows, sensor_comparisons
from sleep2vec.report.figures import pattern_definitions
from sleep2vec.report.night_plot import hypnodensity_picture
from sleep2vec.report.palette import STAGE_COLOURS, STAGE_ROWS
from sleep2vec.report.picture import Picture
from sleep2vec.report.subset_plot import subset_picture
from sleep2vec.report.survival_plot import kaplan_meier_picture
from sleep2vec.vocabulary.errors import UsageError

PICTURES: Mapping[type, Callable[[Any], Picture]] = MappingProxyType(
    {
        ConfusionPlot: confusion_picture,
        HypnodensityPlot: hypnodensity_picture,
        BlandAltmanPlot: bland_altman_picture,
        ReliabilityPlot: reliability_picture,
        CoveragePlot: coverage_picture,
        KaplanMeierPlot: kaplan_meier_picture,
        RocPlot: roc_picture,
        SubsetPlot: subset_picture,
    }
)
_LONG_FACT = 44
# What is longer is folded away.
_MOST_ROWS, _MOST_TABLES = 20, 6
_ASKED_FIRST = ("kappa", "F1", "MAE", "AUROC", "Harrell's C")


@dataclass(frozen=True)
class EvaluationPage:
    """Everything the page of an evaluation shows; plain numbers and words.

    Attributes:
        title: Heading, usually the store's name.
        model_name: Which model answered.
        simulated_weights: Whether its weights were trained on simulated nights only; the page then says so.
        facts: Name and value: store, nights, people, sensors, date, command.
        figures: What was found; tasks and outcomes stand in the order in which they first come.
        plots: By task, in the order of the page. A task may have figures, plots, or both.
        warnings: What a person should know before believing the page, one sentence each.
        versions: Of the software, by name.
    """

    title: str
    model_name: str
    simulated_weights: bool
    facts: Sequence[tuple[str, str]] = ()
    figures: Sequence[Figure] = ()
    plots: Mapping[str, Sequence[Plot]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskSection:
    """What the page says of one task."""

    name: str
    rows: list[FigureRow]
    groups: list[Comparison]
    sensors: list[Comparison]
    pictures: list[Picture]

    @property
    def has_outcomes(self) -> bool:
        return any(row.outcome for row in self.rows)

    @property
    def headline(self) -> FigureRow | None:
        """What the top of the page shows of it: of what the field asks for first, else the first figure."""
        asked_first = (row for row in self.rows if row.what.startswith(_ASKED_FIRST))
        return next(asked_first, self.rows[0] if self.rows else None)


def evaluation_html(page: EvaluationPage) -> str:
    """The page as one HTML document: inline SVG and styles, no script, nothing fetched from anywhere.

    Raises:
        UsageError: the arrays of a picture do not belong together; the sentence names the picture.
    """
    return template("evaluation.html").render(
        page=page,
        facts=_facts(page),
        sections=sections_of(page),
        patterns=pattern_definitions(),
        most_rows=_MOST_ROWS,
        most_tables=_MOST_TABLES,
        stage_colours=[(name, STAGE_COLOURS[name]) for name in STAGE_ROWS],
    )


def sections_of(page: EvaluationPage) -> list[TaskSection]:
    """One for each task, in the order in which figures and then plots name them."""
    found = []
    for task in dict.fromkeys([*(figure.task for figure in page.figures), *page.plots]):
        figures = [figure for figure in page.figures if figure.task == task]
        found.append(
            TaskSection(
                name=task.replace("_", " ").capitalize() or "All tasks",
                rows=main_rows(figures),
                groups=group_comparisons(figures),
                sensors=sensor_comparisons(figures),
                pictures=[picture_of(plot) for plot in page.plots.get(task, ())],
            )
        )
    return found


def picture_of(plot: Plot) -> Picture:
    """The picture of plain numbers, by their kind.

    Raises:
        UsageError: a kind that nobody draws, or arrays that do not belong together.
    """
    if type(plot) not in PICTURES:
        known = ", ".join(kind.__name__ for kind in PICTURES)
        raise UsageError(f"no picture is drawn of a {type(plot).__name__}; give one of {known}.")
    return PICTURES[type(plot)](plot)


def _facts(page: EvaluationPage) -> list[tuple[str, str, str]]:
    """Name, value, and ``wide`` for what needs a line of its own, which stands last."""
    facts = [("Model", page.model_name), *page.facts]
    styled = [(name, value, "wide" if len(value) > _LONG_FACT else "") for name, value in facts]
    return sorted(styled, key=lambda fact: fact[2])
