"""The chart: what it renders is valid and restricted, it grants what is written here and no more, it refuses what it does not
know, and what is off by default is not there."""

import json
import pathlib
import re
import shutil
import tempfile
import unittest

import yaml
from rigs import CHART, KUBERNETES, ROOT, complaints, documents, helm, render

EVERYTHING = (
    "replicas=2", "rbac.aggregate=true", "serviceMonitor.enabled=true", "podMonitor.enabled=true",
    "networkPolicy.enabled=true", "podDisruptionBudget.enabled=true", "worker.networkPolicy=true",
    'serviceMonitor.labels={"release":"prometheus"}', 'networkPolicy.apiServerCidrs=["10.0.0.1/32","fd00::1/128"]',
    'networkPolicy.scrapeFrom=[{"namespaceSelector":{}}]', 'networkPolicy.extraEgress=[{"ports":[{"port":3128}]}]',
    'imagePullSecrets=[{"name":"registry"}]', 'tolerations=[{"key":"infra","operator":"Exists"}]',
    'affinity={"nodeAffinity":{}}', 'nodeSelector={"disk":"fast"}', 'priorityClassName="high"',
    'podLabels={"team":"data","app.kubernetes.io/name":"other"}', 'podAnnotations={"note":"a"}',
    'serviceAccount.annotations={"note":"a"}', f'image.digest="sha256:{"0" * 64}"',
)
NAMESPACED = ('watchNamespaces=["a","b"]',)
SETS = {
    "as it comes": (),
    "everything": EVERYTHING,
    "in two namespaces": NAMESPACED,
    "everything in two namespaces": EVERYTHING + NAMESPACED,
    "monitored sink by sink": ("worker.podMonitor=true",),
    "without anything of the cluster": ("crds.install=false", "rbac.create=false", "serviceAccount.create=false",
                                        'serviceAccount.name="mine"'),
}
# What the operator does with the API server, by its own account.
RIGHTS = {
    ("eventsink.dev", "eventsinks"): "list watch",
    ("eventsink.dev", "eventsinks/status"): "patch",
    ("apps", "deployments"): "get list watch create patch",
    ("", "configmaps"): "get list watch create patch",
    ("", "secrets"): "get list watch create patch",
    ("", "serviceaccounts"): "get list watch create patch delete",
    ("policy", "poddisruptionbudgets"): "get list watch create patch delete",
    ("", "pods"): "list",
    ("", "persistentvolumeclaims"): "get",
    ("events.k8s.io", "events"): "create patch",
}
REFUSED = {
    'imag={"tag":"x"}': "additional properties 'imag' not allowed",
    'image.tags="x"': "additional properties 'tags' not allowed",
    "replicas=-1": "at '/replicas': minimum: got -1, want 0",
    'replicas="two"': "at '/replicas': got string, want integer",
    'watchNamespaces="a"': "at '/watchNamespaces': got string, want array",
    'watchNamespaces=["Not_a_name"]': "at '/watchNamespaces/0': 'Not_a_name' does not match pattern",
    'watchNamespaces=["a","a"]': "at '/watchNamespaces': items at 0 and 1 are equal",
    'image.digest="0123"': "at '/image/digest': '0123' does not match pattern",
    'image.repository="eventsink-operator:1"': "at '/image/repository': 'eventsink-operator:1' does not match pattern",
    'image.pullPolicy="Sometimes"': "at '/image/pullPolicy': value must be one of 'IfNotPresent', 'Always', 'Never'",
    'podMonitor.interval="30"': "at '/podMonitor/interval': '30' does not match pattern",
    'networkPolicy.apiServerCidrs=["10.0.0.1"]': "at '/networkPolicy/apiServerCidrs/0': '10.0.0.1' does not match",
    "networkPolicy.apiServerPorts=[0]": "at '/networkPolicy/apiServerPorts/0': minimum: got 0, want 1",
    "podLabels={\"a\":1}": "at '/podLabels/a': got number, want string",
    'resources={"request":{}}': "additional properties 'request' not allowed",
    "serviceAccount.create=false": "serviceAccount.name: name the account that the operator shall use",
}


def kinds(objects):
    return {one["kind"] for one in objects}


def of_kind(objects, kind):
    return [one for one in objects if one["kind"] == kind]


def rights(rules):
    return {
        (group, resource): " ".join(rule["verbs"])
        for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]
    }


class Chart(unittest.TestCase):
    def test_helm_finds_nothing_wrong(self):
        helm("lint", "--strict", str(CHART))

    def test_everything_that_it_renders_is_valid_on_the_oldest_and_the_newest_kubernetes(self):
        for name, settings in SETS.items():
            for version in KUBERNETES:
                with self.subTest(name, version=version):
                    objects = render(*settings)
                    self.assertEqual(complaints(objects, version), [])

    def test_no_object_is_rendered_twice(self):
        for name, settings in SETS.items():
            with self.subTest(name):
                names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
                         for one in render(*settings)]
                self.assertEqual(len(names), len(set(names)), names)

    def test_what_is_optional_is_off(self):
        self.assertEqual(kinds(render()), {
            "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
            "Deployment",
        })

    def test_values_that_it_does_not_know_are_refused_with_a_word_about_them(self):
        for setting, words in REFUSED.items():
            with self.subTest(setting):
                with self.assertRaises(RuntimeError) as refusal:
                    render(setting)
                self.assertIn(words, str(refusal.exception))

    def test_workers_are_not_scraped_twice(self):
        with self.assertRaisesRegex(RuntimeError, "choose one of them"):
            render("podMonitor.enabled=true", "worker.podMonitor=true")

    def test_a_cluster_that_is_too_old_is_refused(self):
        with self.assertRaisesRegex(RuntimeError, "incompatible with Kubernetes"):
            helm("template", str(CHART), "--kube-version", "1.28.0")

    def test_every_object_of_a_namespace_names_it(self):
        of_the_cluster = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
        for one in render(*EVERYTHING, *NAMESPACED):
            if one["kind"] not in of_the_cluster:
                self.assertIn(one["metadata"].get("namespace"), ("sinks", "a", "b"), one["metadata"]["name"])


class Definition(unittest.TestCase):
    def test_it_is_the_one_of_the_types_and_stays_when_the_release_goes(self):
        (written,) = documents(ROOT / "crds/yaml/eventsinks.yaml")
        (rendered,) = of_kind(render(), "CustomResourceDefinition")
        metadata = rendered.pop("metadata")
        self.assertEqual(metadata["annotations"], {"helm.sh/resource-policy": "keep"})
        self.assertEqual(metadata["name"], written.pop("metadata")["name"])
        self.assertEqual(rendered, written)

    def test_it_may_go_with_the_release(self):
        (rendered,) = of_kind(render("crds.keep=false"), "CustomResourceDefinition")
        self.assertNotIn("annotations", rendered["metadata"])

    def test_its_numbers_are_written_as_they_were(self):
        text = (ROOT / "crds/yaml/eventsinks.yaml").read_text().split("\nspec:\n", 1)[1].strip()
        self.assertIn(text, helm("template", str(CHART)))


class Rights(unittest.TestCase):
    def test_the_cluster_role_holds_what_the_operator_uses_and_no_more(self):
        (role,) = of_kind(render(), "ClusterRole")
        self.assertEqual(rights(role["rules"]), RIGHTS)

    def test_two_switches_ask_for_more(self):
        (role,) = of_kind(render("worker.networkPolicy=true", "worker.podMonitor=true"), "ClusterRole")
        self.assertEqual(rights(role["rules"]), RIGHTS | {
            ("networking.k8s.io", "networkpolicies"): "get list watch create patch",
            ("monitoring.coreos.com", "podmonitors"): "get create patch",
        })

    def test_in_namespaces_nothing_is_granted_on_the_cluster(self):
        objects = render(*NAMESPACED)
        self.assertFalse(kinds(objects) & {"ClusterRole", "ClusterRoleBinding"})
        roles = {one["metadata"]["namespace"]: rights(one["rules"]) for one in of_kind(objects, "Role")}
        leases = {("coordination.k8s.io", "leases"): "get create update"}
        self.assertEqual(roles, {"a": RIGHTS, "b": RIGHTS, "sinks": leases})

    def test_leases_are_touched_in_the_own_namespace_only(self):
        (role,) = of_kind(render(), "Role")
        self.assertEqual(role["metadata"]["namespace"], "sinks")
        self.assertEqual(rights(role["rules"]), {("coordination.k8s.io", "leases"): "get create update"})

    def test_every_binding_is_of_a_role_that_is_there_and_of_the_operators_account(self):
        for settings in SETS.values():
            objects = render(*settings)
            roles = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects}
            (deployment,) = of_kind(objects, "Deployment")
            account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
            for one in of_kind(objects, "RoleBinding") + of_kind(objects, "ClusterRoleBinding"):
                role = (one["roleRef"]["kind"], one["metadata"].get("namespace"), one["roleRef"]["name"])
                self.assertIn(role, roles)
                self.assertEqual(one["subjects"], [{"kind": "ServiceAccount", "name": account, "namespace": "sinks"}])

    def test_every_rule_says_why(self):
        for file in ("_rules.tpl", "rbac.yaml", "userroles.yaml"):
            lines = (CHART / "templates" / file).read_text().splitlines()
            for above, line in zip(lines, lines[1:]):
                if line.strip().startswith("- apiGroups:"):
                    reasoned = above.strip().startswith("#") or file == "userroles.yaml" and "verbs" in above
                    self.assertTrue(reasoned, f"{file}: {line}")

    def test_nobody_is_granted_a_wildcard(self):
        for settings in SETS.values():
            for one in render(*settings):
                self.assertNotIn("*", json.dumps(one.get("rules", "")))


class Pod(unittest.TestCase):
    def test_it_is_restricted_whatever_is_set(self):
        for name, settings in SETS.items():
            with self.subTest(name):
                (deployment,) = of_kind(render(*settings), "Deployment")
                pod = deployment["spec"]["template"]["spec"]
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertFalse({"hostNetwork", "hostPID", "hostIPC", "volumes"} & set(pod))
                (container,) = pod["containers"]
                self.assertEqual(container["securityContext"], {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                })

    def test_two_versions_never_work_side_by_side(self):
        (deployment,) = of_kind(render(), "Deployment")
        self.assertEqual(deployment["spec"]["strategy"], {"type": "Recreate"})
        self.assertEqual(deployment["spec"]["replicas"], 1)

    def test_it_is_probed_where_it_answers(self):
        (deployment,) = of_kind(render(), "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        paths = {probe: container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
        self.assertEqual(paths, {"livenessProbe": "/health", "readinessProbe": "/ready"})
        routes = (ROOT / "operator/src/http.rs").read_text()
        for path in paths.values():
            self.assertIn(f'.route("{path}"', routes)

    def test_every_flag_is_one_of_the_operator(self):
        source = (ROOT / "operator/src/args.rs").read_text()
        fields = re.findall(r"#\[arg\((?:[^()]|\([^()]*\))*\)\]\s*pub (\w+):", source)
        known = {field.replace("_", "-") for field in fields}
        (deployment,) = of_kind(render(*EVERYTHING, *NAMESPACED), "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        verb, *flags = container["args"]
        self.assertEqual(verb, "run")
        given = {flag.split("=")[0].removeprefix("--") for flag in flags}
        self.assertEqual(given - known, set())

    def test_labels_that_find_it_cannot_be_overwritten(self):
        (deployment,) = of_kind(render(*EVERYTHING), "Deployment")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        wanted = deployment["spec"]["selector"]["matchLabels"]
        self.assertEqual(wanted, {key: labels[key] for key in wanted})
        self.assertEqual(labels["team"], "data")

    def test_images_go_by_digest_then_tag_then_version(self):
        version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
        digest = f"sha256:{'0' * 64}"
        for settings, image in (
            ((), f"eventsink-operator:{version}"),
            (('image.tag="2"',), "eventsink-operator:2"),
            (('image.tag="2"', f'image.digest="{digest}"'), f"eventsink-operator@{digest}"),
            (('image.repository="registry:5000/a/b"',), f"registry:5000/a/b:{version}"),
        ):
            (deployment,) = of_kind(render(*settings), "Deployment")
            self.assertEqual(deployment["spec"]["template"]["spec"]["containers"][0]["image"], image)


class Catalogue(unittest.TestCase):
    """What Artifact Hub shows of the chart."""

    def annotation(self, name):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        return yaml.safe_load(chart["annotations"][f"artifacthub.io/{name}"])

    def test_its_example_is_the_first_sample(self):
        self.assertEqual(self.annotation("crdsExamples"), documents(ROOT / "config/samples/s3.yaml"))

    def test_its_images_are_those_that_come_without_any_setting(self):
        (deployment,) = of_kind(render(), "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (worker,) = [flag.split("=")[1] for flag in container["args"] if flag.startswith("--worker-image=")]
        listed = {one["name"]: one["image"] for one in self.annotation("images")}
        self.assertEqual(listed, {"operator": container["image"], "worker": worker})

    def test_its_definition_is_the_one_that_is_installed(self):
        (rendered,) = of_kind(render(), "CustomResourceDefinition")
        (listed,) = self.annotation("crds")
        self.assertEqual((listed["name"], listed["kind"]), (rendered["metadata"]["name"], rendered["spec"]["names"]["kind"]))
        self.assertIn(listed["version"], [version["name"] for version in rendered["spec"]["versions"]])


class Monitoring(unittest.TestCase):
    def test_monitors_find_what_the_operator_labels(self):
        source = (ROOT / "operator/src/build/mod.rs").read_text()
        (monitor,) = of_kind(render("podMonitor.enabled=true"), "PodMonitor")
        for key, value in monitor["spec"]["selector"]["matchLabels"].items():
            self.assertIn(f'"{key}"', source)
            self.assertIn(f'"{value}"', source)

    def test_the_service_monitor_finds_the_service(self):
        objects = render("serviceMonitor.enabled=true")
        (service,), (monitor,) = of_kind(objects, "Service"), of_kind(objects, "ServiceMonitor")
        wanted = monitor["spec"]["selector"]["matchLabels"]
        self.assertLessEqual(wanted.items(), service["metadata"]["labels"].items())
        (deployment,) = of_kind(objects, "Deployment")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        self.assertLessEqual(service["spec"]["selector"].items(), labels.items())

    def test_jobs_have_the_names_that_the_alerts_go_by(self):
        objects = render("serviceMonitor.enabled=true", "podMonitor.enabled=true")
        alerts = (ROOT / "config/prometheus/prometheusrule.yaml").read_text()
        named = set(re.findall(r'job="([^"]+)"', alerts))
        endpoints = of_kind(objects, "ServiceMonitor")[0]["spec"]["endpoints"]
        endpoints += of_kind(objects, "PodMonitor")[0]["spec"]["podMetricsEndpoints"]
        given = {rule["replacement"] for one in endpoints for rule in one["relabelings"] if rule["targetLabel"] == "job"}
        self.assertEqual(given, named)


def notes(settings):
    """What `helm install` says at its end; without a cluster only another template can tell it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(CHART, folder, dirs_exist_ok=True)
        teller = pathlib.Path(folder) / "templates/teller.yaml"
        teller.write_text('notes: {{ include (print .Template.BasePath "/NOTES.txt") . | quote }}')
        flags = [part for setting in settings for part in ("--set-json", setting)]
        text = helm("template", folder, "--namespace", "sinks", "--show-only", "templates/teller.yaml", *flags)
        return yaml.safe_load(text)["notes"]


class Notes(unittest.TestCase):
    def test_they_say_what_comes_next(self):
        for settings, words in (
            ((), "looks after all namespaces."),
            (NAMESPACED, "looks after these namespaces: a, b."),
            (("crds.install=false",), "The operator waits until it is there"),
            (("rbac.create=false",), "needs the rules of this chart from you"),
        ):
            self.assertIn(words, " ".join(notes(settings).split()))

    def test_files_that_they_name_are_there(self):
        text = (CHART / "templates/NOTES.txt").read_text()
        for path in re.findall(r"\b(?:config|crds)/[\w./-]+\w", text):
            self.assertTrue((ROOT / path).exists(), path)


if __name__ == "__main__":
    unittest.main()
