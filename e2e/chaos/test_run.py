"""No row of the matrix is left out in silence."""

import unittest

from run import complaint, page, tests_by_row

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

    def test_a_failure_is_an_error_and_stands_in_the_page(self):
        rows, results = tests_by_row("a::row_01_kill: test"), {"a::row_01_kill": (False, 3.2)}
        self.assertIn("failed: a::row_01_kill", complaint([ROW], rows, results))
        self.assertIn("| `row_01_kill` | **failed** | 3 |", page([ROW], rows, results))


if __name__ == "__main__":
    unittest.main()
