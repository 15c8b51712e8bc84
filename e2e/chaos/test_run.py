"""No row of the matrix is left out in silence."""

import pathlib
import unittest

from run import chosen, complaint, page, strangers, tests_by_row, within

ROW = {"row": "1", "fault": "kill -9", "during": "reading", "must hold": "L", "not tested because": ""}


class Matrix(unittest.TestCase):
    def test_names_say_the_row(self):
        names = "crashes::row_01_kill: test\nkafka_group::row_01_more: test\nsoak::soak_plain: test\n"
        rows = tests_by_row(names)
        self.assertEqual(rows["1"], ["crashes::row_01_kill", "kafka_group::row_01_more"])
        self.assertEqual(rows["soak"], ["soak::soak_plain"])

    def test_a_test_without_a_row_is_an_error(self):
        with self.assertRaises(SystemExit):
            tests_by_row("crashes::kill: test\n")

    def test_a_row_without_a_test_is_an_error_unless_it_says_why(self):
        rows = tests_by_row("")
        self.assertIn("without a test: 1", complaint([ROW], rows, {}))
        self.assertIn("**no test**", page([ROW], rows, {}))
        excused = {**ROW, "not tested because": "the protocol is refused"}
        self.assertEqual(complaint([excused], rows, {}), "")
        self.assertIn("the protocol is refused", page([excused], rows, {}))

    def test_a_reason_stands_beside_the_test_of_the_refusal(self):
        rows, results = tests_by_row("a::row_01_refused: test"), {"a::row_01_refused": (True, 1.0)}
        text = page([{**ROW, "not tested because": "it is refused"}], rows, results)
        self.assertIn("| L; not tested: it is refused | `row_01_refused` | ok |", text)

    def test_an_unknown_row_is_an_error_in_the_choice_and_in_a_test(self):
        self.assertEqual(chosen([ROW], "1"), [ROW])
        self.assertEqual(chosen([ROW], ""), [ROW])
        with self.assertRaises(SystemExit):
            chosen([ROW], "1,2")
        strangers([ROW], tests_by_row("a::row_01_kill: test"))
        with self.assertRaises(SystemExit):
            strangers([ROW], tests_by_row("a::row_02_kill: test"))

    def test_a_late_command_ends_with_all_that_it_started_and_its_words_are_kept(self):
        code, words = within(1, ["sh", "-c", "echo begun; sleep 1000 & echo $!; wait"])
        self.assertIsNone(code)
        begun, child, *_ = words.split()
        self.assertEqual(begun, "begun")
        # Nobody may wait for what has lost its parent: one that is dead has no words left.
        line = pathlib.Path(f"/proc/{child}/cmdline")
        while line.exists() and line.read_bytes():
            pass
        self.assertEqual(within(60, ["sh", "-c", "echo done; exit 3"]), (3, "done\n"))

    def test_a_failure_is_an_error_and_stands_in_the_page(self):
        rows, results = tests_by_row("a::row_01_kill: test"), {"a::row_01_kill": (False, 3.2)}
        self.assertIn("failed: a::row_01_kill", complaint([ROW], rows, results))
        self.assertIn("| `row_01_kill` | **failed** | 3 |", page([ROW], rows, results))


if __name__ == "__main__":
    unittest.main()
