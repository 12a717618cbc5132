"""Windows of one hour per CPU-second, from a store and from NPZ files as the published code keeps nights.

    python benchmarks/loading.py [--store STORE] [--nights 20] [--cold] [--json FILE]

A window is of two modalities, one wide (3,840 samples a token) and one narrow (120), from random places of random
nights. The baseline has one ``.npz`` a night (``np.savez``, which does not compress and is faster to read; the other
kind comes with ``--compressed``), opens it, takes the whole channel, and cuts the window out; it neither scales nor
knows validity, which the store's side does. Both have their files in the page cache; CPU-seconds are user + system of
this process, the median of several rounds; the baseline reads a fifth of the windows, because it is slow. ``--cold``
empties the page cache of the store's files before each round and tells wall time.

The last part draws batches of 320 from a made-up manifest of 42,249 nights.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.window import Window, WindowReader
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.store.manifest import ManifestRow, SignalConstants, write_manifest
from sleep2vec.store.reader import Store
from sleep2vec.store.writer import create_store, write_night
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Night, Provenance
from sleep2vec.vocabulary.subject import Subject

WIDE, NARROW = "eeg", "resp"
TOKENS, NIGHT_TOKENS = 120, 960
ANCHOR = 58  # windows per CPU-s of the published code, performance_anchor.md


def made_store(folder: Path, n_nights: int) -> Store:
    """Nights of noise, 8 h, nine modalities: what a sample is does not change how long reading it takes."""
    draw = np.random.default_rng(0)
    create_store(folder)
    names = [name for name in MODALITIES if name not in ("ppg", "actigraphy")]
    for i in range(n_nights):
        samples = {
            name: draw.standard_normal(NIGHT_TOKENS * MODALITIES[name].samples_per_token, dtype=np.float32)
            for name in names
        }
        valid = {name: draw.random(NIGHT_TOKENS) < 0.95 for name in names}
        told = {name: Provenance((name,), "noise", name, ("made",), 0.0, 1.0) for name in names}
        write_night(folder, Night(f"n{i}", Subject(f"p{i}"), NIGHT_TOKENS, 0.0, samples, valid, told, cohort="noise"))
    write_manifest(folder)
    return Store(folder)


def as_npz(store: Store, nights: Iterable[str], folder: Path, save: Callable[..., None]) -> Path:
    """The same nights as the published code keeps them: float32, a channel an array."""
    folder.mkdir()
    for night in nights:
        save(folder / f"{night}.npz", **{name: store.samples(night, name).ravel() for name in (WIDE, NARROW)})
    return folder


def from_npz(folder: Path, windows: Iterable[Window]) -> None:
    for window in windows:
        with np.load(folder / f"{window.night_id}.npz") as night:
            for name in (WIDE, NARROW):
                per_token = MODALITIES[name].samples_per_token
                place = slice(window.first * per_token, (window.first + window.n_tokens) * per_token)
                torch.from_numpy(night[name][place].reshape(TOKENS, per_token).copy())


def from_store(reader: WindowReader, windows: list[Window], batch: int) -> None:
    for first in range(0, len(windows), batch):
        part = windows[first : first + batch]
        reader.expect(part, (WIDE, NARROW))
        for name in (WIDE, NARROW):
            reader.view(part, name, TOKENS)


def cpu_s(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def wall_s(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def forget(paths: Iterable[Path]) -> None:
    """Take files out of the page cache."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def windows_of(store: Store, n_nights: int, n: int, seed: int) -> list[Window]:
    draw = np.random.default_rng(seed)
    rows = [row for row in store.rows if {WIDE, NARROW} <= set(row.signals) and row.n_tokens >= TOKENS][:n_nights]
    chosen = [rows[int(draw.integers(len(rows)))] for _ in range(n)]
    return [Window(row.night_id, int(draw.integers(row.n_tokens - TOKENS + 1)), TOKENS) for row in chosen]


def warm(store: Store, chosen: argparse.Namespace, scratch: Path) -> dict[str, float]:
    """Windows per CPU-second by way of loading, everything in the page cache."""
    windows = windows_of(store, chosen.nights, chosen.windows, 0)
    nights = sorted({window.night_id for window in windows})
    npz = as_npz(store, nights, scratch / "npz", np.savez)
    plain, integers = WindowReader(store), WindowReader(store, as_integers=True)
    features = WindowReader(store, Encoder(ModelConfig()).front_end, scratch / "features")
    features.prepare(nights, (WIDE, NARROW))
    few = windows[: max(1, len(windows) // 5)]
    ways: dict[str, Callable[[], object]] = {
        "npz": lambda: from_npz(npz, few),
        "store, batches of 8": lambda: from_store(plain, windows, 8),
        "store, batches of 64": lambda: from_store(plain, windows, 64),
        "store, batches of 320": lambda: from_store(plain, windows, 320),
        "as integers, batches of 64": lambda: from_store(integers, windows, 64),
        "as integers, batches of 320": lambda: from_store(integers, windows, 320),
        "kept features, batches of 64": lambda: from_store(features, windows, 64),
    }
    if chosen.compressed:
        packed = as_npz(store, nights, scratch / "packed", np.savez_compressed)
        ways["npz, compressed"] = lambda: from_npz(packed, few)
    for work in ways.values():
        work()
    spent = {name: [cpu_s(work) for _ in range(chosen.rounds)] for name, work in ways.items()}
    n = {name: len(few if "npz" in name else windows) for name in ways}
    return {name: n[name] / statistics.median(seconds) for name, seconds in spent.items()}


def cold(store: Store, chosen: argparse.Namespace) -> dict[str, float]:
    """Windows per second of wall time from the disk: read, read with notice given, and through a memory map."""
    paths = [store.path / "nights" / f"{row.night_id}.s2v" for row in store.rows]
    reader = WindowReader(store, as_integers=True)

    def mapped(windows: list[Window]) -> None:
        for window in windows:
            layout = store.row(window.night_id).layout
            held = np.memmap(store.path / "nights" / f"{window.night_id}.s2v", dtype=np.uint8, mode="r")
            for name in (WIDE, NARROW):
                size = 2 * MODALITIES[name].samples_per_token
                start = layout.signal_start(name) + size * window.first
                np.array(held[start : start + size * window.n_tokens])

    def read(windows: list[Window]) -> None:
        for name in (WIDE, NARROW):
            reader.view(windows, name, TOKENS)

    ways: dict[str, Callable[[list[Window]], None]] = {
        "memory map": mapped,
        "read": read,
        "read, notice given": lambda windows: from_store(reader, windows, len(windows)),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    n = min(chosen.windows, 64)
    for round_ in range(2 * chosen.rounds):
        for place, name in enumerate(list(ways)[:: 1 if round_ % 2 else -1]):
            forget(paths)
            windows = windows_of(store, len(store), n, 3 * round_ + place + 1)  # a host may keep what another way read
            spent[name].append(wall_s(lambda work=ways[name], windows=windows: work(windows)))  # type: ignore[misc]
    return {name: n / statistics.median(seconds) for name, seconds in spent.items()}


class _Manifest:
    """A store of which there is only the manifest."""

    def __init__(self, n: int) -> None:
        self.path, self.store, draw = Path("made-up"), self, np.random.default_rng(0)
        names = [name for name in MODALITIES if name not in ("ppg", "actigraphy")]
        held = draw.random((n, len(names))) < 0.9
        constants = SignalConstants(0.95, 1e-3, 0.0, 0.0, 1.0, "", "")
        self.rows = {
            f"n{i}": ManifestRow(
                f"n{i}", f"p{int(0.73 * i)}", f"c{i % 5}", None, None, None, f"s{i % 12}", 50.0, "male", {}, None, 0.0,
                NIGHT_TOKENS, 0, {}, "", "", "", "",
                {name: constants for name, there in zip(names, held[i], strict=True) if there},
            )
            for i in range(n)
        }  # fmt: skip
        self.names = names

    def row(self, night_id: str) -> ManifestRow:
        return self.rows[night_id]


def draws(n_nights: int, n_draws: int) -> dict[str, float]:
    """CPU-milliseconds a draw of 320 windows takes, and what looking at every night of the pair takes."""
    manifest = _Manifest(n_nights)
    reader: WindowReader = manifest  # type: ignore[assignment]
    cost = {}
    for balance in ("nights", "cohorts", "sites"):
        source = PairSource(reader, list(manifest.rows), manifest.names, PairConfig(balance=balance), 0)
        source.draw(0)
        cost[balance] = cpu_s(lambda source=source: [source.draw(step) for step in range(n_draws)]) / n_draws  # type: ignore[misc]

    def literally(step: int) -> None:
        draw = np.random.default_rng(step)
        one_night_of: dict[str, str] = {}
        for night in draw.permutation(nights):
            one_night_of.setdefault(manifest.row(night).person, night)
        list(one_night_of.values())[:320]

    nights = np.array(source.nights_of(source.pairs[0]))
    cost["literally"] = cpu_s(lambda: [literally(step) for step in range(5)]) / 5
    return {name: 1e3 * seconds for name, seconds in cost.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, help="an existing store; else one of noise is made")
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--windows", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compressed", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = Store(chosen.store) if chosen.store else made_store(folder / "store", chosen.nights)
        facts = {"windows_per_cpu_s": warm(store, chosen, folder)}
        rates = facts["windows_per_cpu_s"]
        print(f"{'windows of 1 h, ' + WIDE + ' + ' + NARROW:<32}{'per CPU-s':>10}{'ratio':>8}")
        for name, rate in rates.items():
            print(f"{name:<32}{rate:>10.0f}{rate / rates['npz']:>8.1f}", flush=True)
        print(f"the anchor: {ANCHOR} per CPU-s on another day")
        if chosen.cold:
            facts["windows_per_s_cold"] = cold(store, chosen)
            for name, rate in facts["windows_per_s_cold"].items():
                print(f"cold disk, {name:<21}{rate:>10.0f} a second of wall time")
    facts["draw_ms"] = draws(42_249, 100)
    for name, cost in facts["draw_ms"].items():
        print(f"a draw of 320 from 42,249 nights, {name:<10}{cost:>8.2f} CPU-ms", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
