"""One colour for each stage and each modality, the same on every figure and table.

NREM is one hue that darkens with depth, so that a grey print still reads; REM and Wake stand apart from it.
Modalities come in three families: head (violet), heart (red), breathing (green). A modality that is not in
the table is drawn in the neutral colour.
"""

from types import MappingProxyType

STAGE_COLOURS = MappingProxyType({"W": "#e0a83e", "R": "#c03a63", "N1": "#a9cfe0", "N2": "#4f93bd", "N3": "#1d4872"})

# From the top of a hypnogram to its bottom, as the AASM Manual draws it.
STAGE_ROWS = ("W", "R", "N1", "N2", "N3")

MODALITY_COLOURS = MappingProxyType(
    {
        "eeg": "#4a4e9e",
        "eog": "#8488cc",
        "emg": "#bcbee6",
        "ecg": "#a8433f",
        "ibi": "#d9877c",
        "ppg": "#edc3b8",
        "airflow": "#2b6e5c",
        "belt": "#5ba187",
        "resp": "#a3d0b7",
        "spo2": "#c9b458",
        "actigraphy": "#9a8f80",
    }
)
# Breathing is green, as its sensors are: an event that stops it darker than one that lessens it.
EVENT_COLOURS = MappingProxyType(
    {
        "obstructive_apnea": "#1f5446",
        "central_apnea": "#2b6e5c",
        "mixed_apnea": "#3f8a73",
        "apnea": "#2b6e5c",
        "hypopnea": "#7fbf9f",
        "arousal": "#c03a63",
        "desaturation": "#b39a2e",
    }
)
NEUTRAL, PALE, INK = "#8b95a1", "#c3cdd6", "#33414e"
MAIN, SECOND = "#1d4872", "#c03a63"

# Things without an order of their own: outcomes on one picture.
SERIES = (MAIN, SECOND, "#e0a83e", "#4f93bd", "#2b6e5c", "#8488cc", "#d9877c", "#9a8f80")
# From low to high risk.
_RISK = ("#4f93bd", "#2b6e5c", "#e0a83e", "#d9877c", SECOND)
_DEEP, _FAINT = (29, 72, 114), (246, 248, 249)


def modality_colour(name: str) -> str:
    return MODALITY_COLOURS.get(name, NEUTRAL)


def risk_colours(n_groups: int) -> tuple[str, ...]:
    """Colours of groups in the order of their risk, as far apart as they can be."""
    if n_groups == 1:
        return (MAIN,)
    return tuple(_RISK[round(i * (len(_RISK) - 1) / (n_groups - 1))] for i in range(n_groups))


def depth_colour(level: float) -> str:
    """From nearly white (0) to the darkest blue (1)."""
    return "#" + "".join(f"{round(pale + (deep - pale) * level):02x}" for deep, pale in zip(_DEEP, _FAINT, strict=True))
