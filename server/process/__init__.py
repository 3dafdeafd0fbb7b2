"""Settings in, processes that serve out: their sockets, signals and shared statistics."""
