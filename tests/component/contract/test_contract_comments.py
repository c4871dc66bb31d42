"""Each field of proto/epki/v1 says what it is: whoever writes a client reads nothing else."""

import pathlib
import subprocess

import golden
import pytest
from google.protobuf import descriptor_pb2

FOLDER = golden.ROOT / "proto"
FIELD = descriptor_pb2.DescriptorProto.FIELD_FIELD_NUMBER
VALUE = descriptor_pb2.EnumDescriptorProto.VALUE_FIELD_NUMBER
MESSAGES = descriptor_pb2.FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER
ENUMS = descriptor_pb2.FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER


def described(folder, scratch):
    """The files of a folder with their comments. Imports are compiled along, and are none of these."""
    out = scratch / "described"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.proto"))
    subprocess.run(["protoc", "--include_source_info", f"--proto_path={folder}", f"--descriptor_set_out={out}", *names],
                   check=True)
    found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    assert sorted(file.name for file in found) == names
    return found


def silent(files):
    """What has no comment of its own, before it or behind it. A value may be covered by its enum's."""
    quiet = []
    for file in files:
        told = {tuple(at.path) for at in file.source_code_info.location
                if at.leading_comments.strip() or at.trailing_comments.strip()}
        for m, message in enumerate(file.message_type):
            assert not message.nested_type and not message.enum_type
            quiet += [f"{message.name}.{field.name}" for f, field in enumerate(message.field)
                      if (MESSAGES, m, FIELD, f) not in told]
        for e, enum in enumerate(file.enum_type):
            quiet += [f"{enum.name}.{value.name}" for v, value in enumerate(enum.value)
                      if not {(ENUMS, e), (ENUMS, e, VALUE, v)} & told]
    return quiet


def test_every_field_and_enum_has_a_comment(tmp_path):
    files = described(FOLDER, tmp_path)
    assert sum(len(message.field) for file in files for message in file.message_type) > 100
    assert silent(files) == []


SAMPLE = """\
syntax = "proto3";
// Of the message: its fields are not covered by it.
message M {
  string before = 1; // its own
  // Its own, above.
  string above = 2;
  oneof one {
    string alone = 3; /* its own */
  }
}
// Covers all its values.
enum Covered { COVERED_UNSPECIFIED = 0; COVERED_ONE = 1; }
"""


@pytest.mark.parametrize("comment, missing", [
    (" // its own", ["M.before"]),
    ("  // Its own, above.\n", ["M.above"]),
    (" /* its own */", ["M.alone"]),
    ("// Covers all its values.\n", ["Covered.COVERED_UNSPECIFIED", "Covered.COVERED_ONE"]),
    ("// Of the message: its fields are not covered by it.\n", []),
])
def test_a_comment_that_goes_is_missed(tmp_path, comment, missing):
    assert SAMPLE.count(comment) == 1
    folder = pathlib.Path(tmp_path, "sample")
    folder.mkdir()
    (folder / "sample.proto").write_text(SAMPLE.replace(comment, ""), encoding="utf-8")
    assert silent(described(folder, tmp_path)) == missing
