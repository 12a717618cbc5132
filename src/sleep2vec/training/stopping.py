"""Ending a run early without losing anything: Ctrl-C, and the signals by which clusters take a machine back."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sleep2vec.vocabulary.errors import Sleep2vecError

# SLURM's choice before the time limit is SIGUSR1 by custom, and SIGTERM where a job is preempted.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class RunStoppedError(Sleep2vecError):
    """A run was asked to end before its last step; its state is saved."""

    def __init__(self, number: int, step: int, n_steps: int) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(
            f"stopped by {name} after step {step} of {n_steps}, which is saved; run the same command again to go on."
        )
        self.exit_code = 128 + number  # as a shell reports a program that a signal ended


class StopRequest:
    """Which signal asked the run to end: 0 while none did."""

    def __init__(self) -> None:
        self.number = 0


@contextmanager
def stop_requests(insisted: bool) -> Iterator[StopRequest]:
    """Note signals instead of dying of them, so that the step at hand ends and is saved.

    Args:
        insisted: whether a second Ctrl-C interrupts at once. Not with several processes: torchrun passes on the
            Ctrl-C that the terminal has sent to all of them already.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may listen to signals
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if insisted and request.number == number == signal.SIGINT:
            raise KeyboardInterrupt
        request.number = request.number or number

    former = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
