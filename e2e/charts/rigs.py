"""Helm, kubeconform, promtool and Lua for the tests of this folder, and the schemas that manifests are held to.

Schemas of Kubernetes' own kinds come with the Python package kubernetes-validate, those of other projects from their
definitions, and that of EventSink from ours; nothing is asked of the network."""

import copy
import functools
import importlib.util
import json
import pathlib
import re
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "eventsink"
CONFIG = ROOT / "config"
# Kinds of Kubernetes itself that the chart and config/ have objects of.
KINDS = (
    "configmap-v1", "service-v1", "serviceaccount-v1", "persistentvolumeclaim-v1", "deployment-apps-v1",
    "horizontalpodautoscaler-autoscaling-v2", "networkpolicy-networking-v1", "poddisruptionbudget-policy-v1",
    "clusterrole-rbac-v1", "clusterrolebinding-rbac-v1", "role-rbac-v1", "rolebinding-rbac-v1",
    "customresourcedefinition-apiextensions-v1",
)
# The oldest that the chart takes, and the one that the cluster of the tests has.
KUBERNETES = ("1.29", "1.34")


@functools.cache
def program(rig):
    """The rig's program itself: the rig looks each time whether it is there."""
    folder = subprocess.run([ROOT / "e2e/rigs" / rig, "bin"], capture_output=True, text=True, check=True)
    return pathlib.Path(folder.stdout.strip()) / rig


def run(rig, *arguments, stdin=None):
    command = [program(rig), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def helm(*arguments):
    """What Helm prints; its complaint is the error."""
    done = run("helm", *arguments)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def render(*settings):
    """All objects of a release called eventsink in the namespace sinks."""
    return copy.deepcopy(rendered(settings))


@functools.cache
def rendered(settings):
    flags = [part for setting in settings for part in ("--set-json", setting)]
    text = helm("template", "eventsink", str(CHART), "--namespace", "sinks", *flags)
    return parsed(text)


def documents(file):
    return parsed(file.read_text())


class Once(yaml.CSafeLoader):
    """Refuses a key that is there twice, of which others take the first or the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"{', '.join(twice)} twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def parsed(text):
    return [one for one in yaml.load_all(text, Once) if one]


def strict(schema):
    """The schema of a definition, with fields that it does not know refused, as the API server drops them."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get("nullable") and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    return out


@functools.cache
def schemas(kubernetes):
    """A folder with schemas named as kubeconform looks for them: of all definitions, and of Kubernetes' own kinds."""
    folder = tempfile.TemporaryDirectory(prefix="eventsink-schemas-")
    others = program("definitions").parent
    for file in [*others.glob("*.yaml"), ROOT / "crds/yaml/eventsinks.yaml"]:
        (definition,) = documents(file)
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            # The API server knows these of every kind.
            schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
            name = f"{spec['names']['kind'].lower()}-{spec['group'].split('.')[0]}-{version['name']}.json"
            (pathlib.Path(folder.name) / name).write_text(json.dumps(schema))
    package = pathlib.Path(importlib.util.find_spec("kubernetes_validate").origin).parent
    own = package / f"kubernetes-json-schema/v{kubernetes}.0-local-strict"
    parts = json.loads((own / "_definitions.json").read_text())["$defs"]
    for name in KINDS:
        schema = json.loads((own / f"{name}.json").read_text())
        (pathlib.Path(folder.name) / f"{name}.json").write_text(whole(schema, parts))
    return folder


def whole(schema, parts):
    """The schema with all that it refers to, directly or not, inside of it."""
    refers, text = re.compile(r'"(?:/api/_definitions\.json)?#/\$defs/([^"]+)"'), json.dumps(schema)
    inside, missing = {}, set(refers.findall(text))
    while missing:
        name = missing.pop()
        inside[name] = parts[name]
        missing |= set(refers.findall(json.dumps(parts[name]))) - set(inside)
    return json.dumps(schema | {"$defs": inside}).replace("/api/_definitions.json#/$defs/", "#/$defs/")


def complaints(objects, kubernetes=KUBERNETES[-1]):
    """What kubeconform finds wrong, one line for each object concerned."""
    place = f"{schemas(kubernetes).name}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    flags = ("-strict", "-output", "json", "-schema-location", place)
    done = run("kubeconform", *flags, "-", stdin=yaml.safe_dump_all(objects))
    found = json.loads(done.stdout)["resources"] or []
    return [f"{one['kind']} {one['name']}: {one['msg']}" for one in found]
