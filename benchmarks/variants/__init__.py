"""Graphs and sessions that might be faster, and how near the shipped one is to the machine."""
