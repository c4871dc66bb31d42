"""What a worker's settings file allows, as far as it decides what an event comes to."""

import dataclasses
import pathlib
import re

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from chaos.auditor.facts import History

FACTS = ("user_id", "first_name", "last_name", "display_name", "email", "upn", "device_id", "device_serial", "platform",
         "platform_version")
LEGACY = {"USERID": "user_id", "FIRST_NAME": "first_name", "LAST_NAME": "last_name", "DISPLAY_NAME": "display_name",
          "EMAIL": "email", "USER_UPN": "upn", "DEVICE_ID": "device_id", "DEVICE_SN": "device_serial",
          "PLATFORM": "platform"}
PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}|\$([A-Z_]+)\$")
KEY_TYPES = {"rsa-2048": 1, "rsa-3072": 2, "ec-p256": 3, "ec-p384": 4}


class Missing(Exception):
    """A template needs a fact that the event does not carry."""


@dataclasses.dataclass(frozen=True)
class Setting:
    name: str
    profile: str
    keys: tuple
    key_types: tuple  # numbers of the contract
    recipients: frozenset  # DER
    cn: str
    email: str
    email_domains: tuple
    smime: bool
    order_ms: int = 60000  # so long a worker waits for the reply to an order


def read(path):
    """Settings by name."""
    tree = yaml.safe_load(pathlib.Path(path).read_text())
    patience = {account["name"]: account.get("order_ms", Setting.order_ms) for account in tree.get("accounts", ())}
    return {entry["name"]: setting_of(entry, patience) for entry in tree["settings"]}


def hold_ms(path):
    tree = yaml.safe_load(pathlib.Path(path).read_text())
    return tree.get("time", {}).get("hold_max_ms", History.hold_ms)


def setting_of(entry, patience):
    recipients = frozenset()
    if "recipients_file" in entry:
        pem = pathlib.Path(entry["recipients_file"]).read_bytes()
        recipients = frozenset(certificate.public_bytes(Encoding.DER) for certificate in
                               x509.load_pem_x509_certificates(pem))
    return Setting(name=entry["name"], profile=entry["profile"], keys=tuple(entry.get("keys", ["csr"])),
                   key_types=tuple(KEY_TYPES[name] for name in entry.get("key_types", KEY_TYPES)),
                   recipients=recipients, cn=entry["cn"], email=entry.get("email", ""),
                   email_domains=tuple(entry.get("email_domains", ())), smime=entry.get("smime", False),
                   order_ms=patience.get(entry.get("account"), Setting.order_ms))


def render(template, subject):
    """A template over the facts of an event. Only plain facts: a setting that needs more is not for this auditor."""
    def fact(match):
        name = match[1] or LEGACY[match[2]]
        value = getattr(subject, name)
        if name not in FACTS or not value:
            raise Missing(name)
        return value

    text = PLACEHOLDER.sub(fact, template)
    if "$" in text and "$" in PLACEHOLDER.sub("", template):
        raise ValueError(f"the auditor does not know this template: {template}")
    return text
