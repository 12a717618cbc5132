"""One cohort's YAML, as a checked object: everything that is particular to it, and nothing that is code."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sleep2vec.vocabulary.events import EventKind

Certainty = Literal["sure", "likely", "guess"]
"""How far a label can be trusted: no cohort says otherwise; most say so; one place may mean something else."""
Dialect = Literal[
    "edf_plus",
    "event_traces",
    "nsrr_xml",
    "profusion_xml",
    "stage_text",
    "timed_text",
    "timed_csv",
    "luna_annot",
    "bids_events",
    "noxturnal_csv",
    "hsp_csv",
    "dreem_json",
    "stanford_stages",
    "wfdb_st",
    "rdann_text",
    "wfdb_apn",
    "wfdb_arousal",
    "wsc_stg",
]
"""Keys of `formats.annotations.ANNOTATION_READERS`, which lies below this folder; a test compares the two."""
Stage = Literal["W", "N1", "N2", "N3", "R", "unscored"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class UnitRule(_Strict):
    """A unit that settles a channel's kind whatever its label."""

    kind: str
    pattern: str
    reason: str


class Contradiction(_Strict):
    """Units in which a channel of these kinds cannot be, whatever its label; plain units keep ``%``."""

    kinds: tuple[str, ...]
    pattern: str
    reason: str


class LabelRule(_Strict):
    """Patterns of plain labels that mean one kind of channel."""

    kind: str
    reason: str
    patterns: tuple[str, ...]
    rank: int = 0
    taken: bool = True
    active: str | None = None
    """Electrode, where the label does not tell it (the "EEG" of SHHS is C4-M1)."""
    reference: str | None = None
    certainty: Certainty = "sure"


class ChannelOfCohort(_Strict):
    """A channel as recordings of this cohort hold it: `inspect --cohort` compares their rates with these."""

    label: str
    kind: str
    rate_hz: Annotated[float, Field(gt=0)]
    unit: str = ""


class Montage(_Strict):
    """One of the cohort's typical recordings, all its channels.

    `gives` says what each modality is made from: the label, or two labels to subtract. `mains_hz` where it
    was recorded in another country than the cohort's other montages.
    """

    name: str
    mains_hz: Literal[50, 60] | None = None
    channels: tuple[ChannelOfCohort, ...]
    gives: dict[str, tuple[str, ...]] = {}


class AnnotationFile(_Strict):
    """Where the scoring of a recording lies.

    `name` is a file name with ``*`` and ``?`` as in a shell and the fields ``{stem}`` (the recording's name without its
    ending) and those that the cohort's `identity` patterns find (``{subject}``, ``{visit}`` ...); case does not matter.
    `dialect` names a reader of `formats.annotations`. `scorer` tells files of several scorers of the same night apart:
    the first is used, and a night says that there are others.
    """

    name: str
    dialect: Dialect
    scorer: str = ""


class Column(_Strict):
    """A column of a table and what its values mean.

    `codes` maps the text of a cell to a value; without it the cell is read as it is. A cell that is empty, that `codes`
    lacks or that stands in `missing` is unknown. Numbers are multiplied by `factor`. With `at_least` the
    value is 1 where the number is as large or larger, and 0 where it is not (counts of events).
    """

    column: str
    codes: dict[str, str | float] = {}
    missing: tuple[str, ...] = ()
    factor: float = 1.0
    at_least: float | None = None


class MetadataTable(_Strict):
    """A table of the cohort with one row a person, or a person and visit.

    `name` is a file name as in `AnnotationFile`, without fields. `key` says which columns hold what the `identity`
    patterns find (``{subject: nsrrid, visit: visitnumber}``); keys are compared without leading zeros, and of
    several rows with one key the first is read. The key ``subject_id`` is what an earlier table of the list has told.
    `identity` are regular expressions that find this table's keys in the recording's path where those of the cohort do
    not (one table a subgroup); a recording that none matches has no row here.
    `columns` name fields of `vocabulary.subject.Subject`: ``subject_id`` (where the key is a recording, not a person),
    ``age_years``, ``sex`` (codes to female / male), ``family_id``, and of the night: ``site``; `measures` are numbers
    by the names of `Subject.measures`.
    """

    name: str
    key: dict[str, str]
    identity: tuple[str, ...] = ()
    columns: dict[str, Column] = {}
    measures: dict[str, Column] = {}


class ScoringRules(_Strict):
    """How the cohort's scorers write: `stages` and `events` by the word as written, without case.

    `sleep_shorthand` is the stage that they write for all sleep in nights where they told sleep from wake only: an hour
    of it without another stage of sleep is left unscored. Where a table tells such nights, its measure is called
    ``sleep_wake_only`` (1 or 0).
    """

    files: tuple[AnnotationFile, ...] = ()
    stages: dict[str, Stage] = {}
    events: dict[str, EventKind | Literal["ignore"]] = {}
    sleep_shorthand: Literal["N1", "N2", "N3"] | None = None
    epoch_s: Annotated[float, Field(gt=0)] | None = None


class CohortFile(_Strict):
    """One YAML of this folder, or of a user.

    `recordings` are file names as in `AnnotationFile`, without fields; empty: every recording. `identity` are regular
    expressions with the groups subject, visit, night, site and family (each optional), tried in order on the
    recording's path relative to the cohort's folder, with ``/``, anywhere in it. `same_people_as` names cohorts whose
    subject ids mean the same people (SHHS 1 and 2). `mains_hz` is that of the country: hum of another
    frequency is told. `traps` are for people, and `inspect --cohort` prints them.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str = ""
    url: str = ""
    sources: tuple[str, ...] = ()
    same_people_as: tuple[str, ...] = ()
    mains_hz: Literal[50, 60] | None = None
    recordings: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    site: str | None = None
    scoring: ScoringRules = ScoringRules()
    metadata: tuple[MetadataTable, ...] = ()
    montages: tuple[Montage, ...] = ()
    traps: tuple[str, ...] = ()

    suffixes: tuple[str, ...] = ()
    macros: dict[str, str] = {}
    electrodes: dict[str, str] = {}
    units: tuple[UnitRule, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    rules: tuple[LabelRule, ...] = ()
    preferences: dict[str, tuple[str, ...]] = {}
