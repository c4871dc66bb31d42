"""Keys, certificate signing requests, recipients, and opening what is sealed to one."""

import datetime
import pathlib
import subprocess
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def csr_pem(key, cn="device"):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(
        key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def spki_sha256(public_key):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_key.public_bytes(serialization.Encoding.DER,
                                          serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


class Recipient:
    """Who may open worker-made keys: a certificate and its key."""

    def __init__(self, name="device gateway"):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        self.certificate = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(self.key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.KeyUsage(True, False, True, False, False, False, False, False, False), critical=True)
            .sign(self.key, hashes.SHA256()))
        self.der = self.certificate.public_bytes(serialization.Encoding.DER)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def write_key(self, path):
        path.touch(0o600)
        path.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                serialization.NoEncryption()))

    def open(self, sealed):
        """The content of a CMS EnvelopedData, by OpenSSL's own command."""
        with tempfile.TemporaryDirectory() as directory:
            home = pathlib.Path(directory)
            self.write_key(home / "key.pem")
            (home / "certificate.pem").write_bytes(self.pem)
            done = subprocess.run(
                ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-recip", home / "certificate.pem",
                 "-inkey", home / "key.pem"], input=sealed, capture_output=True)
            if done.returncode != 0:
                raise ValueError(done.stderr.decode())
            return done.stdout

    def open_pkcs12(self, certificate):
        """(key, certificate, chain) out of an event's sealed PKCS#12 and sealed PIN."""
        pin = self.open(certificate.sealed_pin)
        return pkcs12.load_key_and_certificates(self.open(certificate.sealed_pkcs12), pin)
