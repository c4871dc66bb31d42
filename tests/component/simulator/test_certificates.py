"""The X.509 that comes out, read by another library and judged by openssl."""
import datetime
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import (AuthorityInformationAccessOID, ExtendedKeyUsageOID, ExtensionOID, NameOID,
                                   ObjectIdentifier)

from harness import SMIME, csr_of, new_key

CLIENT, EMAIL = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION
EFS = ObjectIdentifier("1.3.6.1.4.1.311.10.3.4")
LOGON = ObjectIdentifier("1.3.6.1.4.1.311.20.2.2")


def extension(cert, kind):
    return cert.extensions.get_extension_for_class(kind).value


def usages(cert):
    return set(extension(cert, x509.ExtendedKeyUsage))


def smime(sim, email="ada@example.com", **more):
    return sim.issue(profile=SMIME, email=email, san=email, **more).certificate


def test_the_chain_is_sound(sim, tmp_path):
    issuing, root = sim.chain()
    cert = sim.issue(cn="Chained").certificate
    cert.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert extension(issuing, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=0)
    for name, one in (("root", root), ("issuing", issuing), ("leaf", cert)):
        (tmp_path / name).write_bytes(one.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "crl").write_bytes(sim.crl().public_bytes(serialization.Encoding.PEM))
    run = ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-crl_check", "-CRLfile", "crl",
           "-CAfile", "root", "-untrusted", "issuing", "leaf"]
    assert subprocess.run(run, cwd=tmp_path, capture_output=True, text=True).stdout == "leaf: OK\n"


def test_subject_comes_from_profile_and_request(sim):
    key = new_key()
    cert = sim.issue(cn="Ada Example", ou=["Sales", "EMEA"], email="ada@example.com",
                     CSR=csr_of(key, "Somebody Else")).certificate
    assert [(a.oid, a.value) for a in cert.subject] == [
        (NameOID.COUNTRY_NAME, "US"), (NameOID.STATE_OR_PROVINCE_NAME, "Oregon"),
        (NameOID.LOCALITY_NAME, "Bend"), (NameOID.ORGANIZATION_NAME, "Example Corp"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Sales"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "EMEA"),
        (NameOID.COMMON_NAME, "Ada Example"), (NameOID.EMAIL_ADDRESS, "ada@example.com")]


def test_content(sim):
    cert = sim.issue(cn="Content").certificate
    assert cert.version == x509.Version.v3 and cert.serial_number.bit_length() in range(120, 129)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert extension(cert, x509.BasicConstraints).ca is False
    policy = extension(cert, x509.CertificatePolicies)[0]
    assert policy.policy_identifier.dotted_string == "1.3.6.1.4.1.4146.1.40.10"
    issuing = sim.chain()[0]
    assert extension(cert, x509.AuthorityKeyIdentifier).key_identifier == extension(
        issuing, x509.SubjectKeyIdentifier).digest
    with pytest.raises(x509.ExtensionNotFound):
        extension(cert, x509.SubjectAlternativeName)


@pytest.mark.parametrize("years", [1, 2])
def test_validity_is_calendar_years(sim, years):
    cert = sim.issue(Year=years).certificate
    begin, end = cert.not_valid_before_utc, cert.not_valid_after_utc
    assert end == begin.replace(year=begin.year + years)
    assert abs(begin - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(seconds=10)


def test_links_in_the_certificate_work(sim):
    cert = sim.issue().certificate
    issuer = extension(cert, x509.AuthorityInformationAccess)[0]
    assert issuer.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    data = sim.session.get(issuer.access_location.value).content
    assert x509.load_der_x509_certificate(data) == sim.chain()[0]
    where = extension(cert, x509.CRLDistributionPoints)[0].full_name[0].value
    assert x509.load_der_x509_crl(sim.session.get(where).content).is_signature_valid(sim.chain()[0].public_key())


def test_usages_by_product_and_profile(sim):
    plain = sim.issue(email="ada@example.com")
    assert usages(plain.certificate) == {CLIENT}
    assert usages(sim.issue(product="EPKIPSDept").certificate) == {CLIENT}
    assert usages(sim.issue(product="EPKIPSPersonalPro").certificate) == {CLIENT}
    assert usages(smime(sim)) == {CLIENT, EMAIL}
    assert usages(smime(sim, product="ePkiSmimeOnly")) == {EMAIL}
    assert usages(sim.issue(EFSOption="true").certificate) == {CLIENT, EFS}
    assert usages(sim.issue(UPN="ada@corp.example.com").certificate) == {CLIENT, LOGON}
    assert sim.call("OrderAndIssueCertificate", product="ePkiSmimeOnly").errors == [(-9901, "ProductCode")]


def test_alternative_names(sim):
    assert list(extension(smime(sim), x509.SubjectAlternativeName)) == [x509.RFC822Name("ada@example.com")]
    (name,) = extension(sim.issue(UPN="ada@corp.example.com").certificate, x509.SubjectAlternativeName)
    assert name.type_id.dotted_string == "1.3.6.1.4.1.311.20.2.3"
    assert name.value == b"\x0c\x14ada@corp.example.com"


def test_microsoft_extensions(sim):
    cert = sim.issue(SID="S-1-5-21-1-2-3-1104", CertificateTemplate__Template="1.3.6.1.4.1.311.21.8.1.2",
                     CertificateTemplate__MajorVersion="100", CertificateTemplate__MinorVersion="4").certificate
    found = {e.oid.dotted_string: e.value for e in cert.extensions}
    assert b"S-1-5-21-1-2-3-1104" in found["1.3.6.1.4.1.311.25.2"].value
    template = found["1.3.6.1.4.1.311.21.7"]
    assert template.template_id.dotted_string == "1.3.6.1.4.1.311.21.8.1.2"
    assert (template.major_version, template.minor_version) == (100, 4)


def test_crl(sim):
    keep, revoked, cancelled = (sim.issue(cn="CRL") for _ in range(3))
    assert sim.crl().get_revoked_certificate_by_serial_number(revoked.certificate.serial_number) is None
    number = extension(sim.crl(), x509.CRLNumber).crl_number
    sim.call("Revoke", OrderID=revoked.order_id)
    sim.call("Cancel", OrderID=cancelled.order_id)
    crl, issuing = sim.crl(), sim.chain()[0]
    assert crl.is_signature_valid(issuing.public_key()) and crl.issuer == issuing.subject
    serials = {entry.serial_number for entry in crl}
    assert {revoked.certificate.serial_number, cancelled.certificate.serial_number} <= serials
    assert keep.certificate.serial_number not in serials
    assert extension(crl, x509.CRLNumber).crl_number > number
    assert crl.last_update_utc <= datetime.datetime.now(datetime.timezone.utc) < crl.next_update_utc
    assert x509.load_der_x509_crl(sim.session.get(f"https://localhost:{sim.port}/crl").content).is_signature_valid(
        issuing.public_key())


def test_crl_waits_for_status_7(sim):
    sim.set(revoke_delay_ms=60000)
    order = sim.issue()
    sim.call("Revoke", OrderID=order.order_id)
    assert sim.status(order.order_id) == 6
    assert sim.crl().get_revoked_certificate_by_serial_number(order.certificate.serial_number) is None


def test_keys_that_are_taken(sim):
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
        cert = sim.issue(CSR=csr_of(key)).certificate
        assert cert.public_key() == key.public_key()
        assert isinstance(key, rsa.RSAPrivateKey) == extension(cert, x509.KeyUsage).key_encipherment


def test_bare_base64_is_a_csr_too(sim):
    text = csr_of(new_key())
    assert sim.issue(CSR="".join(text.split("\n")[1:-2])).order_id
    assert sim.issue(CSR=text.replace("\n", "\r\n")).order_id


def tampered():
    request = x509.load_pem_x509_csr(csr_of(new_key()).encode())
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-5] ^= 1
    from base64 import b64encode
    return b64encode(bytes(der)).decode()


def ed25519_csr():
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(
        ed25519.Ed25519PrivateKey.generate(), None).public_bytes(serialization.Encoding.PEM).decode()


def compressed_csr(tmp_path):
    run = lambda *a: subprocess.run(["openssl", *a], cwd=tmp_path, check=True, capture_output=True)
    run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "plain")
    run("ec", "-in", "plain", "-conv_form", "compressed", "-out", "key")
    run("req", "-new", "-key", "key", "-subj", "/CN=x", "-out", "csr")
    return (tmp_path / "csr").read_text()


def test_keys_that_are_refused(sim, tmp_path):
    cases = {
        csr_of(rsa.generate_private_key(65537, 1024)): -9936,
        csr_of(ec.generate_private_key(ec.SECP521R1())): -9961,
        csr_of(ec.generate_private_key(ec.SECP256K1())): -9961,
        compressed_csr(tmp_path): -9962,
        ed25519_csr(): -9964,
        tampered(): -4006,
        csr_of(new_key())[:200]: -4007,
    }
    for csr, code in cases.items():
        assert sim.call("OrderAndIssueCertificate", CSR=csr).errors == [(code, "CSR")], code


def test_the_ca_can_be_rsa(start):
    sim = start(settings={"ca_key": "rsa2048"})
    issuing = sim.chain()[0]
    cert = sim.issue().certificate
    issuing.public_key().verify(cert.signature, cert.tbs_certificate_bytes, padding.PKCS1v15(),
                                cert.signature_hash_algorithm)
    assert sim.crl().is_signature_valid(issuing.public_key())
    assert ExtensionOID.CRL_NUMBER in {e.oid for e in sim.crl().extensions}
