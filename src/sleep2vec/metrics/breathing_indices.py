"""Respiratory events per hour of sleep, by the definitions of the AASM Manual.

An event counts when any part of it lies in sleep, and belongs to the first token of sleep it has a part in. RERAs and
periodic breathing are no part of the AHI. What a night does not define (no sleep, no REM, an unknown position) is None,
never 0.

References:
    AASM Manual for the Scoring of Sleep and Associated Events, "Parameters to be reported", respiratory events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.metrics.desaturations import Desaturation
from sleep2vec.metrics.event_stages import asleep, event_tokens, per_hour, sleep_hours
from sleep2vec.metrics.hypopneas import counting
from sleep2vec.metrics.severity import Population, Severity, severity
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import APNEAS, APNEAS_AND_HYPOPNEAS, Event
from sleep2vec.vocabulary.stages import FIVE

Rule = Literal["1A", "1B", "as scored"]
"""``"as scored"``: all hypopneas that the scorer wrote, by whatever rule that was."""
HypnogramSource = Literal["scored", "predicted"]
_REM = FIVE.index("R")


@dataclass(frozen=True)
class BreathingIndices:
    """Events per hour of sleep (N1 + N2 + N3 + R) of one night; None where not defined or not known.

    Attributes:
        rule: By which hypopneas were counted.
        hypnogram: Whose hours of sleep these are.
        sleep_hours: Of that hypnogram.
        ahi, ai, hi: Apneas and hypopneas, apneas, hypopneas.
        oai, cai, mai: Obstructive, central and mixed apneas; apneas without a type are in `ai` alone.
        ahi_rem, ahi_nrem: Per hour of that sleep.
        ahi_supine: Per hour of sleep on the back, None where the position is not known.
        severity: Class of the AHI for `population`.
        n_untyped_apneas: If any, `oai`, `cai` and `mai` are lower bounds.
        n_unjudged_hypopneas: Left out, because what the rule asks for could not be seen. If any, the AHI is a lower
            bound; with no oximeter at all it is None.
    """

    rule: Rule
    hypnogram: HypnogramSource
    population: Population
    sleep_hours: float
    ahi: float | None
    ai: float | None
    hi: float | None
    oai: float | None
    cai: float | None
    mai: float | None
    ahi_rem: float | None
    ahi_nrem: float | None
    ahi_supine: float | None
    severity: Severity | None
    n_untyped_apneas: int
    n_unjudged_hypopneas: int


def breathing_indices(
    events: Sequence[Event],
    stages_L: ArrayLike,
    *,
    rule: Rule,
    hypnogram: HypnogramSource,
    desaturations: Sequence[Desaturation] | None = None,
    arousals: Sequence[Event] | None = None,
    spo2_valid_L: ArrayLike | None = None,
    supine_L: ArrayLike | None = None,
    population: Population = "adults",
    grid_start_s: float = 0.0,
) -> BreathingIndices:
    """All of `BreathingIndices`.

    Args:
        events: times from the start of the recording; other kinds than apneas and hypopneas are passed over.
        stages_L: (L,) codes of five stages, NaN where unscored.
        rule, hypnogram: kept beside the numbers.
        desaturations, arousals, spo2_valid_L: what the rules 1A and 1B ask for, see `hypopneas.counting`.
        supine_L: (L,) 1 on the back, 0 not, NaN where unknown; None without a sensor of position.
        population: whose cut-offs of severity.
        grid_start_s: when token 0 begins, from the start of the recording.

    Raises:
        UsageError: no hypnogram, or a position of another length.
    """
    slept_L = asleep(stages_L)
    breathing = [event for event in events if event.kind in APNEAS_AND_HYPOPNEAS]
    if rule == "as scored":
        counts: tuple[bool | None, ...] = (True,) * len(breathing)
    else:
        counts = counting(breathing, rule, desaturations, arousals, spo2_valid_L, grid_start_s)
    token_E = event_tokens(breathing, stages_L, grid_start_s)
    counted_E = np.array([bool(count) for count in counts], dtype=bool) & (token_E >= 0)
    n_unjudged = sum(count is None and token >= 0 for count, token in zip(counts, token_E.tolist(), strict=True))
    blind = bool(n_unjudged) and desaturations is None
    kind_E = np.array([event.kind or "" for event in breathing], dtype=object)

    def index(kinds: Sequence[str], where_L: NDArray[np.bool_] = slept_L) -> float | None:
        # Token -1 (not in sleep) is not counted, whatever the last token is.
        n = int(np.count_nonzero(counted_E & np.isin(kind_E, kinds) & _at(where_L, token_E)))
        return None if blind and "hypopnea" in kinds else per_hour(n, where_L & slept_L)

    stages = np.asarray(stages_L, dtype=float)
    ahi = index(APNEAS_AND_HYPOPNEAS)
    return BreathingIndices(
        rule=rule,
        hypnogram=hypnogram,
        population=population,
        sleep_hours=sleep_hours(stages_L),
        ahi=ahi,
        ai=index(APNEAS),
        hi=index(("hypopnea",)),
        oai=index(("obstructive_apnea",)),
        cai=index(("central_apnea",)),
        mai=index(("mixed_apnea",)),
        ahi_rem=index(APNEAS_AND_HYPOPNEAS, stages == _REM),
        ahi_nrem=index(APNEAS_AND_HYPOPNEAS, slept_L & (stages != _REM)),
        ahi_supine=None if supine_L is None else index(APNEAS_AND_HYPOPNEAS, _on_back(supine_L, len(slept_L))),
        severity=severity(ahi, population),
        n_untyped_apneas=int(np.count_nonzero(counted_E & (kind_E == "apnea"))),
        n_unjudged_hypopneas=n_unjudged,
    )


def _at(where_L: NDArray[np.bool_], token_E: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.append(where_L, False)[token_E]


def _on_back(supine_L: ArrayLike, n_tokens: int) -> NDArray[np.bool_]:
    supine = np.asarray(supine_L, dtype=float)
    if supine.shape != (n_tokens,):
        raise UsageError(f"a position needs one number for each of {n_tokens} tokens, got shape {supine.shape}.")
    return np.asarray(supine == 1)
