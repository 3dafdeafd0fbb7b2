"""Offered load in, a table of rates and latencies out; knows the server only from outside."""
