"""What each kind of fault does. begin and end get the rig and the act's draw. Kinds beyond the assumptions outlast the
quiet period in some way, or have the CA book what nobody ordered: then there are surplus orders, and the workers have to
find them."""

import dataclasses
import signal
import typing

OVERDUE_MS, LIE_MS = 14000, 15000  # against the quiet period of a run beyond the assumptions: about 5 s
ORDER, THEIRS, ANY = "OrderAndIssueCertificate", "OrderPkcs12", "*"


@dataclasses.dataclass(frozen=True)
class Kind:
    help: str
    group: str  # kinds of one group never overlap; "": whatever
    span_s: tuple
    begin: typing.Callable
    end: typing.Callable = lambda rig, draw: None
    beyond: bool = False  # of the assumptions; never without being asked for
    named: bool = False  # and then by its name


# --- the simulator ---

def ca(help_text, *faults, span_s=(3, 7), beyond=False):
    """Faults of the simulator, each as it would be posted, for as long as the act lasts."""
    def begin(rig, _draw):
        rig.set_faults(help_text, faults)

    return Kind(help_text, "", span_s, begin, lambda rig, draw: rig.drop_faults(help_text), beyond)


def fault(name, operation=ORDER, probability=0.3, **more):
    return {"fault": name, "operation": operation, "probability": probability, **more}


def orders(*names, **more):
    """Faults of every kind of order."""
    return [fault(name, operation, **more) for name in names for operation in (ORDER, THEIRS)]


# --- servers ---

def restart(rig, name, how):
    rig.deed(f"{name.split('-')[0].replace('kafka', 'broker')}-restart", f"{name}, {signal.Signals(how).name}")
    rig.server(name).end(how)


def restart_broker(rig, draw):
    name = rig.broker(draw)
    if not rig.brokers_answer():  # one away is what is survived, and one that was away is not back at once
        rig.deed("skipped", "broker-restart")
        return
    restart(rig, name, signal.SIGKILL if draw * 1000 % 1 < 0.5 else signal.SIGTERM)


def stop_server(rig, name, kind):
    if kind == "broker-stop" and not rig.brokers_answer():
        rig.deed("skipped", kind)
        return
    rig.deed(kind, name)
    rig.server(name).send(signal.SIGSTOP)


def wipe(rig, _draw):
    rig.deed("redis-wipe", "")
    rig.redis.flushall()


def proxied(which, what, deed):
    def begin(rig, _draw):
        rig.deed(deed, "")
        what(getattr(rig, which))

    return begin, lambda rig, draw: getattr(rig, which).release()


# --- beyond the assumptions ---

def overdue(rig, _draw):
    """Whatever is ordered now is booked long after the connection is cut, and after the quiet period."""
    rig.deed("ca-overdue", "")
    rig.set_times(record_at="end", order_min_ms=OVERDUE_MS, order_max_ms=OVERDUE_MS + 2000)


def cut_overdue(rig, _draw):
    rig.ca_proxy.cut()
    rig.set_times()
    rig.expect_bookings((OVERDUE_MS + 4000) / 1000)


def portal(rig, draw):
    """Under the name of somebody whose request may be in the air."""
    names = rig.load.names() or ["Portal Only"]
    rig.order_in_portal(names[int(draw * len(names))])


KINDS = {
    "worker-kill": Kind("a worker is killed (-9), another starts", "", (0.1, 0.5),
                        lambda rig, draw: rig.fleet.kill(draw), lambda rig, draw: rig.fleet.look()),
    "worker-stop": Kind("a worker is stopped, often past its session, and woken", "", (0.5, 5),
                        lambda rig, draw: rig.fleet.stop(draw), lambda rig, draw: rig.fleet.wake()),
    "worker-add": Kind("one worker more for a while, then one leaves", "", (4, 8),
                       lambda rig, draw: rig.fleet.add(), lambda rig, draw: rig.fleet.remove(draw)),
    "worker-remove": Kind("a worker drains (SIGTERM); another comes later", "", (2, 6),
                          lambda rig, draw: rig.fleet.remove(draw), lambda rig, draw: rig.fleet.restore()),
    "broker-restart": Kind("a broker is killed or ended, and starts again", "broker", (0.5, 3), restart_broker,
                           lambda rig, draw: rig.start_servers()),
    "broker-stop": Kind("a broker accepts and never answers", "broker", (1, 4),
                        lambda rig, draw: stop_server(rig, rig.broker(draw), "broker-stop"),
                        lambda rig, draw: rig.wake_servers()),
    "redis-restart": Kind("Redis is killed and starts again with what it wrote", "redis", (0.2, 2),
                          lambda rig, draw: restart(rig, "redis", signal.SIGKILL),
                          lambda rig, draw: rig.start_servers()),
    "redis-wipe": Kind("FLUSHALL", "redis", (0, 0), wipe),
    "redis-stop": Kind("Redis accepts and never answers", "redis", (0.5, 4),
                       lambda rig, draw: stop_server(rig, "redis", "redis-stop"),
                       lambda rig, draw: rig.wake_servers()),
    "redis-cut": Kind("connections to Redis are reset, new ones refused", "redis", (0.2, 3),
                      *proxied("redis_proxy", lambda proxy: proxy.cut(refuse=True), "redis-cut")),
    "redis-hold": Kind("bytes to and from Redis arrive late", "redis", (0.5, 3),
                       *proxied("redis_proxy", lambda proxy: proxy.hold(), "redis-hold")),
    "ca-cut": Kind("connections to the CA are reset once", "ca", (0, 0),
                   *proxied("ca_proxy", lambda proxy: proxy.cut(), "ca-cut")),
    "ca-hold": Kind("bytes to and from the CA stop, and are lost", "ca", (0.5, 4),
                    *proxied("ca_proxy", lambda proxy: proxy.hold(), "ca-hold")),
    "ca-restart": Kind("the simulator is killed and starts again", "ca", (0.2, 1.5),
                       lambda rig, draw: restart(rig, "simulator", signal.SIGKILL),
                       lambda rig, draw: rig.start_servers()),
    "ca-drop-before": ca("requests are dropped before anything is recorded", fault("close_before_record", ANY),
                         fault("reset", ANY), fault("connection_drop", ANY, 0.1)),
    "ca-drop-after": ca("orders are recorded, their replies dropped",
                        *orders("close_after_record", "accept_then_drop", "reset_after_record")),
    "ca-half-reply": ca("replies come in part", fault("half_body", ANY),
                        *orders("truncated_xml", "status_line_only", "empty_body")),
    "ca-late-view": ca("queries show the state of a moment ago", fault("late_view", "GetOrders", 0.7, delay_ms=400),
                       fault("late_view", "GetOrderByOrderId", 0.5, delay_ms=400)),
    "ca-refuse": ca("orders are refused", *orders("error_code", probability=0.2, code=-9934)),
    "ca-misfit": ca("certificates for another name, keys that cannot be used", *orders("wrong_name", probability=0.1),
                    *(fault(name, THEIRS, 0.1) for name in ("wrong_pin", "spoilt_pkcs12", "no_pkcs12"))),
    # Found by nothing but its reply: where that is lost it lives on, and looks like one of people's.
    "ca-wrong-key": dataclasses.replace(ca("certificates for another key", fault("wrong_key", probability=0.1)),
                                        beyond=True, named=True),
    "ca-busy": ca("503, 429, SOAP faults and pages of HTML", fault("http_503", ANY), fault("http_429", ANY, 0.2),
                  fault("soap_fault_server", ANY, 0.2), fault("html", ANY, 0.2)),
    "ca-slow": ca("replies come late", fault("slow", ANY, 0.5, delay_ms=2500), fault("slow_body", ANY, 0.2)),
    "ca-pending": ca("orders are accepted, certificates follow", fault("pending", probability=0.4)),
    "ca-licences": ca("no licence is left", *orders("licences_out", probability=1.0), span_s=(1, 3)),
    "ca-address": ca("the address is refused", fault("address_refused", ANY, 1.0), span_s=(1, 2)),
    "ca-portal": Kind("somebody orders in the portal, under the name of a recent request", "ca", (0, 0), portal),
    "ca-duplicate": ca("an order is booked twice", fault("duplicate_order", probability=0.1), beyond=True),
    "ca-lie": ca("replies to orders are dropped, and queries hide what came within the quiet period",
                 fault("accept_then_drop"), fault("late_view", "GetOrders", 1.0, delay_ms=LIE_MS), span_s=(9, 11),
                 beyond=True),
    "ca-overdue": Kind("orders are booked after the quiet period, their connections cut", "ca", (1.5, 3), overdue,
                       cut_overdue, beyond=True),
    "worker-sleep": Kind("a worker stops between gate and first byte of an order, and wakes after the quiet period",
                         "sleep", (12, 14), lambda rig, draw: rig.fleet.lull(),
                         lambda rig, draw: rig.fleet.wake_sleepers(), beyond=True),
}


def chosen(words, beyond=False):
    """Kinds by name from a comma-separated list; a word may be the beginning of several: worker, ca-drop. None: all
    that are within the assumptions, or all that are not, but for what must be named."""
    if words is None:
        return {name: kind for name, kind in KINDS.items() if kind.beyond == beyond and not kind.named}
    found = {}
    for word in filter(None, words.split(",")):
        fitting = {name: kind for name, kind in KINDS.items() if name == word} or {
            name: kind for name, kind in KINDS.items() if name.startswith(word) and not kind.beyond}
        if word != "none" and not fitting:
            raise ValueError(f"no such fault: {word}")
        found.update(fitting)
    return found
