"""The golden bytes read and written by the official Python runtime."""

import golden
import pytest


def walk(message, seen):
    for field, value in message.ListFields():
        seen.add((message.DESCRIPTOR.name, field.name))
        if field.message_type:
            for part in value if field.label == field.LABEL_REPEATED else [value]:
                walk(part, seen)


@pytest.mark.parametrize("name", golden.NAMES)
def test_bytes_say_what_the_text_says(name):
    message = golden.stated(name)
    read = type(message).FromString(golden.golden_bytes(name))
    assert read == message


@pytest.mark.parametrize("name", golden.NAMES)
def test_message_is_written_to_these_bytes(name):
    assert golden.stated(name).SerializeToString(deterministic=True) == golden.golden_bytes(name)


def test_every_field_is_set_somewhere():
    seen = set()
    for name in golden.NAMES:
        walk(golden.stated(name), seen)
    every = {(t, f.name) for t, cls in golden.TYPES.items() for f in cls.DESCRIPTOR.fields}
    assert every - seen == set()


def test_each_text_has_its_bytes():
    assert {p.stem for p in golden.FOLDER.glob("*.hex")} == set(golden.NAMES)
