"""Writes what is made of something else, so that it says the same: the chart's copy of the definition, the documentation of
its values, the PrometheusRule, the health script inside of Argo CD's ConfigMap. With --check it only says what differs."""

import json
import pathlib
import sys
import textwrap

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "eventsink"
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


def at(tree, path, step):
    for key in path.split("."):
        tree = step(tree, key)
        if tree is None:
            sys.exit(f"values.schema.json does not know {path}: add its type")
    return tree


def values_readme(values, found):
    rows = ["| value | default | says |", "|---|---|---|"]
    for path, words in found.items():
        default = json.dumps(at(values, path, lambda tree, key: tree[key]))
        rows.append(f"| `{path}` | `{default}` | {words} |")
    head, rest = (CHART / "README.md").read_text().split(BEGIN)
    return "\n".join([head + BEGIN, *rows, END + rest.split(END)[1]])


def values_schema(found):
    schema = json.loads((CHART / "values.schema.json").read_text())
    for path, words in found.items():
        at(schema, path, lambda tree, key: tree["properties"].get(key))["description"] = words
    return json.dumps(schema, indent=2) + "\n"


def prometheus_rule():
    head = """# Made from alerts.yaml and operator-alerts.yaml by `make generate`; do not edit.
# For the Prometheus Operator: kubectl -n monitoring apply -f config/prometheus/prometheusrule.yaml
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: eventsink
  labels:
    app.kubernetes.io/part-of: eventsink
spec:
  groups:
"""
    groups = []
    for name in ("alerts", "operator-alerts"):
        text = (ROOT / f"config/prometheus/{name}.yaml").read_text()
        groups.append(textwrap.indent(text.split("\ngroups:\n")[1], "  "))
    return head + "".join(groups)


def argocd_config():
    head = """# Made from eventsink.dev/EventSink/health.lua by `make generate`; do not edit.
# Teaches Argo CD what a healthy EventSink is:
#
#   kubectl -n argocd patch configmap argocd-cm --type merge --patch-file config/argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
  resource.customizations.health.eventsink.dev_EventSink: |
"""
    return head + textwrap.indent((ROOT / "config/argocd/eventsink.dev/EventSink/health.lua").read_text(), "    ")


def made():
    """All files that are made, with what is to be in them."""
    text = (CHART / "values.yaml").read_text()
    values, found = yaml.safe_load(text), comments(text)
    bare = list(undocumented(values, found))
    if bare:
        sys.exit(f"values.yaml has no comment `# --` above {', '.join(bare)}")
    return {
        CHART / "files/eventsinks.yaml": (ROOT / "crds/yaml/eventsinks.yaml").read_text(),
        CHART / "README.md": values_readme(values, found),
        CHART / "values.schema.json": values_schema(found),
        ROOT / "config/prometheus/prometheusrule.yaml": prometheus_rule(),
        ROOT / "config/argocd/argocd-cm.yaml": argocd_config(),
    }


def main():
    different = [(file, text) for file, text in made().items() if not file.exists() or file.read_text() != text]
    if "--check" not in sys.argv:
        for file, text in different:
            file.write_text(text)
    elif different:
        sys.exit(f"run `make generate`: not as made: {', '.join(str(file.relative_to(ROOT)) for file, _ in different)}")


main()
