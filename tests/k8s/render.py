"""What `kustomize build` gives for the part of kustomize that deploy/k8s uses: resources and JSON
patches. Anything else in a kustomization is refused, so that nothing is left out unseen."""

import copy
import pathlib

import yaml

KEYS = {"apiVersion", "kind", "resources", "patches"}


def load(path):
    return [d for d in yaml.safe_load_all(path.read_text()) if d is not None]


def patched(resource, operations):
    result = copy.deepcopy(resource)
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        place = result
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        last = int(last) if isinstance(place, list) else last
        if operation["op"] == "remove":
            del place[last]
        elif operation["op"] == "replace":
            place[last]  # must be there
            place[last] = operation["value"]
        else:
            raise ValueError(f"unsupported operation {operation['op']}")
    return result


def render(folder):
    folder = pathlib.Path(folder).resolve()
    (kustomization,) = load(folder / "kustomization.yaml")
    unknown = set(kustomization) - KEYS
    if unknown or kustomization["kind"] != "Kustomization":
        raise ValueError(f"{folder}: unsupported {sorted(unknown)}")
    resources = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            resources += render(path)
        elif folder in path.parents:
            resources += load(path)
        else:
            raise ValueError(f"{path} is not in or below {folder}")
    for patch in kustomization.get("patches", []):
        target = patch["target"]
        hits = [i for i, r in enumerate(resources)
                if (r["kind"], r["metadata"]["name"]) == (target["kind"], target["name"])]
        if len(hits) != 1:
            raise ValueError(f"{folder}: {target} matches {len(hits)} resources")
        resources[hits[0]] = patched(resources[hits[0]], yaml.safe_load(patch["patch"]))
    names = [(r["kind"], r["metadata"]["name"]) for r in resources]
    if len(names) != len(set(names)):
        raise ValueError(f"{folder}: a resource is there twice: {names}")
    return resources
