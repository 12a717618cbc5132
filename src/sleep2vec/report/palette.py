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
NEUTRAL = "#8b95a1"


def modality_colour(name: str) -> str:
    return MODALITY_COLOURS.get(name, NEUTRAL)
