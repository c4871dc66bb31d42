"""The contract as the official runtime sees it: golden messages and the list of fields.

Run as a program it prints the bytes of a text-form message, or the list of fields:
    tests/support/protos && PYTHONPATH=build/python build/venv/bin/python \\
        tests/component/contract/golden.py NAME|fields
"""

import importlib
import pathlib
import sys

from google.protobuf import descriptor_pb2, text_format

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "tests/contract"
MODULES = [
    importlib.import_module(f"epki.v1.{path.stem}_pb2")
    for path in sorted((ROOT / "proto/epki/v1").glob("*.proto"))
]
TYPES = {name: getattr(m, name) for m in MODULES for name in m.DESCRIPTOR.message_types_by_name}
NAMES = sorted(path.stem for path in FOLDER.glob("*.txtpb"))


def stated(name):
    """The message that the text form says."""
    text = (FOLDER / f"{name}.txtpb").read_text(encoding="utf-8")
    head = text.split("\n", 1)[0]
    assert head.startswith("# proto-message: "), head
    return text_format.Parse(text, TYPES[head.removeprefix("# proto-message: ")]())


def golden_bytes(name):
    return bytes.fromhex((FOLDER / f"{name}.hex").read_text())


def as_hex(data):
    return "".join(data[i : i + 40].hex() + "\n" for i in range(0, len(data), 40))


def fields():
    """One line for everything in the contract that must not change."""
    kinds = {v: k.removeprefix("TYPE_").lower() for k, v in descriptor_pb2.FieldDescriptorProto.Type.items()}
    lines = []
    for module in MODULES:
        proto = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        assert proto.syntax == "proto3" and proto.package == "epki.v1"
        for message in proto.message_type:
            assert not message.nested_type and not message.enum_type
            for f in message.field:
                kind = f.type_name.removeprefix(".epki.v1.") or kinds[f.type]
                many = "repeated " if f.label == f.LABEL_REPEATED else ""
                choice = f" oneof {message.oneof_decl[f.oneof_index].name}" if f.HasField("oneof_index") else ""
                lines.append(f"{message.name}.{f.name} = {f.number} {many}{kind}{choice}")
        for enum in proto.enum_type:
            lines += [f"{enum.name}.{v.name} = {v.number}" for v in enum.value]
    return sorted(lines)


if __name__ == "__main__":
    if sys.argv[1] == "fields":
        print("\n".join(fields()))
    else:
        print(as_hex(stated(sys.argv[1]).SerializeToString(deterministic=True)), end="")
