#!/usr/bin/env python3
"""Write the table by which the API server reads protobuf bodies.

Go clients, kubectl among them, send objects of built-in kinds as protobuf. The field numbers, the JSON names and whether
a zero is told apart from an absent value (a pointer in Go) are facts of the published Go modules k8s.io/api and
k8s.io/apimachinery; this script reads them from the struct tags and writes crates/apiserver/data/protobuf.json:

    kinds     "group/version/Kind" -> message
    messages  name -> {field number: [JSON name, type, shape, zero]}
              type   string, bool, int, bytes, a special type (Time ...) or a message
              shape  one, many, map, inline (the fields of the message are fields of its parent)
              zero   keep (absent differs from zero) or drop

    hack/kubernetes-protobuf.py     needs go, for its module client
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile

VERSION = "v0.36.0"
MODULES = ("k8s.io/api", "k8s.io/apimachinery")
ROOT = pathlib.Path(__file__).resolve().parent.parent

KINDS = {
    "api/core/v1": (
        "Binding ConfigMap Event Namespace Node PersistentVolume PersistentVolumeClaim Pod Secret Service ServiceAccount"),
    "api/authentication/v1": "SelfSubjectReview TokenRequest TokenReview",
    "api/authorization/v1": (
        "LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview"),
    "api/autoscaling/v1": "Scale",
    "api/coordination/v1": "Lease",
    "api/events/v1": "Event",
    "api/networking/v1": "NetworkPolicy",
    "api/node/v1": "RuntimeClass",
    "api/policy/v1": "Eviction",
    "api/storage/v1": "StorageClass",
    "apimachinery/pkg/apis/meta/v1": "DeleteOptions",
}
GROUPS = {
    "api/core/v1": "", "apimachinery/pkg/apis/meta/v1": "", "api/autoscaling/v1": "autoscaling", "api/policy/v1": "policy",
}
# Types with an encoding of their own, by their name in Go.
SPECIAL = {
    "metav1.Time": "Time", "metav1.MicroTime": "MicroTime", "resource.Quantity": "Quantity",
    "intstr.IntOrString": "IntOrString", "runtime.RawExtension": "Raw", "metav1.FieldsV1": "Raw",
}
SCALARS = {
    "string": "string", "bool": "bool", "int32": "int", "int64": "int", "int": "int", 
    "types.UID": "string", "types.NodeName": "string",
}
FIELD = re.compile(r"^\s*(?:(?P<name>\w+)\s+)?(?P<type>[^\s`]+)\s+`(?P<tags>[^`]*)`")


def modules(folder):
    """Where the two modules are unpacked."""
    environment = {"GOPATH": folder, "GOFLAGS": "-mod=mod -modcacherw", "HOME": folder}
    command = ["go", "mod", "download", "-json"] + [f"{m}@{VERSION}" for m in MODULES]

    text = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, env={**os.environ, **environment}).stdout
    found, decoder, at = {}, json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        entry, at = decoder.raw_decode(text, at)
        found[entry["Path"].split("/")[1]] = pathlib.Path(entry["Dir"])
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


class Package:
    """The types of one Go package."""

    def __init__(self, path, folder):
        self.path = path
        self.structs, self.aliases, self.imports = {}, {}, {}
        for source in sorted(folder.glob("*.go")):
            if not source.name.startswith("zz_") and not source.name.endswith(("_test.go", ".pb.go", "_swagger_doc_generated.go")):
                self.read(source.read_text())

    def read(self, text):
        for alias, target in re.findall(r'^\s*(?:import )?(\w+)?\s*"(k8s\.io/[\w/.-]+)"', text, re.M):
            self.imports[alias or target.rsplit("/", 1)[-1]] = target.removeprefix("k8s.io/")
        for name, body in re.findall(r"^type (\w+) struct \{\n(.*?)^\}", text, re.M | re.S):
            self.structs[name] = [m for line in body.splitlines() if (m := FIELD.match(line))]
        for name, target in re.findall(r"^type (\w+) ([\w\[\]*.]+)$", text, re.M):
            self.aliases[name] = target


class Tables:
    def __init__(self, roots):
        self.roots, self.packages, self.messages = roots, {}, {}

    def package(self, path):
        if path not in self.packages:
            module, _, rest = path.partition("/")
            self.packages[path] = Package(path, self.roots[module] / rest)
        return self.packages[path]

    def resolve(self, package, name):
        """A Go type as (type in the table, is it a list of the named type)."""
        if name in SCALARS:
            return SCALARS[name]
        qualified = name
        if "." not in name and package.path == "apimachinery/pkg/apis/meta/v1":
            qualified = "metav1." + name
        if "." in name:
            alias, short = name.split(".")
            target = package.imports.get(alias, "")
            if target == "apimachinery/pkg/apis/meta/v1":
                qualified = "metav1." + short
        if qualified in SPECIAL:
            return SPECIAL[qualified]
        if "." in name:
            return self.resolve(self.package(target), short)
        if name in package.structs:
            return self.message(package, name)
        return self.resolve(package, package.aliases[name])

    def named(self, package, name):
        """The package and text behind an alias of a list or map type, or None."""
        if "." in name:
            alias, short = name.split(".")
            package, name = self.package(package.imports[alias]) if alias in package.imports else package, short
        target = package.aliases.get(name, "")
        return (package, target) if target.startswith(("[]", "map[")) else None

    def message(self, package, name):
        full = package.path.removeprefix("api/").removeprefix("apimachinery/pkg/apis/").replace("/", ".") + "." + name
        if full in self.messages:
            return full
        fields = self.messages[full] = {}
        for match in package.structs[name]:
            tags = dict(re.findall(r'(\w+):"([^"]*)"', match["tags"]))
            if "protobuf" not in tags or tags["protobuf"] == "-":
                continue
            number = tags["protobuf"].split(",")[1]
            json_name, *options = tags["json"].split(",")
            fields[number] = self.field(package, match["type"], json_name, options)
        return full

    def field(self, package, go, json_name, options):
        pointer = go.startswith("*")
        go = go.lstrip("*")
        if "inline" in options:
            return ["", self.resolve(package, go), "inline", "drop"]
        zero = "keep" if pointer or not {"omitempty", "omitzero"} & set(options) else "drop"
        if named := (None if go.startswith(("[]", "map[")) else self.named(package, go)):
            package, go = named
        if go == "[]byte":
            return [json_name, "bytes", "one", zero]
        if go.startswith("[]"):
            return [json_name, self.resolve(package, go[2:].lstrip("*")), "many", zero]
        if go.startswith("map["):
            value = go.partition("]")[2]
            if value == "[]byte":
                return [json_name, "bytes", "map", zero]
            if self.named(package, value):
                return [json_name, "Strings", "map", zero]
            return [json_name, self.resolve(package, value), "map", zero]
        return [json_name, self.resolve(package, go), "one", zero]


def main():
    with tempfile.TemporaryDirectory() as folder:
        tables = Tables(modules(folder))
        kinds = {}
        for path, names in KINDS.items():
            group = GROUPS.get(path, path.split("/")[1] + ".k8s.io")
            for name in names.split():
                kinds[f"{group}/v1/{name}"] = tables.message(tables.package(path), name)
    path = ROOT / "crates/apiserver/data/protobuf.json"
    dump = lambda value: json.dumps(value, separators=(",", ":"))
    lines = [f"{dump(n)}:{dump(dict(sorted(f.items(), key=lambda i: int(i[0]))))}" for n, f in sorted(tables.messages.items())]
    path.write_text('{"kinds":' + json.dumps(kinds, indent=0, sort_keys=True) + ',\n"messages":{\n' + ",\n".join(lines) + "\n}}\n")
    print(f"{path.relative_to(ROOT)}: {len(kinds)} kinds, {len(lines)} messages, {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
