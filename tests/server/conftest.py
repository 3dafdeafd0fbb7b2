"""Servers with faults, for tests of what is told of a fault."""

from tests.acceptance.conftest import faulty

__all__ = ["faulty"]
