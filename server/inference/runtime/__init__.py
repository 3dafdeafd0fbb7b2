"""Batches in, results out: packing, and the session that runs them."""
