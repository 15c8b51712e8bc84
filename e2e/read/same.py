"""Compares an Avro file, as fastavro reads it, with a Parquet file, as pyarrow does: columns, rows, what both say.

usage: same.py PARQUET AVRO; prints how many rows both have, exit code 1 on any difference.
"""

import sys

import fastavro
import pyarrow.fs
import pyarrow.parquet

import verify

DISK = pyarrow.fs.LocalFileSystem()
# The format is a rule, and the size of the blocks is told in Avro alone.
OWN = {"eventsink.rules", "eventsink.block_bytes"}


def plain(rows):
    """Parquet's maps come as pairs."""
    for row in rows:
        if "extensions" in row:
            row["extensions"] = dict(row["extensions"])
    return rows


def told(pairs):
    return {name: value for name, value in pairs if name.startswith("eventsink.") and name not in OWN}


def main():
    parquet, avro = sys.argv[1:]
    (columns, rows), (avro_columns, avro_rows) = (verify.read_file(DISK, path) for path in (parquet, avro))
    metadata = pyarrow.parquet.read_metadata(parquet).metadata.items()
    with open(avro, "rb") as file:
        avro_told = told(fastavro.reader(file).metadata.items())
    for what, first, second in (
        ("columns", columns, avro_columns),
        ("rows", plain(rows), plain(avro_rows)),
        ("footer", told((name.decode(), value.decode()) for name, value in metadata), avro_told),
    ):
        if first != second:
            sys.exit(f"{what} differ:\n{first}\n{second}")
    print(len(rows))


if __name__ == "__main__":
    main()
