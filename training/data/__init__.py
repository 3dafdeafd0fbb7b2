"""A file or folder of examples, in any of the usual forms, in; its records out, one for a row.

CSV, TSV, JSON arrays, JSON lines, SQuAD's nested JSON, CoNLL's columns, Parquet and the folders of
`datasets`. Knows nothing of tasks, tokens or models.
"""
