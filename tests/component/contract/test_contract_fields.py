"""Nothing in proto/epki/v1 is renumbered, renamed, retyped or dropped."""

import re

import golden

LISTED = (golden.FOLDER / "fields.txt").read_text().splitlines()


def test_listed_fields_are_as_they_were():
    gone = [line for line in LISTED if line not in golden.fields()]
    assert gone == [], "the contract has changed under those who use it"


def test_new_fields_are_listed():
    new = [line for line in golden.fields() if line not in LISTED]
    assert new == [], "add these lines to tests/contract/fields.txt, and values to a golden message"


def test_enums_begin_with_unspecified():
    zeros = [line for line in golden.fields() if line.endswith(" = 0")]
    enums = {e.name for m in golden.MODULES for e in m.DESCRIPTOR.enum_types_by_name.values()}
    assert {z.split(".")[0] for z in zeros} == enums
    assert all(re.search(r"_UNSPECIFIED = 0$", z) for z in zeros)


def test_request_id_is_field_one_of_every_request():
    """The worker reads it even from a message that it refuses."""
    for name in ("EnrollmentRequest", "RenewalRequest", "RevocationRequest"):
        assert f"{name}.request_id = 1 string" in golden.fields()


def test_a_request_is_the_first_message_of_its_file():
    """Schema-registry frames name it by index 0, and the worker takes no other."""
    for name in ("EnrollmentRequest", "RenewalRequest", "RevocationRequest"):
        assert next(iter(golden.TYPES[name].DESCRIPTOR.file.message_types_by_name)) == name
