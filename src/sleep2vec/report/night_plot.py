"""One night of an evaluation: what the model held for likely, what it said, and what was scored. Letters: L, C."""

import numpy as np

from sleep2vec.report.evaluation_plots import HypnodensityPlot
from sleep2vec.report.figures import hypnodensity_svg, hypnogram_svg, share_text
from sleep2vec.report.numerals import count_text
from sleep2vec.report.picture import Picture, check_lengths
from sleep2vec.report.time_axis import TimeAxis
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.stages import FIVE


def hypnodensity_picture(plot: HypnodensityPlot) -> Picture:
    """Probabilities of the stages, below them the two hypnograms and where they differ.

    Raises:
        UsageError: arrays that are not of one night, or a number that is no stage.
    """
    n_tokens = len(plot.scored_L)
    check_lengths(
        plot.title, scored_L=plot.scored_L, predicted_L=plot.predicted_L, probabilities_LC=plot.probabilities_LC
    )
    if n_tokens == 0:
        return Picture(plot.title, "The night has no epoch.", None, wide=True)
    if plot.probabilities_LC.shape != (n_tokens, len(FIVE)):
        raise UsageError(
            f"the picture {plot.title!r} needs probabilities of {(n_tokens, len(FIVE))}, "
            f"got {plot.probabilities_LC.shape}."
        )
    for name, stages_L in (("scored", plot.scored_L), ("predicted", plot.predicted_L)):
        if not (np.isnan(stages_L) | np.isin(stages_L, np.arange(len(FIVE)))).all():
            raise UsageError(
                f"the picture {plot.title!r} was given a {name} number that is no sleep stage; "
                f"codes are 0 to {len(FIVE) - 1} and NaN."
            )
    axis = TimeAxis(n_tokens)
    both_L = ~np.isnan(plot.scored_L) & ~np.isnan(plot.predicted_L)
    words = (
        "Probability of each stage; below, what the model said, what was scored, and between them where they differ."
    )
    if both_L.any():
        share = float((plot.scored_L == plot.predicted_L)[both_L].mean())
        words += f" They agree in {share_text(share)} of {count_text(int(both_L.sum()))} epochs, by {axis.title}."
    probabilities_LC = np.where(np.isfinite(plot.probabilities_LC), plot.probabilities_LC, np.nan)
    figure = hypnodensity_svg(probabilities_LC, axis)
    figure += hypnogram_svg(plot.predicted_L, axis, plot.scored_L, scorers=("model", "scored"))
    return Picture(plot.title, words, figure, wide=True, shows_stages=True)
