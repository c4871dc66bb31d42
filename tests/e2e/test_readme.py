"""The README's examples, as they stand there: built and run against a real stack."""

import os
import re
import subprocess

from kit import BUILD, TOP, messages
from epki.v1 import certificate_event_pb2 as events


def block(language):
    """The one fenced block of a language."""
    [code] = re.findall(rf"^```{language}\n(.*?)^```", (TOP / "README.md").read_text(), re.M | re.S)
    return code


def test_python_enrols_and_c_revokes(system, tmp_path):
    request = messages.name("readme")
    env = dict(os.environ, PYTHONPATH=str(BUILD / "python"))
    done = subprocess.run([BUILD / "venv/bin/python", "-c", block("python"), system.ca["KAFKA_BOOTSTRAP"], request],
                          capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0 and done.stdout.startswith("RESULT_ISSUED"), done.stderr
    issued = system.results.answer(request)
    assert issued.certificate.serial in done.stdout

    source, program = tmp_path / "revoke.c", tmp_path / "revoke"
    source.write_text(block("c"))
    generated = BUILD / "proto"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "rdkafka", "libprotobuf-c"], check=True,
                           capture_output=True, text=True).stdout.split()
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-o", program, source, f"-I{generated}",
                    *sorted(str(p) for p in generated.glob("epki/v1/*.pb-c.c")), *flags], check=True)
    revocation = messages.name("readme")
    subprocess.run([program, system.ca["KAFKA_BOOTSTRAP"], request, revocation], check=True, timeout=30)
    ended = system.results.answer(revocation)
    assert ended.result == events.RESULT_REVOKED and ended.target_request_id == request
