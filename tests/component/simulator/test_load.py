"""Many connections: 1,500 orders in flight at once, from a soft limit of descriptors that would not do."""
import asyncio
import resource

from lxml import etree

from harness import http

COUNT = 1500
ISSUE = "OrderAndIssueCertificate"


async def order(sim, context, request, gate):
    async with gate:  # a client may open so many at a time
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port, ssl=context,
                                                       server_hostname="localhost")
        writer.write(request)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.read()
    writer.close()
    return head, body


async def crowd(sim, request):
    gate, context = asyncio.Semaphore(50), sim.context()
    calls = [asyncio.create_task(order(sim, context, request, gate)) for _ in range(COUNT)]
    while True:
        state = await asyncio.to_thread(sim.state, "?orders=0")
        if state["in_flight"] == COUNT or any(call.done() for call in calls):
            break
        await asyncio.sleep(0.1)
    # Others are served meanwhile.
    during = await asyncio.to_thread(sim.call, "GetProfiles")
    released = await asyncio.to_thread(sim.control, "POST", "/release")
    return state, during, released, await asyncio.gather(*calls)


def test_1500_orders_in_flight(start):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= 4096
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        sim = start(nofile=(256, hard), settings={"key_reuse": "allow"})
        sim.fault("hold_reply", operation=ISSUE)
        request = http(etree.tostring(sim.tree(ISSUE, cn="Crowd")), "Connection: close\r\n")
        state, during, released, answers = asyncio.run(crowd(sim, request))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert state["in_flight"] == state["held"] == COUNT and during.success == 0
    assert released["replies"] == COUNT
    assert all(head.startswith(b"HTTP/1.1 200 ") for head, _ in answers)
    ids = {etree.fromstring(body).findtext(".//OrderID") for _, body in answers}
    assert len(ids) == COUNT and all(b"BEGIN CERTIFICATE" in body for _, body in answers)
    state = sim.state("?cn=Crowd")
    assert {o["id"] for o in state["orders"]} == ids and state["in_flight"] == 0
    assert state["in_flight_max"] == COUNT
    assert {line["order_id"] for line in sim.journal() if line["recorded"]} == ids
