"""Text in, numbers out: tokenising, queueing, batching and running. Knows nothing of HTTP."""
