"""The load generator: requests and when they are due in, latencies out, in a process of its own."""
