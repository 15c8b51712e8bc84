"""The verifier must see every way to break the promise; a blind one would pass anything."""

import copy
import datetime
import unittest

import verify

TIME = datetime.datetime(2025, 1, 21, 10, 0, 0)
ROW_KEY = "t/v1/dt=2025-01-21/pid=0/20250121_100000_offset{}_count{}.parquet"
DEAD_KEY = "_dlq/t/dt=2025-01-21/pid=0/20250121_100000_offset{}_count{}.parquet"


def coordinates(offset):
    return {"kafka_topic": "t", "kafka_partition": 0, "kafka_offset": offset, "kafka_timestamp": TIME}


def row(offset):
    values = {"id": f"id-{offset}", "time": TIME, "data": f"data {offset}", **coordinates(offset)}
    return {column: values.get(column) for column in verify.ROW_COLUMNS}


def dead(offset):
    values = {"reason": "InvalidTime", "kafka_value": b"value", **coordinates(offset)}
    return {column: values.get(column) for column in verify.DEAD_COLUMNS}


EXPECTED = {
    (0, 5): ("", "id-5", verify.checksum("data 5")),
    (0, 6): ("", "id-6", verify.checksum(b"data 6")),
    (0, 7): ("InvalidTime", "", verify.checksum(b"value")),
}
FILES = {ROW_KEY.format(5, 2): [row(5), row(6)], DEAD_KEY.format(7, 1): [dead(7)]}


def problems(change=lambda files: None):
    files = copy.deepcopy(FILES)
    change(files)
    verifier = verify.Verifier("t", EXPECTED)
    for key, rows in files.items():
        verifier.file(key, list(rows[0]), rows)
    return sorted(verifier.report()["problems"])


def rename(files, new):
    files[new] = files.pop(ROW_KEY.format(5, 2))


class TheVerifier(unittest.TestCase):
    def test_is_content_when_every_record_is_there_once(self):
        self.assertEqual(problems(), [])

    def test_is_content_with_avro_too(self):
        self.assertEqual(problems(lambda files: rename(files, ROW_KEY.format(5, 2)[: -len("parquet")] + "avro")), [])

    def test_sees_a_missing_file(self):
        self.assertEqual(problems(lambda files: files.pop(DEAD_KEY.format(7, 1))), ["missing"])

    def test_sees_a_doubled_row(self):
        again = {ROW_KEY.format(6, 1): [row(6)]}
        self.assertEqual(problems(lambda files: files.update(again)), ["doubled"])

    def test_sees_a_row_that_nobody_sent(self):
        extra = {ROW_KEY.format(8, 1): [row(8)]}
        self.assertEqual(problems(lambda files: files.update(extra)), ["unexpected"])

    def test_sees_a_dead_letter_that_should_be_a_row(self):
        def change(files):
            files[ROW_KEY.format(5, 1)] = files.pop(ROW_KEY.format(5, 2))[:1]
            files[DEAD_KEY.format(6, 1)] = [dead(6)]

        self.assertEqual(problems(change), ["wrong_fate"])

    def test_sees_a_changed_byte_of_data(self):
        def change(files):
            files[ROW_KEY.format(5, 2)][1]["data"] = "data 6 "

        self.assertEqual(problems(change), ["wrong_data"])

    def test_tells_empty_data_from_none(self):
        self.assertNotEqual(verify.checksum(""), verify.checksum(None))

    def test_sees_a_foreign_id(self):
        def change(files):
            files[ROW_KEY.format(5, 2)][0]["id"] = "id-6"

        self.assertEqual(problems(change), ["wrong_id"])

    def test_sees_another_reason(self):
        def change(files):
            files[DEAD_KEY.format(7, 1)][0]["reason"] = None

        self.assertEqual(problems(change), ["wrong_reason"])

    def test_sees_a_name_with_another_count_offset_day_or_partition(self):
        names = [ROW_KEY.format(5, 3), ROW_KEY.format(4, 2), ROW_KEY.format(5, 2).replace("-21/", "-22/")]
        names += [ROW_KEY.format(5, 2).replace("pid=0", "pid=1"), ROW_KEY.format(5, 2).replace("_100000", "_100001")]
        for name in names:
            with self.subTest(name):
                self.assertEqual(problems(lambda files, name=name: rename(files, name)), ["wrong_name"])

    def test_sees_a_file_that_is_not_named_by_the_rule(self):
        self.assertEqual(problems(lambda files: rename(files, "t/part-0.parquet")), ["missing", "wrong_name"])

    def test_sees_another_schema(self):
        def change(files):
            for each in files[ROW_KEY.format(5, 2)]:
                del each["subject"]

        self.assertEqual(problems(change), ["missing", "wrong_columns"])


if __name__ == "__main__":
    unittest.main()
