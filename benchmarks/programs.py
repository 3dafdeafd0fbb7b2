"""A command -> a running program: paused and resumed, its CPU time and memory read, ended; Linux.

A program is everything that its command starts: it gets a session of its own, by which its
processes are found.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

STOP_LIMIT_S = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SHOWN_LINES = 3  # of a log, as the reason why a program ended

# Where libraries take their number of threads from. Cloze asks the cores themselves.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}


def budget(cores: int) -> dict[str, str]:
    """Return the environment variables that give a program so many threads.

    >>> budget(2)["OMP_NUM_THREADS"]
    '2'
    """
    return dict.fromkeys(THREAD_VARIABLES, str(cores)) | OFFLINE


class Program:
    """One running program, on `cores`."""

    def __init__(
        self,
        command: Sequence[str],
        cores: Sequence[int],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._log = log
        pinned = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                pinned,
                env=os.environ | budget(len(cores)) | dict(environment or {}),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                start_new_session=True,
            )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("expected a program with pipes, found none")
        self.stdin, self.stdout, self.number = process.stdin, process.stdout, process.pid
        self._process = process

    def pause(self) -> None:
        """Take the cores from it, so that it cannot disturb what is measured meanwhile."""
        os.killpg(self.number, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run on."""
        os.killpg(self.number, signal.SIGCONT)

    def cpu_s(self) -> float:
        """Return the CPU time that its processes have taken, in seconds."""
        # utime, stime, cutime, cstime: fields 14 to 17, the last two of children that ended.
        return sum(sum(map(int, stat[11:15])) for _, stat in self._found()) / TICKS_PER_S

    def memory_mb(self) -> float:
        """Return the memory of its processes in 10^6 bytes; what they share counts once."""
        kib = 0
        for number, _ in self._found():
            with suppress(OSError):
                rollup = Path(f"/proc/{number}/smaps_rollup").read_text()
                kib += int(rollup.partition("\nPss:")[2].split()[0])
        return kib * 1024 / 1e6

    def peak_mb(self, *, forget: bool = False) -> float:
        """Return the most resident memory of its first process so far, or now and from now on."""
        if forget:
            Path(f"/proc/{self.number}/clear_refs").write_text("5")
        status = Path(f"/proc/{self.number}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def require_running(self) -> None:
        """Raise `RuntimeError`, with the end of its log, if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"exit {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the last lines of its log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-SHOWN_LINES:])

    def stop(self) -> None:
        """End it, by force if it takes too long."""
        for ending in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.number, signal.SIGCONT)
                os.killpg(self.number, ending)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_LIMIT_S)
                break
        with suppress(ProcessLookupError):
            os.killpg(self.number, signal.SIGKILL)  # children that outlive it
        self.stdin.close()
        self.stdout.close()

    def _found(self) -> Iterator[tuple[int, list[str]]]:
        """Yield id and `stat` fields, from the third on, of each process of this session."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    fields = stat_fields((folder / "stat").read_text())
                    if int(fields[3]) == self.number:
                        yield int(folder.name), fields


def stat_fields(stat: str) -> list[str]:
    """Split a line of /proc/PID/stat after the name, which may hold anything.

    >>> stat_fields("7 (a ) b) S 1 7 7 0")
    ['S', '1', '7', '7', '0']
    """
    return stat.rpartition(")")[2].split()
