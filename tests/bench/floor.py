"""The floor: what an order costs on the wire, whoever sends it; by build/tests/floor, against the same simulator."""

import dataclasses
import json
import pathlib
import subprocess
from xml.sax.saxutils import escape

from kit import BUILD, keys

SECONDS = 5  # of beginning orders; the last one's own time comes on top
ORDER_MS_MAX = 6000

ORDER = """\
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"\
 xmlns:ws="https://system.globalsign.com/cr/ws/"><soapenv:Body><ws:OrderAndIssueCertificate><Request>\
<OrderRequestHeader><AuthToken><UserName>{user}</UserName><Password>{password}</Password></AuthToken>\
</OrderRequestHeader><ProfileID>{profile}</ProfileID><ProductCode>EPKIPSPersonal</ProductCode><Year>1</Year>\
<CSR>{csr}</CSR><DnAttributes><CommonName>Floor Order</CommonName></DnAttributes></Request>\
</ws:OrderAndIssueCertificate></soapenv:Body></soapenv:Envelope>"""


@dataclasses.dataclass
class Floor:
    orders: int
    resumed: int  # began with the TLS session of an earlier one
    seconds: float
    user_ms: float  # CPU per order
    system_ms: float

    @property
    def used_ms(self):
        return self.user_ms + self.system_ms


def measure(stack, rate, order_ms, in_flight):
    """As many orders a second as the worker reached, for a few seconds."""
    order_ms = min(order_ms, ORDER_MS_MAX)
    stack.settings(order_min_ms=order_ms * 3 // 4, order_max_ms=order_ms * 5 // 4)
    body = stack.directory / "floor.xml"
    body.write_text(ORDER.format(
        user=escape(stack["EPKI_USER"]), password=escape(pathlib.Path(stack["EPKI_PASSWORD_FILE"]).read_text().strip()),
        profile=stack["EPKI_PROFILE"], csr=keys.csr_pem(keys.new_key()).strip()))
    rate = max(1, round(rate))
    command = [BUILD / "tests/floor", stack["EPKI_URL"], stack["EPKI_CA_FILE"], body, SECONDS * rate, in_flight, rate]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the floor could not be measured: {done.stderr}")
    floor = Floor(**json.loads(done.stdout))
    if floor.resumed == 0:  # how many are depends on libcurl: since 8.12 it keeps few, and uses each once
        raise RuntimeError(f"no TLS session of {floor.orders} was resumed: this is not the floor")
    return floor
