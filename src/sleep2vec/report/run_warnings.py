"""What a person should know before going on with a run, read off its log."""

import numpy as np

from sleep2vec.metrics.collapse import Collapse, Shape, diagnosed
from sleep2vec.report.run_history import RunHistory, Series

MOST_WAITING = 0.05
"""Share of the time without a batch to learn from, above which the loader is the bottleneck (issue 4)."""
_MOST_LOST = 0.5
_MOST_RISE = 0.1
_FEWEST = 3
_SMOOTHED_OVER = 20


def warnings_of(history: RunHistory) -> tuple[str, ...]:
    """A sentence each: collapse, divergence, validation that gets worse, waiting for data."""
    found = (_collapse(history), _divergence(history), _rising(history), _waiting(history))
    return tuple(sentence[0].upper() + sentence[1:] for sentence in found if sentence is not None)


def smoothed(series: Series, over: int = _SMOOTHED_OVER) -> Series:
    """Running median of so many points; a training loss of single batches hides its course otherwise."""
    if len(series) < 2 * over:
        return series
    windows = np.lib.stride_tricks.sliding_window_view(series.values_P, over)
    return Series(series.steps_P[over // 2 : over // 2 + len(windows)], np.nanmedian(windows, axis=1))


def _collapse(history: RunHistory) -> str | None:
    codes = history.series("validation/collapse")
    if not len(codes):
        return None
    step = int(codes.steps_P[-1])
    if codes.last == Collapse.NONE:
        grave = codes.steps_P[codes.values_P >= Collapse.DIMENSIONAL]
        if not len(grave):
            return None
        return (
            f"the embeddings were collapsed when validated at step {int(grave[-1])}, and no longer are at step {step}."
        )
    of = {kind: history.by_modality(f"validation/{kind}") for kind in ("spread", "uniformity", "rank")}
    most = int(history.last("validation/most_rank") or 0)
    spread, uniformity, rank = of["spread"], of["uniformity"], of["rank"]
    shapes = {name: Shape(spread[name].last, uniformity[name].last, rank[name].last, most) for name in spread}
    top1, chance = (history.series(f"validation/{kind}").last for kind in ("top1", "chance"))
    sentence = diagnosed(shapes, top1, chance).sentence or "the embeddings were found collapsed when validated"
    return f"{sentence} (step {step})."


def _divergence(history: RunHistory) -> str | None:
    loss = history.series("train/loss")
    course = smoothed(loss)
    if course is loss:
        return None
    start, now = float(course.values_P[0]), course.last
    best = int(np.nanargmin(course.values_P))
    lowest = float(course.values_P[best])
    if start <= lowest or now - lowest <= _MOST_LOST * (start - lowest):
        return None
    return (
        f"the training loss has lost more than half of what it had gained: {start:.3f} at first, {lowest:.3f} around "
        f"step {int(course.steps_P[best])}, {now:.3f} now; a lower learning rate or a longer warm-up may help."
    )


def _rising(history: RunHistory) -> str | None:
    """The loss, or kappa where that is what is validated, is clearly worse than it was some validations ago."""
    for name, words, sign in (("loss", "validation loss", 1.0), ("kappa", "validation kappa", -1.0)):
        series = history.series(f"validation/{name}")
        known = ~np.isnan(series.values_P)
        steps_P, values_P = series.steps_P[known], series.values_P[known]
        if len(values_P) <= _FEWEST:
            continue
        best = int((sign * values_P).argmin())
        gained = sign * (values_P[0] - values_P[best])
        lost = sign * (values_P[-1] - values_P[best])
        if len(values_P) - 1 - best >= _FEWEST and lost > _MOST_RISE * gained:
            return (
                f"the {words} was best at step {steps_P[best]} ({values_P[best]:.3f}) and is {values_P[-1]:.3f} now: "
                "the model learns its training people by heart; stop earlier, or train on more of them."
            )
    return None


def _waiting(history: RunHistory) -> str | None:
    share = history.last("train/waiting_share")
    if share is None or share <= MOST_WAITING:
        return None
    return f"{share:.0%} of the time goes by waiting for data; more readers, or keep_features, may help."
