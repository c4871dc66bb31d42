"""The manifests against the official schemas, and against what the binary reads, serves and counts."""

import copy
import math
import os
import pathlib
import re
import subprocess
import urllib.parse

import kubernetes_validate
import pytest
import yaml

from render import load, render

TOP = pathlib.Path(__file__).resolve().parents[2]
K8S = TOP / "deploy/k8s"
WORKER = TOP / "build/epki-worker"
CUSTOM = {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
VERSIONS = ("1.28", "1.33")
ORDER_SECONDS = 6


def one(resources, kind, name="epki-worker"):
    (found,) = [r for r in resources if (r["kind"], r["metadata"]["name"]) == (kind, name)]
    return found


@pytest.fixture(scope="module")
def base():
    return render(K8S / "base")


@pytest.fixture(scope="module")
def pod(base):
    return one(base, "Deployment")["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def worker_yaml(base):
    return one(base, "ConfigMap")["data"]["worker.yaml"]


@pytest.fixture(scope="module")
def settings(worker_yaml):
    return yaml.safe_load(worker_yaml)


@pytest.fixture(scope="module")
def scaled():
    return one(render(K8S / "overlays/keda"), "ScaledObject")["spec"]


def source(path):
    return (TOP / path).read_text()


@pytest.fixture(scope="module")
def defaults():
    """Section and key -> default, as the worker itself says."""
    text = subprocess.run([WORKER, "settings"], capture_output=True, text=True, check=True).stdout
    found, section = {}, ""
    for line in text.splitlines():
        section = line.strip().split(":")[0] if re.match(r" *\w+:", line) else section
        row = re.match(r" +(\w+) .*\(default (\S+)\)$", line)
        if row:
            found[section, row.group(1)] = row.group(2)
    assert found["topics", "resume"] == "epki.resume" and ("time", "drain_ms") in found
    return found


def effective(settings, defaults, section, key):
    return int(settings.get(section, {}).get(key, defaults[section, key]))


# --- schemas ---

def everything():
    folders = [k.parent for k in sorted(K8S.rglob("kustomization.yaml"))]
    found = {}
    for folder in folders:
        for resource in render(folder):
            place = f"{folder.relative_to(K8S)}/{resource['kind']}/{resource['metadata']['name']}"
            found[place] = resource
    for resource in load(K8S / "secrets.example.yaml"):
        found[f"example/{resource['kind']}/{resource['metadata']['name']}"] = resource
    return found


@pytest.mark.parametrize("place,resource", everything().items(), ids=everything())
def test_official_schema(place, resource):
    if resource["kind"] in CUSTOM:
        custom_shape(resource)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(resource, version, strict=True)


def custom_shape(resource):
    groups = {"ScaledObject": "keda.sh/v1alpha1", "TriggerAuthentication": "keda.sh/v1alpha1",
              "PodMonitor": "monitoring.coreos.com/v1",
              "PrometheusRule": "monitoring.coreos.com/v1"}
    assert resource["apiVersion"] == groups[resource["kind"]]
    assert set(resource) == {"apiVersion", "kind", "metadata", "spec"}


@pytest.mark.parametrize("harm", [
    lambda d: d["spec"].update(replicas="two"),
    lambda d: d["spec"].update(replicaCount=2),
    lambda d: d["spec"]["template"]["spec"]["containers"][0].pop("name"),
])
def test_the_schemas_refuse(base, harm):
    deployment = copy.deepcopy(one(base, "Deployment"))
    harm(deployment)
    for version in VERSIONS:
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, version, strict=True)


def test_base_needs_no_custom_resource_and_holds_no_secret(base):
    assert {r["kind"] for r in base} == {"ConfigMap", "Deployment", "PodDisruptionBudget",
                                         "NetworkPolicy"}


# --- the pod ---

def test_rollout_and_disruption(base):
    spec = one(base, "Deployment")["spec"]
    assert spec["replicas"] == 2 and spec["minReadySeconds"] == 30
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    budget = one(base, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == labels and budget["maxUnavailable"] == 1
    assert one(base, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    for spread in spec["template"]["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == labels


def workloads():
    return {"Deployment": one(render(K8S / "base"), "Deployment"),
            "Job": one(render(K8S / "bootstrap"), "Job", "epki-bootstrap")}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_privileges(kind, pod):
    spec = workloads()[kind]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]}}
    assert "cpu" not in container["resources"]["limits"] and container["resources"]["requests"]
    assert "env" not in container and "envFrom" not in container
    assert spec["volumes"] == pod["volumes"]
    assert container["volumeMounts"] == pod["containers"][0]["volumeMounts"]


def test_user_and_arguments_are_the_image_s(pod):
    text = source("Dockerfile")
    user, group = re.search(r"^USER (\d+):(\d+)$", text, re.M).groups()
    security = pod["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (
        int(user), int(group), int(group))
    assert yaml.safe_load(re.search(r"^CMD (.*)$", text, re.M).group(1)) == pod["containers"][0]["args"]
    for workload in workloads().values():
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        version = re.search(r"project\(epki-worker VERSION (\S+)", source("CMakeLists.txt")).group(1)
        assert container["image"] == f"epki-worker:{version}"
        assert f'{container["args"][0]} --config FILE' in source("worker/cli/cli.c")
        assert "command" not in container


def test_probes_are_served(pod, settings):
    (container,) = pod["containers"]
    (port,) = container["ports"]
    assert (port["name"], port["containerPort"]) == ("admin", settings["admin"]["port"])
    assert settings["admin"]["address"] == "0.0.0.0"
    served = set(re.findall(r'strcmp\(url, "(/\w+)"\)', source("worker/ops/admin.c")))
    asked = {container[p]["httpGet"]["path"]
             for p in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked == {"/livez", "/readyz"} and asked <= served
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {container[p]["httpGet"]["port"]
            for p in ("startupProbe", "livenessProbe", "readinessProbe")} == {"admin"}
    (endpoint,) = one(render(K8S / "overlays/prometheus"),
                      "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "admin" and endpoint["path"] in served


def test_grace_outlasts_the_drain(pod, settings, defaults):
    # The committer and the adopter flush too; the consumer's close is bounded beside its flush.
    close = int(re.search(r"CLOSE_MS = (\d+)", source("worker/kafka/kafka.c")).group(1))
    bound = (effective(settings, defaults, "time", "drain_ms") + close
             + 3 * effective(settings, defaults, "kafka", "flush_ms"))
    assert pod["terminationGracePeriodSeconds"] * 1000 > bound + 10000


def test_a_bootstrap_runs_again_as_told():
    """A Job that was there before would not run: applied again it is unchanged, or cannot be changed."""
    told = {p: " ".join(source(p).replace("#", " ").split())
            for p in ("README.md", *(str(k.relative_to(TOP)) for k in K8S.rglob("*.yaml")))}
    apply = "kubectl apply -k deploy/k8s/bootstrap"
    assert [p for p, text in told.items() if apply in text] == ["deploy/k8s/bootstrap/kustomization.yaml"]
    (text,) = [t for t in told.values() if apply in t]
    (command,) = re.findall(r"kubectl delete.*job/epki-bootstrap(?= Whatever)", text)
    delete, *then = command.split(" && ")
    assert delete == "kubectl delete -k deploy/k8s/bootstrap --ignore-not-found" and then[0] == apply
    job = one(render(K8S / "bootstrap"), "Job", "epki-bootstrap")["spec"]
    assert int(re.search(r"--timeout=(\d+)s", then[1]).group(1)) > job["activeDeadlineSeconds"]


# --- the settings file ---

def mounted(pod):
    """Path in the pod -> (kind and name of its source, key)."""
    (mount,) = pod["containers"][0]["volumeMounts"]
    (volume,) = pod["volumes"]
    assert volume["name"] == mount["name"] and mount["readOnly"]
    # The worker refuses key-encryption keys that others may read.
    assert volume["projected"]["defaultMode"] == 0o440
    files = {}
    for entry in volume["projected"]["sources"]:
        ((kind, what),) = entry.items()
        for item in what["items"]:
            files[f"{mount['mountPath']}/{item['path']}"] = (kind, what["name"], item["key"])
    return files


def problems(text, pod, folder):
    """The problems that the worker finds in a settings file when the pod's files are there. One
    unknown key of ours keeps it from starting anything and shows that it has read to the end."""
    for path in mounted(pod):
        file = folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("replace-me\n")
    file = folder / "worker.yaml"
    file.write_text(text.replace("/etc/epki/", f"{folder}/etc/epki/") + "\nprobe_of_the_test: 1\n")
    done = subprocess.run([WORKER, "check", "--config", file], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 2 and "nothing was started" in done.stderr, done.stderr
    found = re.findall(rf"^{re.escape(str(file))}: (.*)$", done.stderr, re.M)
    assert "probe_of_the_test: unknown key" in found
    return [p for p in found if "probe_of_the_test" not in p]


def test_settings_are_accepted(worker_yaml, pod, tmp_path):
    assert problems(worker_yaml, pod, tmp_path) == []


@pytest.mark.parametrize("old,new,expected", [
    ("drain_ms: 60000", "drain_ms: never", "time.drain_ms"),
    ("https://system", "http://system", "accounts[0].url"),
    ("secret/redis-password", "secret/other", "redis.password_file"),
    ("trust/chain.pem", "chain.pem", "settings[0].chain_file"),
])
def test_wrong_settings_are_not(worker_yaml, pod, tmp_path, old, new, expected):
    assert old in worker_yaml
    (problem,) = problems(worker_yaml.replace(old, new), pod, tmp_path)
    assert problem.startswith(expected + ":")


def test_every_path_is_mounted_and_every_mount_is_used(worker_yaml, pod):
    named = set(re.findall(r"/etc/epki/\S+", worker_yaml))
    config = pod["containers"][0]["args"][-1]
    assert named | {config} == set(mounted(pod))
    assert mounted(pod)[config] == ("configMap", "epki-worker", "worker.yaml")


def test_secrets_are_by_reference_and_described(pod, worker_yaml):
    example = {("secret" if d["kind"] == "Secret" else "configMap", d["metadata"]["name"], key)
               for d in load(K8S / "secrets.example.yaml")
               for key in d.get("stringData", d.get("data"))}
    own = ("configMap", "epki-worker", "worker.yaml")
    assert example | {own} == set(mounted(pod).values())
    assert "sasl.password" not in worker_yaml


def run_with_the_example(worker_yaml, pod, folder, **instead):
    """What `run` says when the pod's files are those of the example, but for some keys."""
    values = {(d["metadata"]["name"], key): value for d in load(K8S / "secrets.example.yaml")
              for key, value in d.get("stringData", d.get("data")).items()}
    for path, (_, name, key) in mounted(pod).items():
        file = folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(values.get((name, key), "") + "\n")
        file.chmod(0o440)
        if key in instead:
            file.unlink()
            instead[key].rename(file)
    file = folder / "worker.yaml"
    file.write_text(worker_yaml.replace("/etc/epki/", f"{folder}/etc/epki/"))
    done = subprocess.run([WORKER, "run", "--config", file], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "nothing was started" in done.stderr, done.stderr
    return done.stderr


def test_the_example_cannot_be_used(worker_yaml, pod, tmp_path):
    """Everybody knows its keys. The worker refuses them, and says how to make others."""
    said = run_with_the_example(worker_yaml, pod, tmp_path)
    (found,) = re.findall(r"kek_file: (.*\n    .*)\n", said)
    assert "keks: a line without a colon" in found and "openssl rand -base64 32" in found


@pytest.mark.parametrize("where", ["README.md", "deploy/k8s/secrets.example.yaml"])
def test_the_key_that_the_documentation_makes_is_accepted(where, worker_yaml, pod, tmp_path):
    (command,) = re.findall(r"[`#] ?([^`#]*>keks\)?)", " ".join(source(where).split()))
    subprocess.run(["sh", "-c", f"umask 022; {command}"], cwd=tmp_path, check=True)
    said = run_with_the_example(worker_yaml, pod, tmp_path, keks=tmp_path / "keks")
    assert "kek_file" not in said and "chain_file" in said, said


def test_the_rights_that_the_start_needs_are_told():
    """Read and Write include Describe, but none of what is asked for by an admin request."""
    asked = {a.lower() for path in (TOP / "worker/kafka").glob("*.c")
             for a in re.findall(r"RD_KAFKA_ADMIN_OP_(\w+)", path.read_text())}
    told = source("deploy/k8s/secrets.example.yaml")
    (topics,) = re.findall(r"user needs (.*?) on the epki\.\* topics", " ".join(told.replace("#", " ").split()))
    assert asked == {"describeconfigs"} and topics == "Read, Write and DescribeConfigs"
    cluster = re.search(r'"with (epki\.) and.*?(IdempotentWrite).*?(\d\.\d)', source("worker/kafka/trouble.c"), re.S)
    assert all(word in told for word in cluster.groups())


def test_network_policy_lets_out_what_the_settings_name(base, settings):
    allowed = {p["port"] for rule in one(base, "NetworkPolicy")["spec"]["egress"]
               for p in rule["ports"] if p["protocol"] == "TCP"}
    urls = [settings["redis"]["url"]] + [a["url"] for a in settings["accounts"]]
    default = {"rediss": 6379, "redis": 6379, "https": 443}
    needed = {urllib.parse.urlsplit(u).port or default[urllib.parse.urlsplit(u).scheme]
              for u in urls}
    needed |= {int(b.rsplit(":", 1)[1]) for b in settings["kafka"]["bootstrap"].split(",")}
    assert needed | {53} == allowed


# --- metrics ---

@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """Metric -> its kind and, by label, the values; from what /metrics prints."""
    program = tmp_path_factory.mktemp("metrics") / "metrics"
    subprocess.run(["cc", "-std=c17", f"-I{TOP}/include", TOP / "tests/k8s/metrics.c",
                    TOP / "build/libew_base.a", "-lpthread", "-o", program], check=True)
    text = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    found = {}
    for name, labels in re.findall(r"^(epki_\w+)(?:\{(.*)\})? \S+$", text, re.M):
        owner = name if name in kinds else re.sub(r"_(bucket|sum|count)$", "", name)
        kind, values = found.setdefault(name, (kinds[owner], {}))
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            values.setdefault(label, set()).add(value)
    return found


def expressions():
    rules = one(render(K8S / "overlays/prometheus"), "PrometheusRule")["spec"]
    found = {r["alert"]: r["expr"] for g in rules["groups"] for r in g["rules"]}
    for trigger in one(render(K8S / "overlays/keda"), "ScaledObject")["spec"]["triggers"]:
        if trigger["type"] == "prometheus":
            found[f"keda {trigger['name']}"] = trigger["metadata"]["query"]
    return found


@pytest.mark.parametrize("name,expression", expressions().items(), ids=expressions())
def test_metrics_are_the_worker_s(name, expression, metrics):
    names = re.findall(r"epki_\w+", expression)
    assert names
    for metric in names:
        assert metric in metrics, f"{metric} is no metric of the worker"
    for metric in re.findall(r"(?:increase|rate)\((epki_\w+)", expression):
        assert metrics[metric][0] != "gauge", f"{metric} is no counter"
    for metric, label, values in re.findall(r'(epki_\w+)\{(\w+)=~?"([^"]*)"', expression):
        assert set(values.split("|")) <= metrics[metric][1][label]
    assert expression.count("(") == expression.count(")")


def test_every_metric_is_set_somewhere(metrics):
    enums = set(re.findall(r"EW_METRIC_\w+", source("include/base/metric.h")))
    text = "".join(p.read_text() for p in (TOP / "worker").rglob("*.c") if p.name != "metric.c")
    assert {e for e in enums if e not in text} <= {"EW_METRIC_BUILD_INFO", "EW_METRIC_COUNT"}
    assert len(metrics) >= len(enums) - 1 and "epki_backlog" not in metrics
    assert "issued" in metrics["epki_events_published_total"][1]["result"]


# --- scaling ---

def test_scaling_replaces_the_base_s_replicas(scaled):
    deployment = one(render(K8S / "overlays/keda"), "Deployment")
    assert "replicas" not in deployment["spec"]
    assert scaled["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    assert set(scaled) == {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval",
                           "cooldownPeriod", "fallback", "advanced", "triggers"}


def test_the_overlays_go_together(tmp_path):
    """In one kustomization, and one applied after the other: neither sets the number of workers back."""
    listed = [os.path.relpath(K8S / "overlays" / name, tmp_path) for name in ("keda", "prometheus")]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"kind": "Kustomization", "resources": listed}))
    kinds = {r["kind"] for r in render(tmp_path)}
    assert CUSTOM | {"Deployment"} <= kinds
    assert "replicas" not in one(render(tmp_path), "Deployment")["spec"]
    assert {r["kind"] for r in render(K8S / "overlays/prometheus")} == {"PodMonitor", "PrometheusRule"}


def test_bounds(base, scaled, pod, settings):
    low, high = scaled["minReplicaCount"], scaled["maxReplicaCount"]
    assert one(base, "Deployment")["spec"]["replicas"] == low >= 2
    assert low <= scaled["fallback"]["replicas"] <= high
    down = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    # One worker at a time, and the next only when the last has surely gone.
    assert [p["value"] for p in down["policies"]] == [1]
    assert down["policies"][0]["periodSeconds"] > pod["terminationGracePeriodSeconds"]
    assert down["stabilizationWindowSeconds"] >= scaled["cooldownPeriod"]


def trigger(scaled, name):
    (found,) = [t for t in scaled["triggers"] if t["name"] == name]
    assert all(isinstance(v, str) for v in found["metadata"].values()), "KEDA takes strings only"
    return found


def test_backlog_trigger(scaled, settings):
    metadata = trigger(scaled, "backlog")["metadata"]
    threshold = int(metadata["threshold"])
    (account,) = settings["accounts"]
    per_minute = account["orders_in_flight"] * 60 / ORDER_SECONDS
    assert per_minute <= threshold <= 3 * per_minute
    for name in ("backlog", "ceiling"):
        assert trigger(scaled, name)["type"] == "prometheus"
        assert trigger(scaled, name)["metadata"]["ignoreNullValues"] == "false"


def test_the_triggers_count_together(scaled):
    """KEDA gives the autoscaler one number of them all: for itself none can hold another back."""
    together = scaled["advanced"]["scalingModifiers"]
    assert set(re.findall(r"[a-z]\w*", together["formula"])) - {"min", "max"} == {t["name"] for t in scaled["triggers"]}
    assert together["target"] == trigger(scaled, "backlog")["metadata"]["threshold"]
    assert together["metricType"] == "AverageValue" and int(together["target"]) > 0, "or there is no fallback"
    lag = eval(together["formula"], {"min": min, "max": max, "backlog": 0, "ceiling": 1e9,
                                     "lag": int(trigger(scaled, "lag")["metadata"]["lagThreshold"])})
    assert lag == int(together["target"])


@pytest.mark.parametrize("backlog,lag,workers,held,expected", [
    (0, 0, 2, 0, 2), (900, 0, 2, 0, 3), (100000, 0, 2, 0, 6),
    (100000, 0, 3, 1, 3), (500, 0, 3, 1, 2), (0, 0, 3, 1, 2),
    (0, 9000, 2, 0, 5), (900, 100000, 2, 0, 6),
    (0, 100000, 2, 1, 2), (100000, 100000, 3, 1, 3), (100000, 0, 5, 1, 5), (0, 7000, 5, 1, 4),
])
def test_the_number_is_held_while_work_is_held(scaled, backlog, lag, workers, held, expected):
    assert trigger(scaled, "backlog")["metadata"]["query"] == "sum(epki_backlog_events)"
    ceiling = trigger(scaled, "ceiling")["metadata"]["query"]
    assert "count(epki_build_info)" in ceiling
    ceiling = ceiling.replace("count(epki_build_info)", str(workers))
    ceiling, times = re.subn(r"max\(\{__name__=~\"[^\"]*\"\}\)", str(held), ceiling)
    assert times == 1 and "scalar(" not in ceiling, "KEDA reads vectors only"
    together = scaled["advanced"]["scalingModifiers"]
    value = eval(together["formula"], {"min": min, "max": max, "backlog": backlog, "lag": lag,
                                       "ceiling": eval(ceiling, {"__builtins__": {}}), "__builtins__": {}})
    wanted = math.ceil(value / int(together["target"]))
    assert min(max(wanted, scaled["minReplicaCount"]), scaled["maxReplicaCount"]) == expected


def test_lag_trigger(scaled, settings, defaults):
    found = trigger(scaled, "lag")
    metadata = found["metadata"]
    assert found["type"] == "kafka"
    assert metadata["bootstrapServers"] == settings["kafka"]["bootstrap"]
    assert metadata["consumerGroup"] == settings["kafka"]["group"]
    assert metadata["topic"] == defaults["topics", "enrollment"]
    window = effective(settings, defaults, "kafka", "partition_items")
    assert int(metadata["lagThreshold"]) >= 2 * window
    assert metadata["excludePersistentLag"] == metadata["allowIdleConsumers"] == "false"
    assert metadata["limitToPartitionsWithLag"] == "false"
    overlay = render(K8S / "overlays/keda")
    login = one(overlay, "TriggerAuthentication", found["authenticationRef"]["name"])["spec"]
    example = one(load(K8S / "secrets.example.yaml"), "Secret", "epki-worker-kafka")
    assert {r["key"] for r in login["secretTargetRef"]} == set(example["stringData"]) - {"secret.properties"}
    assert {r["parameter"] for r in login["secretTargetRef"]} == {"ca", "cert", "key"}


# --- the renderer ---

@pytest.mark.parametrize("text,what", [
    ("kind: Kustomization\nresources: []\nimages: []\n", "unsupported"),
    ("kind: Kustomization\nresources: [../outside.yaml]\n", "not in or below"),
    ("kind: Kustomization\nresources: [a.yaml, a.yaml]\n", "twice"),
    ("kind: Kustomization\nresources: [a.yaml]\npatches:\n"
     "- {target: {kind: Job, name: x}, patch: ''}\n", "matches 0"),
])
def test_the_renderer_refuses_what_it_does_not_know(tmp_path, text, what):
    folder = tmp_path / "k"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(text)
    (folder / "a.yaml").write_text("kind: Secret\nmetadata: {name: a}\n")
    (tmp_path / "outside.yaml").write_text("kind: Secret\nmetadata: {name: b}\n")
    with pytest.raises(ValueError, match=what):
        render(folder)
