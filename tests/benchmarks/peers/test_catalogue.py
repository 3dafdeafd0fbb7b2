"""Every peer has its program, its pinned packages, and the same threads and weights."""

from pathlib import Path

import pytest

from benchmarks.cloze import REPOSITORY
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.weights import Weights

PROGRAMS = REPOSITORY / "benchmarks" / "peers" / "programs"


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peer_is_declared_and_locked(peer: Peer) -> None:
    declared = (REQUIREMENTS / f"{peer.environment}.in").read_text()
    lock = (REQUIREMENTS / f"{peer.environment}.txt").read_text()
    names = [line.split("[")[0] for line in declared.splitlines() if not line.startswith("#")]
    for name in (name.split("<")[0].split(">")[0].split("=")[0] for name in names):
        assert f"\n{name}==" in lock or name == "torch", name
    assert "--hash=sha256:" in lock
    assert "\nnvidia" not in lock
    assert "://" not in lock


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peer_is_told_the_weights_and_the_threads(peer: Peer) -> None:
    spec = peer.spec(Weights(Path("/weights")), threads=7)
    assert any(word.startswith("/weights/") for word in spec.command)
    assert ("{port}" in spec.command) == (spec.dialect is not None)
    # Infinity takes its threads from OMP_NUM_THREADS, as PyTorch does.
    assert "7" in spec.command or peer.environment == "infinity"
    module = spec.command[2]
    assert (PROGRAMS / f"{module.rpartition('.')[2]}.py").exists() or module == "infinity_emb.cli"


def test_names_differ() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)
