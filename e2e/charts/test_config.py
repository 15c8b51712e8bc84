"""The manifests of config/: valid, telling which Secrets they need, and speaking of metrics and conditions that there are."""

import copy
import json
import re
import subprocess
import tempfile
import unittest

import yaml
from rigs import CONFIG, ROOT, complaints, documents, program, run

SAMPLES = sorted((CONFIG / "samples").glob("*.yaml"))
AUTOSCALING = sorted((CONFIG / "autoscaling").glob("*.yaml"))
MANIFESTS = [*SAMPLES, *AUTOSCALING, *sorted((CONFIG / "argocd").glob("*.yaml")), CONFIG / "prometheus/prometheusrule.yaml"]
SCRIPT = CONFIG / "argocd/eventsink.dev/EventSink/health.lua"
DASHBOARD = CONFIG / "grafana/eventsink.json"
# Keys that a reference asks for when it does not name them: `crds/src/sink/secrets.rs`.
DEFAULT_KEYS = {
    "caSecretRef": {"key": "ca.crt"},
    "clientSecretRef": {"certificateKey": "tls.crt", "privateKeyKey": "tls.key"},
}


def sinks(files):
    return [(file, one) for file in files for one in documents(file) if one["kind"] == "EventSink"]


def walk(tree, path=()):
    yield path, tree
    if isinstance(tree, dict):
        tree = tree.items()
    elif isinstance(tree, list):
        tree = enumerate(tree)
    else:
        return
    for key, value in tree:
        yield from walk(value, (*path, key))


def referenced(spec):
    """Each Secret that a sink names, with the keys that it needs."""
    for path, value in walk(spec):
        name = path[-1] if path else ""
        if not (isinstance(name, str) and name.lower().endswith("secretref")):
            continue
        if name == "secretRef":
            s3 = path[0] == "storage"
            wanted = {"a": "accessKeyId", "b": "secretAccessKey"} if s3 else {"a": "username", "b": "password"}
        elif name == "clientSecretRef" and "azure" in path:
            wanted = {}
        else:
            wanted = DEFAULT_KEYS.get(name, {})
        given = {key: text for key, text in value.items() if key != "name"}
        yield value["name"], set((wanted | given).values())


def created(text):
    """Each Secret that the header says how to make, with its keys."""
    found = {}
    for line in re.findall(r"^#   kubectl .* create secret (.*)$", text, re.MULTILINE):
        kind, name, *flags = line.split()
        keys = {flag.split("=")[1] for flag in flags if flag.startswith("--from-")}
        found[name] = {"tls.crt", "tls.key"} if kind == "tls" else keys
    return found


class Manifests(unittest.TestCase):
    def test_each_is_valid(self):
        for file in MANIFESTS:
            with self.subTest(file.name):
                self.assertEqual(complaints(documents(file)), [])

    def test_each_begins_with_what_it_shows(self):
        for file in MANIFESTS:
            self.assertTrue(file.read_text().startswith("# "), file)

    def test_labels_are_such_as_kubernetes_takes(self):
        for file in MANIFESTS:
            for path, value in walk(documents(file)):
                if path and path[-1] in ("labels", "matchLabels"):
                    for label in value.values():
                        self.assertRegex(str(label), r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$", file)

    def test_no_two_sinks_share_a_name_or_a_prefix(self):
        names = [one["metadata"]["name"] for _, one in sinks(SAMPLES + AUTOSCALING)]
        self.assertEqual(len(names), len(set(names)))


class Samples(unittest.TestCase):
    def test_there_is_one_for_each_store_login_format_and_mode(self):
        specs = [one["spec"] for _, one in sinks(SAMPLES + AUTOSCALING)]
        said = set()
        for spec in specs:
            security = spec["kafka"].get("security", {})
            protocol = security.get("protocol", "PLAINTEXT")
            said |= {*spec["storage"], protocol, spec.get("file", {}).get("format", "Parquet")}
            said |= {security["sasl"].get("mechanism", "SCRAM-SHA-512")} if "sasl" in security else set()
            said |= {spec.get("scaling", {}).get("mode", "Partitions")}
            said |= {"suspended"} if spec.get("suspend") else set()
        self.assertLessEqual({
            "s3", "azure", "gcs", "filesystem", "PLAINTEXT", "SSL", "SASL_SSL", "SCRAM-SHA-512", "OAUTHBEARER", "Parquet",
            "Avro", "Partitions", "Lag", "External", "Fixed", "suspended",
        }, said)

    def test_each_says_how_to_make_every_secret_that_it_needs_and_no_other(self):
        for file, sink in sinks(SAMPLES):
            with self.subTest(file.name):
                needed = {}
                for name, keys in referenced(sink["spec"]):
                    needed.setdefault(name, set()).update(keys)
                self.assertEqual(created(file.read_text()), needed)

    def test_the_schema_sees_what_is_wrong(self):
        (sample,) = [one for file, one in sinks(SAMPLES) if file.name == "s3.yaml"]

        def refused(change):
            changed = copy.deepcopy(sample)
            change(changed["spec"])
            found = complaints([changed])
            self.assertEqual(len(found), 1, found)
            return found[0]

        def typo(spec):
            spec["kafka"]["topic"] = ["orders"]

        def mode(spec):
            spec["scaling"] = {"mode": "Auto"}

        def text(spec):
            spec["replicas"] = "3"

        def too_many(spec):
            spec["replicas"] = 1001

        def age(spec):
            spec["file"] = {"rotation": {"maxAge": "10 minutes"}}

        def nowhere(spec):
            del spec["storage"]

        self.assertIn("additional properties 'topic' not allowed", refused(typo))
        self.assertIn("/spec/scaling/mode", refused(mode))
        self.assertIn("/spec/replicas", refused(text))
        self.assertIn("/spec/replicas", refused(too_many))
        self.assertIn("/spec/file/rotation/maxAge", refused(age))
        self.assertIn("missing property 'storage'", refused(nowhere))


class Autoscaling(unittest.TestCase):
    def test_each_targets_the_sink_beside_it_whose_replicas_it_may_write(self):
        for file in AUTOSCALING:
            scaler, sink = documents(file)
            target = scaler["spec"]["scaleTargetRef"]
            self.assertEqual((target["apiVersion"], target["kind"]), (sink["apiVersion"], "EventSink"))
            self.assertEqual(target["name"], sink["metadata"]["name"])
            self.assertEqual(sink["spec"]["scaling"]["mode"], "External")
            self.assertNotIn("replicas", sink["spec"])

    def test_each_is_slower_down_than_up(self):
        for file in AUTOSCALING:
            text = json.dumps(documents(file)[0])
            (behavior,) = [value for path, value in walk(json.loads(text)) if path and path[-1] == "behavior"
                           and isinstance(value, dict)]
            self.assertGreater(behavior["scaleDown"]["stabilizationWindowSeconds"],
                               behavior["scaleUp"]["stabilizationWindowSeconds"])


class Health(unittest.TestCase):
    """The script of Argo CD, run by its own Lua on the cases of the layout that its repository has."""

    def cases(self):
        tests = yaml.safe_load((SCRIPT.parent / "health_test.yaml").read_text())["tests"]
        return [(test["inputPath"], test["healthStatus"]) for test in tests]

    def judge(self, objects):
        done = run("lua", str(SCRIPT), stdin=json.dumps(objects))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_it_says_of_each_case_what_is_written_beside_it(self):
        paths, wanted = zip(*self.cases())
        said = self.judge([documents(SCRIPT.parent / path)[0] for path in paths])
        for path, one, want in zip(paths, said, wanted):
            self.assertEqual(one, want, path)

    def test_every_file_of_cases_is_used(self):
        there = {f"testdata/{file.name}" for file in (SCRIPT.parent / "testdata").iterdir()}
        self.assertEqual(there, {path for path, _ in self.cases()})

    def test_cases_are_objects_that_the_operator_could_write(self):
        source = (ROOT / "crds/src/sink/conditions.rs").read_text()
        constants = set(re.findall(r'&str = "(\w+)"', source))
        for path, _ in self.cases():
            (one,) = documents(SCRIPT.parent / path)
            self.assertEqual(complaints([one]), [], path)
            for condition in one.get("status", {}).get("conditions", []):
                self.assertLessEqual({condition["type"], condition["reason"]}, constants, path)

    def test_each_reason_of_ready_has_an_answer_of_argo_cd(self):
        source = (ROOT / "crds/src/sink/conditions.rs").read_text()
        sink = documents(SCRIPT.parent / "testdata/healthy_running.yaml")[0]
        for reason in re.findall(r'&str = "(\w+)"', source.split("pub mod reason")[1]):
            for status in ("True", "False", "Unknown"):
                one = copy.deepcopy(sink)
                one["status"]["conditions"] = [{"type": "Ready", "status": status, "reason": reason, "message": "words"}]
                (said,) = self.judge([one])
                wanted = {"True": ("Healthy", "Suspended"), "False": ("Degraded",), "Unknown": ("Progressing",)}[status]
                self.assertIn(said["status"], wanted, (reason, status))


class Watching(unittest.TestCase):
    def queries(self):
        """All queries of the dashboard, as Prometheus would get them."""
        for path, value in walk(json.loads(DASHBOARD.read_text())):
            if path and path[-1] == "expr":
                yield value.replace("$__rate_interval", "5m").replace("$sink", ".+")

    def alerts(self):
        (rule,) = documents(CONFIG / "prometheus/prometheusrule.yaml")
        return [one for group in rule["spec"]["groups"] for one in group["rules"]]

    def metrics(self):
        """Names that workers and operator serve; those of a histogram with its suffixes."""
        names = set()
        for file in ("worker/src/metrics.rs", "operator/src/metrics.rs"):
            source = (ROOT / file).read_text().split("#[cfg(test)]")[0]
            for maker, name in re.findall(r'(\w+)(?:::new)?\(\s*"(eventsink_\w+)"', source):
                histogram = maker in ("sizes", "times", "HistogramOpts")
                names |= {name + suffix for suffix in (("_bucket", "_sum", "_count") if histogram else ("",))}
        self.assertGreater(len(names), 30)
        return names

    def test_every_metric_that_is_asked_for_is_served(self):
        asked = [*self.queries(), *(one["expr"] for one in self.alerts())]
        asked += re.findall(r"query: (.*)", (CONFIG / "autoscaling/keda.yaml").read_text())
        asked += [json.dumps(variable) for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]]
        asked += re.findall(r"name: (eventsink_\w+)", (CONFIG / "autoscaling/hpa.yaml").read_text())
        found = {name for one in asked for name in re.findall(r"\beventsink_\w+", one)}
        self.assertGreater(len(found), 20)
        self.assertEqual(found - self.metrics(), set())

    def test_prometheus_can_read_every_query_of_the_dashboard(self):
        rules = [{"record": f"query:{number}", "expr": one} for number, one in enumerate(self.queries())]
        self.assertGreater(len(rules), 30)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
            file.flush()
            done = run("promtool", "check", "rules", "--lint=all", file.name)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_alerts_of_the_operator_fire_and_keep_silent(self):
        command = [program("promtool"), "test", "rules", "operator-alerts-test.yaml"]
        done = subprocess.run(command, cwd=CONFIG / "prometheus", capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_prometheus_rule_holds_exactly_the_alerts(self):
        groups = [group for name in ("alerts", "operator-alerts")
                  for group in documents(CONFIG / f"prometheus/{name}.yaml")[0]["groups"]]
        (rule,) = documents(CONFIG / "prometheus/prometheusrule.yaml")
        self.assertEqual(rule["spec"]["groups"], groups)

    def test_panels_have_names_and_places_of_their_own(self):
        panels = json.loads(DASHBOARD.read_text())["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
        self.assertEqual(len(places), len(panels))


class Documentation(unittest.TestCase):
    def test_each_condition_and_each_reason_has_its_place(self):
        text = (ROOT / "docs/operator.md").read_text()
        source = (ROOT / "crds/src/sink/conditions.rs").read_text()
        named = set(re.findall(r'&str = "(\w+)"', source)) - {"Ok", "Unknown"}
        self.assertGreater(len(named), 20)
        self.assertEqual({name for name in named if f"`{name}`" not in text}, set())

    def test_each_metric_of_the_operator_has_its_place(self):
        text = (ROOT / "docs/operator.md").read_text()
        for name in re.findall(r'"(eventsink_operator_\w+)"', (ROOT / "operator/src/metrics.rs").read_text()):
            self.assertIn(f"`{name}", text)

    def test_files_that_it_links_to_are_there(self):
        for page in ("README.md", "docs/operator.md", "charts/eventsink/README.md"):
            folder = (ROOT / page).parent
            for target in re.findall(r"\]\(([^)#:]+)", (ROOT / page).read_text()):
                self.assertTrue((folder / target).exists(), f"{page}: {target}")


if __name__ == "__main__":
    unittest.main()
