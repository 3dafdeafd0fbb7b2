"""What each task asks of the encoder and makes of its results: one module per task.

A task turns checked inputs into a `Plan`: the items to run, and `finish`, which turns their results
into the answer. The pipeline runs every plan the same way. No task knows of queues or HTTP.
"""
