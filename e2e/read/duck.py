"""Counts the rows and the dead letters of a topic in a folder with DuckDB.

usage: duck.py FOLDER TOPIC; prints [rows, dead], each checked for doubled offsets.
"""

import glob
import json
import sys

import duckdb


def count(pattern):
    if not glob.glob(pattern, recursive=True):
        return 0
    total, distinct = duckdb.execute(
        "SELECT count(*), count(DISTINCT (kafka_partition, kafka_offset)) FROM read_parquet($1)", [pattern]
    ).fetchone()
    if total != distinct:
        sys.exit(f"{total - distinct} doubled rows in {pattern}")
    return total


folder, topic = sys.argv[1:]
print(json.dumps([count(f"{folder}/{topic}/**/*.parquet"), count(f"{folder}/_dlq/{topic}/**/*.parquet")]))
