"""A command, run and measured."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from sleep2vec.vocabulary.errors import Sleep2vecError

SAMPLING_S = 0.1


@dataclass(frozen=True)
class Cost:
    """What a command took. Memory is the largest sum over its processes; pages they share count for each."""

    seconds: float
    peak_memory_mb: float


def run_measured(arguments: Sequence[str]) -> Cost:
    """Run ``sleep2vec ARGUMENTS`` in a process of its own; its messages go where ours go.

    Raises:
        Sleep2vecError: it failed; it has said why.
    """
    started = time.perf_counter()
    peak_bytes = 0
    process = subprocess.Popen([sys.executable, "-m", "sleep2vec.cli", *arguments], stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            peak_bytes = max(peak_bytes, _resident_bytes(process.pid))
            # A command may be over in a tenth of a second: the first second is looked at more often.
            time.sleep(SAMPLING_S if time.perf_counter() - started > 1 else SAMPLING_S / 10)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode != 0:
        raise Sleep2vecError(
            f"`sleep2vec {' '.join(arguments)}` failed with exit code {process.returncode}; see above."
        )
    return Cost(time.perf_counter() - started, peak_bytes / 1e6)


def _resident_bytes(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # it ended while we looked
        pass
    return total
