#!/usr/bin/env python3
"""Makes the fuzz targets' corpora. usage: corpus.py DIR -> DIR/TARGET/SEED

Seeds are kept readable in tests/fuzz/seeds/TARGET: NAME.yaml and NAME.pem as they are; NAME.hex, bytes with comments;
NAME.txtpb, protobuf text whose first line is `# MESSAGE BYTE`, the byte that selects it, and where @N@
stands for N letters; NAME.xml, a reply of the CA, as are those of the unit tests. past_* are one step
past a limit: were it not kept, the target would see it at once.
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORDER, GET_ORDERS, GET_ORDER, GET_PROFILES, CANCEL, REVOKE = range(6)
VERBS = {"orders": GET_ORDERS, "order_detail": GET_ORDER, "profiles": GET_PROFILES,
         "cancel": CANCEL, "revoke": REVOKE}
OK, FAULT = 0, 4


def from_hex(path):
    lines = [line.split("#")[0] for line in path.read_text().splitlines()]
    return bytes.fromhex("".join(lines))


def from_text(path):
    message, selector = path.read_text().splitlines()[0].lstrip("# ").split()
    command = ["protoc", f"--proto_path={ROOT}/proto", f"--encode={message}"]
    command += sorted(str(proto) for proto in ROOT.glob("proto/epki/v1/*.proto"))
    text = re.sub(rb"@(\d+)@", lambda match: b"x" * int(match[1]), path.read_bytes())
    packed = subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True)
    return bytes([int(selector)]) + packed.stdout


def reply(path):
    name = path.stem
    verb = max((key for key in VERBS if name.startswith(key)), key=len, default="")
    status = FAULT if name.startswith("fault") else OK
    return bytes([VERBS.get(verb, ORDER), status]) + path.read_bytes()


READERS = {".yaml": pathlib.Path.read_bytes, ".pem": pathlib.Path.read_bytes, ".hex": from_hex, ".txtpb": from_text, ".xml": reply}


def main():
    out = pathlib.Path(sys.argv[1])
    for folder in sorted((ROOT / "tests/fuzz/seeds").iterdir()):
        target = out / folder.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for seed in sorted(folder.iterdir()):
            (target / seed.stem).write_bytes(READERS[seed.suffix](seed))
    for path in sorted(ROOT.glob("tests/unit/*/replies/*")):
        (out / "soap_reply" / f"{path.parent.parent.name}_{path.stem}").write_bytes(reply(path))


main()
