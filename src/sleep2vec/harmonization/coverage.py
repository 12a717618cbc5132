"""What the labels of a folder's recordings would become, before anything is converted.

Only headers are looked at: whether a channel is any good is not known before its samples are read.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sleep2vec.cohorts.catalog import GENERIC, Cohort
from sleep2vec.cohorts.labels import plain
from sleep2vec.harmonization.align import Grid
from sleep2vec.harmonization.channel_match import Channel, match_channels
from sleep2vec.harmonization.sensors import Sensors
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import derivation
from sleep2vec.vocabulary.recording import Recording

_MOST_FAILURES = 10
_UNEXPECTED_TITLE = "rates that differ from those of the cohort's own recordings"
_FACTS_OF_LABEL = ("label", "kind", "taken", "certainty", "rules", "reason")
_UNKNOWN_TITLE = "labels that no rule knows (name them in a cohort file and give it as --cohort FILE.yaml)"


@dataclass
class LabelCoverage:
    """One label as written, over all files.

    Attributes:
        kind, taken, certainty, rules, reason: What the rules say of it, and whose rule that is.
        n_files: Files that have it.
        rates_hz, units: How often it is recorded so.
        refused: Files in which it cannot be used, by reason.
        expected_hz: Rates at which the cohort's typical recordings have it; empty where they do not have it.
    """

    label: str
    kind: str | None
    taken: bool
    certainty: str
    rules: str
    reason: str
    n_files: int = 0
    rates_hz: Counter[float] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    expected_hz: tuple[float, ...] = ()

    @property
    def unexpected_hz(self) -> Counter[float]:
        """Rates that the cohort's typical recordings do not have."""
        other = {rate: n for rate, n in self.rates_hz.items() if rate not in self.expected_hz}
        return Counter(other if self.expected_hz else {})


@dataclass
class Coverage:
    """What became of all labels of a folder.

    Attributes:
        cohort: Whose rules were used.
        n_files: Files whose header was read.
        labels: By label and unit as written.
        first_choices: By modality, the channels (joined by `` minus ``) that would be tried first; ``None`` counts the
            files that have no candidate.
        failures: Files whose header could not be read, and why.
    """

    cohort: str
    n_files: int = 0
    labels: dict[tuple[str, str], LabelCoverage] = field(default_factory=dict)
    first_choices: dict[str, Counter[str | None]] = field(
        default_factory=lambda: {name: Counter() for name in MODALITIES}
    )
    failures: list[tuple[str, str]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """For a program."""
        return {
            "cohort": self.cohort,
            "n_files": self.n_files,
            "modalities": {
                name: {
                    "n_files": self.n_files - choices[None],
                    "first_choices": {label: n for label, n in choices.most_common() if label is not None},
                }
                for name, choices in self.first_choices.items()
            },
            "labels": [
                {
                    **{name: getattr(label, name) for name in _FACTS_OF_LABEL},
                    "n_files": label.n_files,
                    "rates_hz": {f"{rate:g}": n for rate, n in label.rates_hz.most_common()},
                    "units": dict(label.units.most_common()),
                    "expected_hz": list(label.expected_hz),
                    "refused": dict(label.refused.most_common()),
                }
                for label in self._by_use()
            ],
            "failures": [{"file": file, "reason": reason} for file, reason in self.failures],
        }

    def words(self) -> str:
        """For a person: modalities first, then labels that nobody knows, that serve, and that do not."""
        lines = [f"{self.n_files} recordings, labels read by the rules of {self.cohort}", ""]
        lines.append(f"{'modality':<11}{'files':>7}{'share':>7}  first choice (files)")
        for name, choices in self.first_choices.items():
            held = self.n_files - choices[None]
            told = [f"{label} ({n})" for label, n in choices.most_common(5) if label is not None]
            more = len(choices) - (None in choices) - 4
            told = [*told[:4], f"and {more} more"] if more > 1 else told
            share = f"{held / self.n_files:.0%}" if self.n_files else "-"
            lines.append(f"{name:<11}{held:>7}{share:>7}  {', '.join(told) or '-'}")
        labels = self._by_use()
        lines += _label_table(_UNKNOWN_TITLE, [label for label in labels if label.kind is None])
        lines += _label_table("labels that can serve", [label for label in labels if label.taken])
        lines += _label_table("labels known to be something else", [x for x in labels if x.kind and not x.taken])
        lines += _unexpected_rates(labels)
        if self.failures:
            lines += ["", f"{len(self.failures)} file(s) could not be read"]
            lines += [f"  {file}: {reason}" for file, reason in self.failures[:_MOST_FAILURES]]
            if len(self.failures) > _MOST_FAILURES:
                lines.append(f"  and {len(self.failures) - _MOST_FAILURES} more")
        return "\n".join(lines)

    def _by_use(self) -> list[LabelCoverage]:
        return sorted(self.labels.values(), key=lambda label: (-label.n_files, label.label))


def coverage_of(recordings: Iterable[tuple[str, Recording | str]], cohort: Cohort) -> Coverage:
    """Count labels over recordings.

    Args:
        recordings: name of each file, and its recording or why it could not be read.
        cohort: whose rules are used.
    """
    coverage = Coverage(cohort.name)
    expected = _expected_rates(cohort)
    for file, recording in recordings:
        if isinstance(recording, str):
            coverage.failures.append((file, recording))
            continue
        coverage.n_files += 1
        channels = match_channels(recording, cohort.channels)
        _count_labels(coverage, channels, expected)
        sensors = Sensors(channels, Grid(0.0, 1), cohort.channels)
        for name, choices in coverage.first_choices.items():
            candidates = sensors.candidates(name)
            choices[derivation(candidates[0].labels) if candidates else None] += 1
    return coverage


def _expected_rates(cohort: Cohort) -> dict[str, tuple[float, ...]]:
    """By plain label, the rates at which the cohort's montages have it."""
    rates: dict[str, set[float]] = {}
    for montage in cohort.file.montages if cohort.has_file else ():
        for channel in montage.channels:
            rates.setdefault(plain(channel.label), set()).add(channel.rate_hz)
    return {label: tuple(sorted(found)) for label, found in rates.items()}


def _count_labels(coverage: Coverage, channels: Iterable[Channel], expected: Mapping[str, tuple[float, ...]]) -> None:
    seen = set()
    for channel in channels:
        reading, unit = channel.reading, channel.signal.unit.strip()
        label = coverage.labels.setdefault(
            (channel.label, reading.kind or ""),
            LabelCoverage(
                channel.label,
                reading.kind,
                reading.taken,
                reading.certainty,
                reading.cohort,
                reading.reason,
                expected_hz=expected.get(plain(channel.label), ()),
            ),
        )
        label.rates_hz[channel.signal.rate_hz] += 1
        label.units[unit or "none"] += 1
        if channel.refused:
            label.refused[channel.refused] += 1
        if (channel.label, reading.kind) not in seen:  # a file may hold a label twice
            seen.add((channel.label, reading.kind))
            label.n_files += 1


def _unexpected_rates(labels: list[LabelCoverage]) -> list[str]:
    odd = [label for label in labels if label.unexpected_hz]
    told = []
    for label in odd:
        expected = " or ".join(f"{rate:g}" for rate in label.expected_hz)
        found = ", ".join(f"{rate:g} Hz in {n} of {label.n_files}" for rate, n in label.unexpected_hz.most_common())
        told.append(f"  {label.label}: expected {expected} Hz, found {found}")
    return ["", _UNEXPECTED_TITLE, *told] if told else []


def _label_table(title: str, labels: list[LabelCoverage]) -> list[str]:
    if not labels:
        return []
    width = min(32, max(len(label.label) for label in labels))
    lines = ["", f"{title}", f"  {'label':<{width}}{'files':>7}  {'Hz':<12}{'unit':<8}meaning"]
    for label in labels:
        rates = _most_common((f"{rate:g}", n) for rate, n in label.rates_hz.most_common())
        units = _most_common(label.units.most_common())
        doubt = "" if label.kind is None or label.certainty == "sure" else f" ({label.certainty})"
        refused = f"; in {sum(label.refused.values())} {next(iter(label.refused))}" if label.refused else ""
        whose = f" [{label.rules}]" if label.rules not in ("", GENERIC) else ""
        lines.append(
            f"  {label.label:<{width}}{label.n_files:>7}  {rates:<12}{units:<8}{label.reason}{doubt}{refused}{whose}"
        )
    return lines


def _most_common(counted: Iterable[tuple[str, int]]) -> str:
    names = [name for name, _ in counted]
    return names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "") if names else "-"
