"""A folder in, a real server out whose session raises, waits or leaks when it is told to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.running_server import RunningServer

# Of what an exception says and where it came from nothing may reach a client.
SECRET = "the planted secret"
PLACE = "/etc/planted/place.py"
# The session looks at each run for the faults that are to be: files, named after them.
PLANTED = f"""
import pathlib, time
import onnxruntime

FAULTS = pathlib.Path(__file__).parent / "faults"
KEPT = []

class Session(onnxruntime.InferenceSession):
    def run(self, outputs, feeds, *rest):
        for fault in FAULTS.iterdir():
            if fault.name == "poison" and (feeds["input_ids"] == int(fault.read_text())).any():
                raise RuntimeError("{SECRET} in {PLACE}")
            while fault.name == "held" and fault.exists():
                time.sleep(0.005)
            if fault.name == "slow":
                time.sleep(float(fault.read_text()))
            if fault.name == "memory":
                raise MemoryError
            if fault.name == "leak":
                KEPT.append(bytes(int(fault.read_text())) + b"x")
        return super().run(outputs, feeds, *rest)

onnxruntime.InferenceSession = Session
"""
POISON = "poison"  # a word that is one token


def faults_in(folder: Path) -> Path:
    """Makes the folder that a server's path must have."""
    (folder / "faults").mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(PLANTED)
    return folder


@dataclass(frozen=True)
class FaultyServer:
    """A server and the folder of its faults."""

    server: RunningServer
    folder: Path

    def poison(self) -> None:
        """From now on each batch with the word in it fails."""
        asked = {"inputs": POISON, "add_special_tokens": False}
        ((token,),) = self.server.post("/tokenize", asked).json()
        self.plant("poison", token["id"])

    def plant(self, fault: str, value: object = "") -> None:
        """Begins a fault, at once and whole."""
        (self.folder / fault).write_text(str(value))
        (self.folder / fault).rename(self.folder / "faults" / fault)

    def remove(self, fault: str) -> None:
        """Ends it."""
        (self.folder / "faults" / fault).unlink()
