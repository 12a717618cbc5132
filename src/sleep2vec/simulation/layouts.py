"""How a public cohort names its files: recordings, scorings, people, visits. One literal table.

Names are those that the cohorts publish (see each YAML's `recordings`, `identity` and `scoring`). In the patterns,
``{id}`` is a person's number from `first_id` on, ``{subject}`` what `subject` makes of it, ``{visit}`` the visit as the
file name has it, ``{night}`` the night counted from 1, ``{uuid}`` and ``{key}`` made from the person's number.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

_NSRR_DATE = date(1985, 1, 1)
_NSRR = "polysomnography/annotations-events-nsrr"
_PROFUSION = "polysomnography/annotations-events-profusion"
_UUIDS = uuid.UUID("5d1ec2be-c000-5000-8000-000000000000")


@dataclass(frozen=True)
class Layout:
    """File names of one of a cohort's montages.

    Attributes:
        recording: Path below the cohort's folder; ``.hea`` is written as a WFDB record, everything else as EDF.
        scorings: Dialect of `formats.scoring_writers.DIALECTS` and path, for each file of scoring.
        subject: Code of the person.
        visits: Names of a person's visits, in order. `more_share` of the people come to the second and further ones,
            `gap_years` apart; the first is `first_gap_years` after the person was first seen.
        tables: Folder of the tables of people.
        dated: What recordings are dated, where all are dated alike; None: as they were simulated.
        age_digits: Decimals of an age in a table.
        oldest_written: Higher ages are written as this.
        family_mean: People of one family in the mean; 1: nobody's family is known.
        most_people: For how many the names have room.
    """

    recording: str
    scorings: tuple[tuple[str, str], ...]
    subject: str = "{id}"
    first_id: int = 1
    visits: tuple[str, ...] = ("1",)
    more_share: float = 0.0
    gap_years: float = 0.0
    first_gap_years: float = 0.0
    tables: str = "datasets"
    dated: date | None = None
    age_digits: int = 0
    oldest_written: float = 90.0
    family_mean: float = 1.0
    most_people: int = 999_999

    def fields(self, number: int, cohort: str, visit: int) -> dict[str, object]:
        """What the patterns may name, of the person `number` (from 0) and the visit counted from 0."""
        named = uuid.uuid5(_UUIDS, f"{cohort} {number}")
        known: dict[str, object] = {
            "id": self.first_id + number,
            "number": number,
            "uuid": str(named),
            "key": f"{number // 9999 + 3:02d}-{number % 9999 + 1:04d}",
            "visit": self.visits[visit],
            "night": visit + 1,
        }
        return {**known, "subject": self.subject.format(**known)}


def _nsrr(folder: str, stem: str, **more: object) -> Layout:
    """NSRR's tree: EDFs, and both translations of the scoring, in folders that mirror each other."""
    below = f"{folder}/" if folder else ""
    return Layout(
        recording=f"polysomnography/edfs/{below}{stem}.edf",
        scorings=(
            ("nsrr_xml", f"{_NSRR}/{below}{stem}-nsrr.xml"),
            ("profusion_xml", f"{_PROFUSION}/{below}{stem}-profusion.xml"),
        ),
        dated=_NSRR_DATE,
        **more,  # type: ignore[arg-type]
    )


def _hsp(site: str, scorings: tuple[tuple[str, str], ...]) -> Layout:
    stem = f"sub-{site}{{subject}}_ses-{{visit}}"
    folder = f"bids/{site}/sub-{site}{{subject}}/ses-{{visit}}/eeg"
    return Layout(
        recording=f"{folder}/{stem}_task-psg_eeg.edf",
        scorings=tuple((dialect, f"{folder}/{stem}{end}") for dialect, end in scorings),
        first_id=111180001,
        visits=("1", "2"),
        more_share=0.15,
        gap_years=2.0,
        tables="",
    )


def _cinc2026(site: str) -> Layout:
    stem = f"sub-{site}{{subject}}_ses-{{visit}}"
    return Layout(
        recording=f"physiological_data/{site}/{stem}.edf",
        scorings=(("cinc2026_traces", f"human_annotations/{site}/{stem}_expert_annotations.edf"),),
        first_id=111180001,
        visits=("1", "2"),
        more_share=0.15,
        gap_years=2.0,
        tables="",
        age_digits=1,
    )


def _wsc(dialect: str, ending: str) -> Layout:
    stem = "polysomnography/wsc-visit{visit}-{subject}"
    return Layout(
        recording=f"{stem}.edf",
        scorings=((dialect, f"{stem}{ending}"),),
        first_id=10001,
        visits=("1", "2", "3"),
        more_share=0.4,
        gap_years=4.0,
        dated=_NSRR_DATE,
    )


def _sleep_edf(folder: str, stem: str, first_id: int, gap_years: float) -> Layout:
    # Two nights a person; the recorder is E, F or G, the scorer C or V.
    return Layout(
        recording=f"{folder}/{stem}0-PSG.edf",
        scorings=(("sleep_edf_hypnogram", f"{folder}/{stem}C-Hypnogram.edf"),),
        first_id=first_id,
        visits=("1", "2"),
        more_share=1.0,
        gap_years=gap_years,
        tables="",
        dated=date(1989, 4, 24),
        oldest_written=101.0,
        most_people=99,
    )


def _isruc(group: str, *, is_two: bool = False) -> Layout:
    folder = f"subgroup{group}/{{subject}}/{{night}}" if is_two else f"subgroup{group}/{{subject}}"
    name = "{night}" if is_two else "{subject}"
    return Layout(
        recording=f"{folder}/{name}.rec",
        scorings=(("isruc_text", f"{folder}/{name}_1.txt"),),
        visits=("1", "2") if is_two else ("1",),
        more_share=1.0 if is_two else 0.0,
    )


def _ucddb() -> Layout:
    return Layout(
        recording="ucddb{id:03d}.rec",
        scorings=(("ucddb_text", "ucddb{id:03d}_stage.txt"),),
        subject="{id:03d}",
        tables="",
        most_people=999,
    )


def _dod(folder: str) -> Layout:
    return Layout(
        recording=f"{folder}/{{subject}}.edf",
        scorings=(("dreem_json", f"{folder}/scorer_1/{{subject}}.json"),),
        subject="{uuid}",
    )


def _boas(device: str) -> Layout:
    folder = "sub-{subject}/eeg"
    return Layout(
        recording=f"{folder}/sub-{{subject}}_task-Sleep_acq-{device}_eeg.edf",
        scorings=(("boas_events", f"{folder}/sub-{{subject}}_task-Sleep_acq-psg_events.tsv"),),
        tables="",
    )


# By cohort, in the order of its montages; where there are fewer layouts, the last stands for the rest.
LAYOUTS: Mapping[str, tuple[Layout, ...]] = MappingProxyType(
    {
        "shhs1": (_nsrr("shhs1", "shhs1-{subject}", first_id=200001),),
        "shhs2": (_nsrr("shhs2", "shhs2-{subject}", first_id=200001, visits=("2",), first_gap_years=5.2),),
        "mros1": (_nsrr("visit1", "mros-visit1-{subject}", subject="aa{id:04d}"),),
        "mros2": (
            _nsrr("visit2", "mros-visit2-{subject}", subject="aa{id:04d}", visits=("2",), first_gap_years=6.5),
        ),
        "mesa": (_nsrr("", "mesa-sleep-{subject}", subject="{id:04d}"),),
        "cfs": (
            _nsrr("", "cfs-visit5-{subject}", first_id=800001, visits=("5",), family_mean=3.0),
        ),
        "ccshs": (_nsrr("", "ccshs-trec-{subject}", first_id=1800001, age_digits=1),),
        "chat": (
            _nsrr(
                "{visit}", "chat-{visit}-{subject}", first_id=300001, visits=("baseline", "followup"), more_share=0.88,
                gap_years=0.6, age_digits=1,
            ),
        ),
        "sof": (_nsrr("", "sof-visit-8-{subject}", subject="{id:05d}", visits=("8",)),),
        "wsc": (_wsc("wsc_allscore", ".allscore.txt"), _wsc("wsc_stg", ".stg.txt")),
        "apples": (
            Layout(
                "polysomnography/apples-{subject}.edf", (("luna_annot", "polysomnography/apples-{subject}.annot"),),
                first_id=130001, dated=_NSRR_DATE,
            ),
        ),
        "stages": tuple(
            Layout(
                f"original/STAGES PSGs/{site}/{{subject}}.edf",
                (("stages_csv", f"original/STAGES PSGs/{site}/{{subject}}.csv"),),
                subject=f"{site}{{id:05d}}", age_digits=1,
            )
            for site in ("GSSA", "BOGN", "MSTR", "STNF")
        ),
        "nchsdb": (
            Layout(
                "Sleep_Data/{subject}_{visit}.edf", (("nchsdb_tsv", "Sleep_Data/{subject}_{visit}.tsv"),),
                first_id=10000, visits=("24622", "30001"), more_share=0.08, gap_years=1.0, tables="Health_Data",
                age_digits=2,
            ),
        ),
        "hsp_bdsp": (
            _hsp("S0001", (("hsp_csv", "_task-psg_annotations.csv"),)),
            _hsp(
                "I0002",
                (
                    ("hsp_stage_csv", "_task-psg_sleepannotations.csv"),
                    ("hsp_event_csv", "_task-psg_eventannotations.csv"),
                ),
            ),
            _hsp(
                "I0003",
                (
                    ("hsp_stage_csv", "_task-psg_sleepannotations.csv"),
                    ("hsp_event_csv", "_task-psg_eventannotations.csv"),
                ),
            ),
        ),
        "cinc2026": (_cinc2026("S0001"), _cinc2026("I0002")),
        "sleep_edf": (
            _sleep_edf("sleep-cassette", "SC4{number:02d}{night}E", 0, 0.0),
            _sleep_edf("sleep-telemetry", "ST7{id:02d}{night}J", 1, 0.1),
        ),
        "cinc2018": (
            Layout(
                "training/tr{key}/tr{key}.hea", (("cinc2018_arousal", "training/tr{key}/tr{key}.arousal"),),
                subject="tr{key}", tables="",
            ),
        ),
        "isruc": (_isruc("I"), _isruc("III"), _isruc("II", is_two=True)),
        "dod": (_dod("dodh"), _dod("dodo")),
        "ucddb": (_ucddb(),),
        "boas": (_boas("psg"), _boas("psg"), _boas("psg"), _boas("headband")),
    }
)  # fmt: skip
# How many of the cohort's recordings have each montage, where anybody counted them; else all are as frequent. Sources
# are the names of the montages and the sources in the YAML files; BOAS's headband is recorded beside every night and is
# taken alone here, for as many nights as have any other montage.
MONTAGE_COUNTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "shhs2": (2530, 116),
        "mros1": (2901, 6),
        "cfs": (324, 406),
        "nchsdb": (2800, 1150, 12),
        "boas": (55, 25, 19, 99),
        "stages": (746, 237, 628, 172),
        "sleep_edf": (153, 44),
        "isruc": (100, 10, 16),
        "dod": (25, 55),
    }
)


def layout_of(cohort: str, montage: int) -> Layout:
    """How the files of a cohort's montage are named."""
    layouts = LAYOUTS[cohort]
    return layouts[min(montage, len(layouts) - 1)]
