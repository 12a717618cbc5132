"""What scorers' words for events mean, whatever program exported them.

Words are those of the EDF+ standard texts (https://www.edfplus.info/specs/edftexts.html), of the AASM Manual, of the
NSRR (``"Obstructive apnea|Obstructive Apnea"``, ``"SDO:HypopneaFinding"``), and of exports in French, German and
Spanish.
"""

import re
import unicodedata
from types import MappingProxyType

from sleep2vec.vocabulary.events import EventKind

# How an event is written by this package.
EVENT_WORDS: MappingProxyType[EventKind, str] = MappingProxyType(
    {
        "obstructive_apnea": "Obstructive apnea",
        "central_apnea": "Central apnea",
        "mixed_apnea": "Mixed apnea",
        "apnea": "Apnea",
        "hypopnea": "Hypopnea",
        "rera": "RERA",
        "periodic_breathing": "Periodic breathing",
        "arousal": "EEG arousal",
        "desaturation": "Oxygen desaturation",
        "limb_movement": "Limb movement",
        "lights_off": "Lights off",
        "lights_on": "Lights on",
    }
)
_PNEA = r"pn(?:o?ea|oe|ee)s?"
_APNEA = rf"(?:sleep )?a{_PNEA}"
_TYPES: tuple[tuple[EventKind, str], ...] = (
    ("obstructive_apnea", r"obstru[ck]tiv[ea]?s?"),
    ("central_apnea", r"[cz]entral(?:e|es)?"),
    ("mixed_apnea", r"(?:mixed|mixte|mixta|gemischte)"),
)
# In this order where two begin at the same place: an apnea with its type before one without.
_PATTERNS: tuple[tuple[EventKind, re.Pattern[str]], ...] = (
    ("lights_off", re.compile(r"\blights?[ -]*(off|out)\b")),
    ("lights_on", re.compile(r"\blights?[ -]*on\b")),
    ("hypopnea", re.compile(rf"\bh[yi]po{_PNEA}\b")),
    ("rera", re.compile(r"\brera\b|\b(respiratory )?effort[ -]related\b")),
    *(
        (kind, re.compile(rf"\b{word}[ -]*{_APNEA}\b|\b{_APNEA}[ ,(|-]*{word}\b|\ba\. ?{word}\b"))
        for kind, word in _TYPES
    ),
    ("periodic_breathing", re.compile(r"\bperiodic breathing\b|\bcheyne[ -]?stokes")),
    ("desaturation", re.compile(r"\bdesat\w*|\bentsattigung")),
    ("arousal", re.compile(r"\barousals?\b|\bmicro-?eveils?\b|\bmicrodespertar")),
    ("limb_movement", re.compile(r"\b(limb|leg) movements?\b|\bplms?\b|\bmj\b|\bbeinbewegung")),
    ("apnea", re.compile(rf"\b{_APNEA}\b")),
)
# A doubted or denied event is a remark, not a score; neither is a machine's complaint.
_NOT_A_SCORE = re.compile(r"\b(no|not|without|possible|probable|before|after|during|artifact|artefact)\b|\?")
_LONGEST_SCORE_WORDS = 7


def plain_words(text: str) -> str:
    """Lower case without accents; ``Obstructive_ApneaFinding`` and ``obstructive apnea finding`` are the same."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ")
    bare = unicodedata.normalize("NFKD", spaced.lower())
    return re.sub(r"\s+", " ", "".join(c for c in bare if not unicodedata.combining(c))).strip()


def kind_of(text: str) -> EventKind | None:
    """What an annotation says, or None where it is not one of the kinds the project knows.

    ``"Obstructive Apnea"``, ``"Apnea, obstructive"``, ``"SpO2 desaturation 4 %"``, ``"Arousal (spontaneous)"``,
    ``"Micro-éveil"`` are known; remarks of the staff are not.
    """
    words = plain_words(text.split("@@")[0])  # behind @@ EDF+ names the signals it was seen in
    if _NOT_A_SCORE.search(words) or len(words.split()) > _LONGEST_SCORE_WORDS:
        return None
    found = [
        (match.start(), order, kind)
        for order, (kind, pattern) in enumerate(_PATTERNS)
        if (match := pattern.search(words))
    ]
    return min(found)[2] if found else None  # "Arousal (hypopnea)" is an arousal: what stands first was scored
