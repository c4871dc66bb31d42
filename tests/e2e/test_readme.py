"""The README's examples, as they stand there: built and run against a real stack."""

import os
import re
import subprocess

from kit import BUILD, TOP, messages
from epki.v1 import certificate_event_pb2 as events
from epki.v1 import common_pb2


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


def test_a_sealed_key_is_opened(system, tmp_path):
    choice = common_pb2.WorkerKey(type="KEY_TYPE_EC_P256", recipient_certificate=system.recipient.der)
    certificate = system.issue(messages.enroll(messages.name("sealed"), worker_key=choice)).certificate
    (tmp_path / "sealed_pin").write_bytes(certificate.sealed_pin)
    (tmp_path / "sealed_pkcs12").write_bytes(certificate.sealed_pkcs12)
    (tmp_path / "recipients.pem").write_bytes(system.recipient.pem)
    system.recipient.write_key(tmp_path / "recipient.key")
    [lines] = re.findall(r"^```sh\n(openssl cms .*?)^```", (TOP / "README.md").read_text(), re.M | re.S)
    done = subprocess.run(["sh", "-e", "-c", lines], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Certificate bag" in done.stderr and "Keybag" in done.stderr, done.stderr
