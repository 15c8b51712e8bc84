"""Documents the chart's values: the comments of values.yaml become the table of its README and the descriptions of its
schema. With --check it only says what differs."""

import json
import pathlib
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "charts" / "eventsink"
BEGIN, END = "<!-- values -->", "<!-- /values -->"


def comments(text):
    """What the comment above each key says, by the path of the key."""
    found, above, path = {}, "", []
    for line in text.splitlines():
        words = line.strip()
        if words.startswith("# -- "):
            above = words[5:]
        elif words and not words.startswith(("#", "-")):
            depth = (len(line) - len(line.lstrip())) // 2
            path[depth:] = [words.split(":")[0]]
            if above:
                found[".".join(path)] = above
            above = ""
    return found


def leaf(path, values):
    for key in path.split("."):
        values = values[key]
    return values


def undocumented(values, found, path=""):
    """Values that neither have a comment nor lie under one that has."""
    for key, value in values.items():
        here = f"{path}{key}"
        if here in found:
            continue
        if isinstance(value, dict) and value:
            yield from undocumented(value, found, f"{here}.")
        else:
            yield here


def table(values, found):
    rows = ["| value | default | says |", "|---|---|---|"]
    for path, words in found.items():
        default = json.dumps(leaf(path, values)).replace("|", "\\|")
        rows.append(f"| `{path}` | `{default}` | {words} |")
    return "\n".join(rows)


def described(schema, found):
    for path, words in found.items():
        at = schema
        for key in path.split("."):
            at = at["properties"].get(key)
            if at is None:
                sys.exit(f"values.schema.json does not know {path}: add its type")
        at["description"] = words
    return json.dumps(schema, indent=2) + "\n"


def main():
    text = (CHART / "values.yaml").read_text()
    values, found = yaml.safe_load(text), comments(text)
    bare = list(undocumented(values, found))
    if bare:
        sys.exit(f"values.yaml has no comment `# --` above {', '.join(bare)}")
    readme, schema = CHART / "README.md", CHART / "values.schema.json"
    head, rest = readme.read_text().split(BEGIN)
    tail = rest.split(END)[1]
    made = {
        readme: f"{head}{BEGIN}\n{table(values, found)}\n{END}{tail}",
        schema: described(json.loads(schema.read_text()), found),
    }
    for file, new in made.items():
        if file.read_text() == new:
            continue
        if "--check" in sys.argv:
            sys.exit(f"{file.relative_to(CHART.parents[1])} is not what values.yaml says: run `make generate`")
        file.write_text(new)


main()
