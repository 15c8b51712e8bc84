"""Runs the fault matrix one test at a time and writes the result as a table.

A row of e2e/tests/chaos/table.csv is proven by the tests named row_NN_... (or
soak_...). Exit code 1 when a row has neither a test nor a named reason, or a
test does not pass. Servers come from e2e/rigs/with, or each test starts its own.
"""

import argparse
import collections
import contextlib
import csv
import datetime
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROW = re.compile(r"^(?:.*::)?(?:row_(?P<row>\d\d)_|(?P<soak>soak_))")
LIMIT = 40 * 60

HEAD = """# The fault matrix

`make chaos` runs it on a real Kafka, real worker processes and a real S3 server and writes this page.
A test ends with two proofs: pyarrow reads every file and compares it with the producer's own list, each offset once,
and `eventsink-worker audit --deep --kafka` finds nothing. Three rows differ: row 11 is refused by the settings, after
row 14 the log no longer has what the files have, so that no audit can compare them, and in row 16 the two proofs are for
the first topic, the audit alone for the one that took its place.

- L: each offset below the frontier is in exactly one of file, dead letter, filtered, named loss.
- D: no offset is in two files.
- N: a planned cut ends under its own names, with its own rows.
- M: resident memory stays within the budget and a constant.
- P: it goes on by itself once the fault is healed.
- C: what a member commits that lost its partition changes nothing.
"""


CHAOS = ["cargo", "test", "--quiet", "--workspace", "--test", "chaos", "--"]


def listed():
    """What the tests are called, one on each line."""
    command = [*CHAOS, "--list", "--format=terse"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def tests_by_row(names):
    """Full names of all tests, by row; a test that belongs to no row is an error, for it would never run."""
    rows = collections.defaultdict(list)
    for line in names.splitlines():
        if not line.endswith(": test"):
            continue
        name = line.removesuffix(": test")
        match = ROW.match(name)
        if not match:
            sys.exit(f"the test {name} says no row: call it row_NN_...")
        rows["soak" if match["soak"] else str(int(match["row"]))].append(name)
    return rows


def within(limit, command):
    """Exit code (None when the time is over) and all output; servers and workers of a command end with it."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code, late = child.wait(timeout=limit), ""
        except subprocess.TimeoutExpired:
            code, late = None, f"\nnot done within {limit} s\n"
        finally:
            # Whatever is left of its session, even when this script is interrupted.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        output.seek(0)
        return code, output.read() + late


def run(name):
    """Whether it passed, and its seconds."""
    print(f"{name} ...", end=" ", flush=True)
    began = time.monotonic()
    code, words = within(LIMIT, [*CHAOS, "--exact", name, "--nocapture"])
    # A name that matches nothing ends well too, with nothing run.
    passed = code == 0 and "1 passed" in words
    seconds = time.monotonic() - began
    print(f"{'ok' if passed else 'FAILED'} in {seconds:.0f} s", flush=True)
    if not passed:
        print(words, file=sys.stderr)
    return passed, seconds


def cells(row, tests, results):
    """One line per test; a row without one says why."""
    reason = row["not tested because"]
    said = [row["row"], row["fault"], row["during"], row["must hold"]]
    if not tests:
        return [[*said, "", reason or "**no test**", ""]]
    if reason:
        said[3] += f"; not tested: {reason}"
    lines = []
    for name in tests:
        passed, seconds = results[name]
        lines.append([*said, f"`{name.split('::')[-1]}`", "ok" if passed else "**failed**", f"{seconds:.0f}"])
        said = ["", "", "", ""]
    return lines


def machine():
    memory = re.search(r"MemTotal:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text(encoding="ascii"))
    gib = int(memory[1]) / (1 << 20)
    return f"{os.cpu_count()} cores, {gib:.0f} GiB"


def kafka_version():
    pom = (ROOT / "e2e/rigs/pom.xml").read_text(encoding="utf-8")
    return re.search(r"<kafka\.version>([^<]+)<", pom)[1]


def soak():
    events = int(os.environ.get("EVENTSINK_SOAK_EVENTS", "1000000"))
    faults = int(os.environ.get("EVENTSINK_SOAK_FAULTS", "200"))
    return f"{events:,} events and {faults} faults each"


def chosen(rows, only):
    """The rows that were asked for, all without a wish; a name that no row has is an error."""
    names = only.split(",") if only else [row["row"] for row in rows]
    unknown = [name for name in names if name not in {row["row"] for row in rows}]
    if unknown:
        sys.exit(f"no such rows: {', '.join(unknown)}")
    return [row for row in rows if row["row"] in names]


def strangers(rows, tests):
    """Exits when a test names a row that the table does not have: it would never run."""
    unknown = sorted(set(tests) - {row["row"] for row in rows})
    if unknown:
        sys.exit(f"tests of rows that are not in the table: {', '.join(unknown)}")


def complaint(rows, tests, results):
    """What is wrong with the matrix as a whole; empty when nothing is."""
    bare = [row["row"] for row in rows if not tests[row["row"]] and not row["not tested because"]]
    failed = [name for name, (passed, _) in results.items() if not passed]
    without = [f"rows without a test: {', '.join(bare)}"] if bare else []
    return "; ".join(without + ([f"failed: {', '.join(failed)}"] if failed else []))


def page(rows, tests, results):
    lines = [HEAD]
    today = datetime.date.today()
    lines.append(f"{today}, {machine()}, Kafka {kafka_version()}. Soak: {soak()}.\n")
    lines.append("| row | fault | during | must hold | test | result | seconds |")
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        lines += ["| " + " | ".join(line) + " |" for line in cells(row, tests[row["row"]], results)]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=pathlib.Path, required=True, help="the page to write")
    parser.add_argument("--only", default="", help="rows with a comma between them; the page then tells only of them")
    options = parser.parse_args()

    with open(ROOT / "e2e/tests/chaos/table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tests = tests_by_row(listed())
    strangers(rows, tests)
    rows = chosen(rows, options.only)
    # A run that is broken off leaves no page of an earlier one behind.
    options.to.unlink(missing_ok=True)
    results = {name: run(name) for row in rows for name in tests[row["row"]]}
    options.to.parent.mkdir(parents=True, exist_ok=True)
    options.to.write_text(page(rows, tests, results), encoding="utf-8")
    words = complaint(rows, tests, results)
    if words:
        sys.exit(words)


if __name__ == "__main__":
    main()
