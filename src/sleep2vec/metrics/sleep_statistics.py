"""What a hypnogram says about a night, by the definitions of the AASM Manual.

Letters: L tokens of 30 s. Minutes between lights off and lights on are counted by overlap, so that the parts
(wake, sleep, unscored) add up to the time in bed to the second even when the lights changed within a token.

Where the field has no single rule, ours is in the attribute's text. Tools differ most on WASO: the AASM counts
wake from sleep onset to lights on, others (YASA) only up to the last epoch of sleep.

References:
    AASM Manual for the Scoring of Sleep and Associated Events, "Parameters to be reported for polysomnography",
    sections "Lights out/on" to "Percent of TST in each stage".
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.stages import FIVE

_WAKE, _REM = FIVE.index("W"), FIVE.index("R")


@dataclass(frozen=True)
class SleepStatistics:
    """Sleep statistics of one night; None where the night does not define them.

    Attributes:
        time_in_bed_min: Lights off to lights on (AASM "total recording time").
        total_sleep_min: N1 + N2 + N3 + R (AASM TST).
        sleep_period_min: Start of the first to end of the last epoch of sleep. None without sleep.
        sleep_efficiency_percent: Total sleep of time in bed. None without time in bed, or when nothing was scored.
        sleep_latency_min: Lights off to the first epoch of any sleep. None without sleep.
        rem_latency_min: Sleep onset to the first epoch of R. None without R.
        waso_min: Wake from sleep onset to lights on. Unscored time is not taken for wake. None without sleep.
        wake_min, n1_min, n2_min, n3_min, rem_min: Time in each stage.
        n1_percent, n2_percent, n3_percent, rem_percent: Of total sleep. None without sleep.
        unscored_min: Time in bed that nobody scored; whatever happened there is missing above.
        n_awakenings: Stretches of wake between the first and the last epoch of sleep.
        n_stage_shifts: Changes of stage, wake included, between the first and the last epoch of sleep.
            An unscored gap is stepped over: one change at most is counted across it.
    """

    time_in_bed_min: float
    total_sleep_min: float
    sleep_period_min: float | None
    sleep_efficiency_percent: float | None
    sleep_latency_min: float | None
    rem_latency_min: float | None
    waso_min: float | None
    wake_min: float
    n1_min: float
    n2_min: float
    n3_min: float
    rem_min: float
    n1_percent: float | None
    n2_percent: float | None
    n3_percent: float | None
    rem_percent: float | None
    unscored_min: float
    n_awakenings: int
    n_stage_shifts: int


def sleep_statistics(
    stages_L: ArrayLike,
    *,
    lights_off_s: float | None = None,
    lights_on_s: float | None = None,
    grid_start_s: float = 0.0,
) -> SleepStatistics:
    """Sleep statistics of a hypnogram.

    Args:
        stages_L: (L,) codes of `vocabulary.stages.FIVE`, NaN where unscored.
        lights_off_s: from the start of the recording; None: when token 0 begins.
        lights_on_s: from the start of the recording; None: when the last token ends.
        grid_start_s: when token 0 begins, from the start of the recording.

    Raises:
        UsageError: a code is no sleep stage, or the lights go on before they go off.
    """
    stages = _checked(stages_L)
    off_s = 0.0 if lights_off_s is None else lights_off_s - grid_start_s
    on_s = float(len(stages) * TOKEN_SECONDS) if lights_on_s is None else lights_on_s - grid_start_s
    if on_s < off_s:
        raise UsageError(
            f"lights on ({on_s + grid_start_s:g} s) comes before lights off ({off_s + grid_start_s:g} s); "
            "correct the two marks, or leave them out to count the whole recording."
        )
    onsets_s = np.arange(len(stages)) * float(TOKEN_SECONDS)
    in_bed_s = np.clip(np.minimum(onsets_s + TOKEN_SECONDS, on_s) - np.maximum(onsets_s, off_s), 0.0, None)

    stages = np.where(in_bed_s > 0, stages, np.nan)
    asleep = ~np.isnan(stages) & (stages != _WAKE)
    minutes = {name: float(in_bed_s[stages == code].sum()) / 60 for code, name in enumerate(FIVE)}
    total_sleep_min = float(in_bed_s[asleep].sum()) / 60
    time_in_bed_min = (on_s - off_s) / 60
    n_awakenings, n_stage_shifts = _interruptions(stages, asleep)

    def percent_of_sleep(name: str) -> float | None:
        return 100 * minutes[name] / total_sleep_min if total_sleep_min > 0 else None

    return SleepStatistics(
        time_in_bed_min=time_in_bed_min,
        total_sleep_min=total_sleep_min,
        # Without one scored minute, "0 %" would be a claim about a night that nobody looked at.
        sleep_efficiency_percent=100 * total_sleep_min / time_in_bed_min if sum(minutes.values()) > 0 else None,
        **_latencies_min(stages, asleep, in_bed_s, off_s),
        wake_min=minutes["W"],
        n1_min=minutes["N1"],
        n2_min=minutes["N2"],
        n3_min=minutes["N3"],
        rem_min=minutes["R"],
        n1_percent=percent_of_sleep("N1"),
        n2_percent=percent_of_sleep("N2"),
        n3_percent=percent_of_sleep("N3"),
        rem_percent=percent_of_sleep("R"),
        unscored_min=max(0.0, time_in_bed_min - sum(minutes.values())),
        n_awakenings=n_awakenings,
        n_stage_shifts=n_stage_shifts,
    )


def _checked(stages_L: ArrayLike) -> NDArray[np.float64]:
    stages = np.asarray(stages_L, dtype=float)
    if stages.ndim != 1:
        raise UsageError(f"a hypnogram is one number a token, (L,), got an array of shape {stages.shape}.")
    wrong = ~np.isnan(stages) & ~np.isin(stages, np.arange(len(FIVE)))
    if wrong.any():
        raise UsageError(
            f"{stages[wrong][0]:g} is no sleep stage: codes are 0 to {len(FIVE) - 1} ({', '.join(FIVE)}), "
            "and NaN where nobody scored."
        )
    return stages


def _latencies_min(
    stages: NDArray[np.float64], asleep: NDArray[np.bool_], in_bed_s: NDArray[np.float64], off_s: float
) -> dict[str, float | None]:
    """The statistics that count from lights off or from sleep onset."""
    if not asleep.any():
        return dict.fromkeys(("sleep_period_min", "sleep_latency_min", "rem_latency_min", "waso_min"))
    sleep_tokens = np.flatnonzero(asleep)
    first, last = int(sleep_tokens[0]), int(sleep_tokens[-1])
    onset_s = max(first * float(TOKEN_SECONDS), off_s)
    rem_tokens = np.flatnonzero(stages == _REM)
    after_onset = np.arange(len(stages)) > first
    return {
        # The last token may end after lights on: only its part in bed counts.
        "sleep_period_min": (max(last * float(TOKEN_SECONDS), off_s) + float(in_bed_s[last]) - onset_s) / 60,
        "sleep_latency_min": (onset_s - off_s) / 60,
        "rem_latency_min": (
            (max(int(rem_tokens[0]) * float(TOKEN_SECONDS), off_s) - onset_s) / 60 if len(rem_tokens) else None
        ),
        "waso_min": float(in_bed_s[after_onset & (stages == _WAKE)].sum()) / 60,
    }


def _interruptions(stages: NDArray[np.float64], asleep: NDArray[np.bool_]) -> tuple[int, int]:
    """Awakenings and stage shifts between the first and the last epoch of sleep."""
    sleep_tokens = np.flatnonzero(asleep)
    if len(sleep_tokens) == 0:
        return 0, 0
    period = stages[sleep_tokens[0] : sleep_tokens[-1] + 1]
    scored = period[~np.isnan(period)]
    shifted = scored[1:] != scored[:-1]
    return int(np.sum(shifted & (scored[1:] == _WAKE))), int(np.sum(shifted))
