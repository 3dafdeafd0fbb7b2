"""A fine-tuning's state after an epoch in, a folder from which it goes on exactly out, and back.

OUT.unfinished/run.json   what the run is: task, checkpoint, data and options
OUT.unfinished/state.pt   weights, optimiser and random numbers after the last whole epoch
OUT.unfinished/.OUT.…     what is being written to take OUT's place, or was when it was killed

It lies beside OUT while the run lasts and is removed at its end. OUT itself holds the best epoch so
far, complete, from the first epoch on.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training.errors import TrainingError

RUN_FILE, STATE_FILE = "run.json", "state.pt"


class Unfinished:
    """The folder beside OUT."""

    def __init__(self, out: Path, run: Mapping[str, Any]) -> None:
        """`run` is what a run must have in common with one that it goes on with."""
        self.path, self._out = beside(out), out
        # As JSON gives it back, so that the two compare.
        self._run = json.loads(json.dumps(dict(run)))

    def load(self) -> dict[str, Any] | None:
        """The state of the run that began here, or None for a new one.

        Raises:
            TrainingError: another run began here.
        """
        begun = (self.path / STATE_FILE).is_file()
        if not begun and not self._out.exists():
            return None  # it was killed in its first epoch
        if not (self.path / RUN_FILE).is_file():
            return None
        found = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))
        changed = sorted(key for key in self._run if found.get(key) != self._run[key])
        if changed:
            raise TrainingError(
                f"{self.path} holds a run with another {changed[0]} ({found.get(changed[0])}) that "
                "did not finish; give the same command to go on with it, or remove the folder."
            )
        if not begun:
            return None
        state: dict[str, Any] = torch.load(
            self.path / STATE_FILE, map_location="cpu", weights_only=True
        )
        return state

    def begin(self) -> None:
        """Say what runs here, so that OUT is known to be its own."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._run, indent=2, ensure_ascii=False) + "\n"
        (self.path / f".{RUN_FILE}").write_text(text, encoding="utf-8")
        (self.path / f".{RUN_FILE}").replace(self.path / RUN_FILE)

    def save(self, state: Mapping[str, Any]) -> None:
        """Take the place of the state that was there, at once; that stays where this fails."""
        new = self.path / f".{STATE_FILE}"
        try:
            torch.save(dict(state), new)
            new.replace(self.path / STATE_FILE)
        except (OSError, RuntimeError) as error:  # the latter is PyTorch's, of a full disk too
            new.unlink(missing_ok=True)
            said = str(error).splitlines()[0].rstrip(".")
            raise TrainingError(
                f"{self.path} cannot be written: {said}. The same command goes on after the epoch "
                "before."
            ) from None

    def remove(self) -> None:
        """There is nothing to go on with any more."""
        # Under another name first: a part of it would be taken for the whole.
        gone = self.path.with_name(f".{self.path.name}")
        shutil.rmtree(gone, ignore_errors=True)
        if self.path.is_dir():
            self.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def beside(out: Path) -> Path:
    """The folder of the state of the run that makes `out`.

    >>> beside(Path("runs/opinions")).name
    'opinions.unfinished'
    """
    return out.with_name(f"{out.name}.unfinished")
