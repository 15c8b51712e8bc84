"""Reads every data file of a sink and compares it with the producer's own list.

The list is CSV: partition,offset,reason,id,data. An empty reason means that the
record must be one row, else one dead letter with that reason; data is a checksum
of the event's data (of the record's value for a dead letter). Prints a report as
JSON; exit code 1 on any difference.
"""

import argparse
import csv
import hashlib
import json
import re
import sys

import fastavro
import pyarrow.fs
import pyarrow.parquet

ROW_COLUMNS = (
    "specversion id source type subject time time_raw datacontenttype dataschema extensions data data_binary "
    "kafka_topic kafka_partition kafka_offset kafka_timestamp kafka_key kafka_headers"
).split()
DEAD_COLUMNS = (
    "reason detail kafka_topic kafka_partition kafka_offset kafka_timestamp kafka_key kafka_headers kafka_value"
).split()
NAME = re.compile(
    r"^(?:(?P<dead>_dlq)/(?P<dead_topic>[^/]+)|(?P<topic>[^/]+)/(?P<version>[^/]+))"
    r"/dt=(?P<dt>\d{4}-\d\d-\d\d)/pid=(?P<pid>\d+)"
    r"/(?P<time>\d{8}_\d{6})_offset(?P<first>\d+)_count(?P<count>\d+)\.(?:parquet|avro)$"
)
SHOWN = 10


def checksum(data):
    """As the producer writes it: nothing at all is not the same as empty."""
    if data is None:
        return "-"
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:32]


class Problems:
    def __init__(self):
        self.found = {}

    def add(self, kind, text):
        entry = self.found.setdefault(kind, {"count": 0, "first": []})
        entry["count"] += 1
        if len(entry["first"]) < SHOWN:
            entry["first"].append(text)


class Verifier:
    def __init__(self, topic, expected):
        self.topic = topic
        self.expected = expected
        self.seen = {}
        self.problems = Problems()
        self.files = self.rows = self.dead = 0

    def file(self, key, columns, rows):
        """One data file: its name against its content, then each of its rows."""
        self.files += 1
        name = NAME.match(key)
        if not name or self.topic != (name["dead_topic"] or name["topic"]):
            self.problems.add("wrong_name", key)
            return
        if columns != (DEAD_COLUMNS if name["dead"] else ROW_COLUMNS):
            self.problems.add("wrong_columns", f"{key}: {columns}")
            return
        self.check_name(key, name, rows)
        for row in rows:
            self.row(key, row, dead=bool(name["dead"]))

    def check_name(self, key, name, rows):
        offsets = [row["kafka_offset"] for row in rows]
        wrong = self.problems.add
        if len(rows) != int(name["count"]):
            wrong("wrong_name", f"{key}: has {len(rows)} rows")
        if not rows:
            return
        if offsets[0] != int(name["first"]):
            wrong("wrong_name", f"{key}: begins at offset {offsets[0]}")
        if offsets != sorted(set(offsets)):
            wrong("wrong_order", key)
        if {row["kafka_partition"] for row in rows} != {int(name["pid"])}:
            wrong("wrong_name", f"{key}: has rows of another partition")
        if {row["kafka_topic"] for row in rows} != {self.topic}:
            wrong("wrong_topic", key)
        if f"{rows[0]['kafka_timestamp']:%Y%m%d_%H%M%S}" != name["time"]:
            wrong("wrong_name", f"{key}: begins at {rows[0]['kafka_timestamp']}")
        days = {str((row.get("time") or row["kafka_timestamp"]).date()) for row in rows}
        if days != {name["dt"]}:
            wrong("wrong_name", f"{key}: has days {sorted(days)}")

    def row(self, key, row, dead):
        if dead:
            self.dead += 1
        else:
            self.rows += 1
        place = (row["kafka_partition"], row["kafka_offset"])
        where = f"{place[0]}:{place[1]} in {key}"
        if place in self.seen:
            self.problems.add("doubled", f"{where} and {self.seen[place]}")
            return
        self.seen[place] = key
        if place not in self.expected:
            self.problems.add("unexpected", where)
            return
        reason, event_id, data = self.expected[place]
        if dead != bool(reason):
            self.problems.add("wrong_fate", f"{where}: the list says {reason or 'row'}")
        elif dead:
            if row["reason"] != reason:
                self.problems.add("wrong_reason", f"{where}: {row['reason']}, the list says {reason}")
            if checksum(row["kafka_value"]) != data:
                self.problems.add("wrong_data", where)
        else:
            both = row["data"] is not None and row["data_binary"] is not None
            held = row["data"] if row["data"] is not None else row["data_binary"]
            if row["id"] != event_id:
                self.problems.add("wrong_id", f"{where}: {row['id']}, the list says {event_id}")
            if both or checksum(held) != data:
                self.problems.add("wrong_data", where)

    def report(self):
        for partition, offset in sorted(self.expected.keys() - self.seen.keys()):
            self.problems.add("missing", f"{partition}:{offset}")
        return {"files": self.files, "rows": self.rows, "dead": self.dead, "problems": self.problems.found}


def read_list(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {
            (int(line["partition"]), int(line["offset"])): (line["reason"], line["id"], line["data"])
            for line in csv.DictReader(file)
        }


def data_files(filesystem, root):
    """Keys of all data files below the root; the ledger is no data, nor is a file still being staged."""
    for info in filesystem.get_file_info(pyarrow.fs.FileSelector(root, recursive=True)):
        key = info.path[len(root) :].lstrip("/")
        staged = re.search(r"#\d+$", key)
        if info.type == pyarrow.fs.FileType.File and not key.startswith("_eventsink/") and not staged:
            yield key, info.path


def target_arguments(parser):
    """Where the sink's files are."""
    parser.add_argument("--folder")
    parser.add_argument("--store", choices=("s3", "azure", "gcs"), default="s3")
    for name in ("bucket", "prefix", "endpoint", "region", "access-key", "secret-key"):
        parser.add_argument(f"--{name}", default="")


def open_root(options):
    if options.folder:
        return pyarrow.fs.LocalFileSystem(), options.folder.rstrip("/")
    scheme, _, host = options.endpoint.partition("://")
    if options.store == "azure":
        # The account in the path of the endpoint is added by the reader itself.
        host = host.partition("/")[0]
        filesystem = pyarrow.fs.AzureFileSystem(
            options.access_key,
            account_key=options.secret_key,
            blob_storage_authority=host,
            blob_storage_scheme=scheme,
            dfs_storage_authority=host,
            dfs_storage_scheme=scheme,
        )
    elif options.store == "gcs":
        filesystem = pyarrow.fs.GcsFileSystem(anonymous=True, endpoint_override=host, scheme=scheme)
    else:
        filesystem = pyarrow.fs.S3FileSystem(
            access_key=options.access_key,
            secret_key=options.secret_key,
            endpoint_override=host,
            scheme=scheme,
            region=options.region,
        )
    return filesystem, f"{options.bucket}/{options.prefix}".rstrip("/")


def utc(table):
    """Times as plain UTC: Python's own zone data are not needed to compare days."""
    for index, field in enumerate(table.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.tz:
            if field.type.tz != "UTC":
                raise ValueError(f"column {field.name} is in {field.type.tz}")
            plain = table.column(index).cast(pyarrow.timestamp(field.type.unit))
            table = table.set_column(index, field.name, plain)
    return table


def read_parquet(filesystem, path):
    table = utc(pyarrow.parquet.read_table(path, filesystem=filesystem, partitioning=None))
    return table.column_names, table.to_pylist()


def read_avro(filesystem, path):
    with filesystem.open_input_stream(path) as file:
        reader = fastavro.reader(file)
        rows = list(reader)
    for row in rows:
        for name in ("time", "kafka_timestamp"):
            if row.get(name) is not None:
                row[name] = row[name].replace(tzinfo=None)
    return [field["name"] for field in reader.writer_schema["fields"]], rows


def read_file(filesystem, path):
    """Names of the columns, and the rows; times as plain UTC whatever the format."""
    return read_avro(filesystem, path) if path.endswith(".avro") else read_parquet(filesystem, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", required=True)
    parser.add_argument("--topic", required=True)
    target_arguments(parser)
    options = parser.parse_args()

    verifier = Verifier(options.topic, read_list(options.list))
    filesystem, root = open_root(options)
    for key, path in data_files(filesystem, root):
        try:
            columns, rows = read_file(filesystem, path)
        except (OSError, ValueError, EOFError, pyarrow.ArrowException) as error:
            verifier.problems.add("unreadable", f"{key}: {error}")
            continue
        verifier.file(key, columns, rows)
    report = verifier.report()
    json.dump(report, sys.stdout, indent=1)
    print()
    sys.exit(1 if report["problems"] else 0)


if __name__ == "__main__":
    main()
