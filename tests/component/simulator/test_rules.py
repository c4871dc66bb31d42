"""The table of rules: each field of each order, at its limit and beyond it."""
import pytest

from harness import new_key, csr_of

MISSING, INVALID, LONG, FORMAT, COMBINATION = -102, -101, -103, -104, -105
ISSUE, P12, LINK, DS = "OrderAndIssueCertificate", "OrderPkcs12", "OrderCertificate", "OrderDS"


@pytest.mark.parametrize("operation,field,value,code", [
    (ISSUE, "ProfileID", "MP2026011500011", LONG),
    (ISSUE, "ProfileID", "MP-2026", FORMAT),
    (DS, "ProfileOrderNo", "", MISSING),
    (ISSUE, "ProductCode", "EPKIPSUnknown", LONG),  # a wrong word of an enumeration
    (ISSUE, "ProductCode", "epkismimeonly", LONG),
    (ISSUE, "Year", 0, INVALID),
    (ISSUE, "Year", -1, INVALID),
    (ISSUE, "Year", 3, -9933),
    (ISSUE, "CSR", "A" * 4001, LONG),
    (ISSUE, "CSR", "no csr", -4007),
    (DS, "CSR", "", MISSING),
    (P12, "PKCS12PIN", "", MISSING),
    (P12, "PKCS12PIN", "short12", FORMAT),
    (P12, "PKCS12PIN", "a" * 65, LONG),
    (P12, "PKCS12PIN", "with-dashes-12", FORMAT),
    (ISSUE, "DnAttributes.CommonName", "", MISSING),
    (ISSUE, "DnAttributes.CommonName", "x" * 65, LONG),
    (ISSUE, "DnAttributes.CommonName", "tab\there", FORMAT),
    (ISSUE, "DnAttributes.OrganizationUnit", "x" * 65, LONG),
    (ISSUE, "DnAttributes.OrganizationUnit", ["a", "b", "c", "d"], INVALID),
    (ISSUE, "DnAttributes.Email", "no address", FORMAT),
    (ISSUE, "DnAttributes.Email", "@example.com", FORMAT),
    (ISSUE, "DnAttributes.Email", "a@localhost", FORMAT),
    (ISSUE, "DnAttributes.Email", "a" * 250 + "@x.example", LONG),
    (LINK, "DnAttributes.Email", "", MISSING),
    (LINK, "PickupPassword", "", MISSING),
    (LINK, "PickupPassword", "short12", FORMAT),
    (LINK, "PickupPassword", "semi;colon1", FORMAT),
    (LINK, "PickupPassword", "a" * 65, LONG),
    (ISSUE, "PickupPassword", "short12", FORMAT),
    (ISSUE, "UPN", "no address", FORMAT),
    (ISSUE, "UPN", "u@" + "x" * 63, LONG),
    (ISSUE, "SID", "not-a-sid", FORMAT),
    (ISSUE, "SID", "S-1-" + "5" * 61, LONG),
    (ISSUE, "SANRFC822EmailAddress", "no address", FORMAT),
    (ISSUE, "CertificateTemplate.Template", "no.oid", FORMAT),
    (ISSUE, "CertificateTemplate.MajorVersion", "ten", FORMAT),
    ("Cancel", "OrderID", "", MISSING),
    ("Revoke", "OrderID", "", MISSING),
    ("Reissue", "TargetOrderID", "", MISSING),
    ("GetOrderByOrderId", "OrderNo", "", MISSING),
    ("GetOrders", "OrderQueryParam.RequestDateFrom", "yesterday", FORMAT),
    ("GetOrders", "OrderQueryParam.IssueDateTo", "2026-13-01T00:00:00Z", FORMAT),
    ("GetProfiles", "ProfileQueryParam.RequestDateTo", "2026-01-01", FORMAT),
], ids=str)
def test_beyond_the_rule(sim, operation, field, value, code):
    before = sim.state()["order_count"]
    answer = sim.call(operation, **{field.replace(".", "__"): value})
    assert answer.status == 200 and answer.success == -1
    assert (code, field) in answer.errors
    assert answer.text("ErrorMessage")
    assert sim.state()["order_count"] == before
    line = sim.last()
    assert (line["operation"], line["result"], line["recorded"]) == (operation, "error", False)
    assert line["code"] == answer.errors[0][0]


@pytest.mark.parametrize("operation,field,value", [
    (P12, "PKCS12PIN", "a1b2c3d4"), (P12, "PKCS12PIN", "a" * 64),
    (ISSUE, "DnAttributes.CommonName", "x" * 64), (ISSUE, "DnAttributes.CommonName", "é" * 64),
    (ISSUE, "DnAttributes.OrganizationUnit", ["a", "b", "x" * 64]),
    (ISSUE, "Year", 2), (ISSUE, "UPN", "u@" + "x" * 62), (ISSUE, "SID", "S-1-" + "5" * 60),
    (ISSUE, "EmailLanguage", "en"), (LINK, "PickupPassword", "a1b2c3d4"), (P12, "Renew", "true"),
    (ISSUE, "CertificateTemplate.Template", "1.3.6.1.4.1.311.21.8.1"),
    (DS, "IssueType", "any"),
    ("GetOrders", "OrderQueryParam.RequestDateFrom", "2026-03-02T00:00:00.000+09:00"),
    ("GetOrders", "OrderQueryParam.RequestDateTo", "2026-03-02T00:00:00Z"),
], ids=str)
def test_at_the_limit(sim, operation, field, value):
    assert sim.call(operation, **{field.replace(".", "__"): value}).success == 0


def test_a_csr_at_its_limit_of_characters(sim):
    text = csr_of(new_key())
    padded = text + "\n" * (4000 - len(text))
    assert sim.call(ISSUE, CSR=padded).success == 0


def test_all_faults_of_a_request_are_told(sim):
    answer = sim.call(ISSUE, cn="", product="x", Year=7)
    assert {field for _, field in answer.errors} == {"DnAttributes.CommonName", "ProductCode", "Year"}


@pytest.mark.parametrize("operation,group", [
    (ISSUE, "OrderRequestHeader"), ("GetOrders", "QueryRequestHeader"), ("Revoke", "OrderRequestHeader")])
def test_credentials_are_needed(sim, operation, group):
    field = f"{group}.AuthToken.UserName"
    assert sim.call(operation, **{field.replace(".", "__"): ""}).errors == [(MISSING, field)]
    sim.set(validation="off")
    root = sim.tree(operation)
    request = root.find(".//Request")
    request.remove(request.find(group))
    assert (MISSING, field) in sim.post(root).errors
