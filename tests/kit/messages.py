"""Requests as a publisher would build them."""

import itertools
import os

from kit import keys
from epki.v1 import common_pb2, enrollment_pb2, internal_pb2, renewal_pb2, revocation_pb2

_numbers = itertools.count(1)
_run = os.urandom(4).hex()


def name(prefix="req"):
    """A request id that nobody used before."""
    return f"{prefix}-{_run}-{next(_numbers)}"


def subject(cn, **facts):
    """The facts of a person called cn, by the local settings' template: first and last name."""
    first, _, last = cn.partition(" ")
    return common_pb2.Subject(first_name=first, last_name=last, **facts)


def key_choice(csr=None, worker_key=None, globalsign_key=None):
    """A device's key unless another is asked for."""
    if worker_key is not None:
        return common_pb2.KeyChoice(worker_key=worker_key)
    if globalsign_key is not None:
        return common_pb2.KeyChoice(globalsign_key=globalsign_key)
    return common_pb2.KeyChoice(csr=csr or keys.csr_pem(keys.new_key()))


def enroll(request_id, cn=None, csr=None, worker_key=None, globalsign_key=None, setting="vpn", **fields):
    choice = key_choice(csr, worker_key, globalsign_key)
    facts = fields.pop("subject", None) or subject(cn or f"Person {request_id}")
    return enrollment_pb2.EnrollmentRequest(request_id=request_id, setting=setting, subject=facts, key=choice, **fields)


def renew(request_id, target, csr=None, worker_key=None, globalsign_key=None, setting="vpn", **fields):
    choice = key_choice(csr, worker_key, globalsign_key)
    return renewal_pb2.RenewalRequest(request_id=request_id, target=target, setting=setting, key=choice, **fields)


def revoke(request_id, target, **fields):
    return revocation_pb2.RevocationRequest(request_id=request_id, target=target, **fields)


def resume(request_id, placed, action, at=-1):
    """What an operator decides about a parked event that stands at placed; at: offset of its PARKED record."""
    source = common_pb2.Source(topic=placed.topic, partition=placed.partition, offset=placed.offset)
    return internal_pb2.ResumeRequest(request_id=request_id, source=source, action=action, waiting_offset=at)


def by_request(request_id):
    return common_pb2.Target(request_id=request_id)


def by_serial(issuer, serial):
    return common_pb2.Target(serial=common_pb2.IssuerAndSerial(issuer=issuer, serial=serial))


def by_order(setting, order_id):
    return common_pb2.Target(order=common_pb2.SettingAndOrder(setting=setting, order_id=order_id))
