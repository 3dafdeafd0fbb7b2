"""A signal in, a flag out: a run ends where nothing is lost, not wherever it happens to be."""

import signal
from types import FrameType

INTERRUPTED = 3  # the exit code of a run that was stopped and can be resumed


class Interruption:
    """Whether SIGTERM or SIGINT has come; the run then ends after a step."""

    def __init__(self) -> None:
        self.asked = False
        self._before = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
        }

    def end(self) -> None:
        """Let signals do again what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
