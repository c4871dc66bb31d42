"""`epki-worker check` on the real servers: all well, and several faults at once. It changes and orders nothing."""

import copy

import pytest
import redis
from confluent_kafka.admin import AdminClient, NewTopic

from kit import topics

WORKERS = 0  # nobody else calls, orders or commits


@pytest.fixture(scope="module")
def client(system):
    return redis.Redis(port=int(system.ca["REDIS_URL"].rsplit(":", 1)[1]), socket_timeout=5)


@pytest.fixture
def admin(system):
    return AdminClient({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})


def secret(system, name, text):
    path = system.workers.directory / name
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def problems(done):
    """[what is wrong, what to do] of each problem; the last line has their count."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    found = []
    for line in lines[:-1]:
        if line.startswith("    "):
            found[-1].append(line.strip())
        else:
            found.append([line])
    assert lines[-1].split(";")[0] == f"{len(found)} problem" + "s" * (len(found) != 1)
    return found


def said(found, expected):
    """Each expected start of a problem, once, with advice; and no other problem."""
    for start in expected:
        [problem] = [p for p in found if p[0].startswith(start)]
        assert len(problem) == 2 and len(problem[1]) > 10, f"what to do about it: {problem}"
    assert len(found) == len(expected), found


def traces(system, client, admin):
    """All that a check could leave behind: orders, licences, keys in Redis, records, groups, a transactional id (the
    broker makes the topic of these with the first)."""
    state = system.ca.control("GET", "/state?orders=0")
    groups = {g.group_id for g in admin.list_consumer_groups(request_timeout=10).result().valid}
    records = [len(topics.read_topic(system.ca["KAFKA_BOOTSTRAP"], topic, committed=False))
               for topic in (topics.EVENTS, topics.STATE, topics.INFLIGHT, topics.ACCOUNT)]
    return (state["licences"], system.ca.orders(), sorted(client.keys("*")), client.get("epki:v1:canary"), groups,
            records, sorted(admin.list_topics(timeout=10).topics))


def test_all_is_well(system, client, admin):
    before, began = traces(system, client, admin), len(system.ca.journal())
    done = system.workers.command("check")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.splitlines()[-1] == "no problems"
    for word in ("kafka: reached", "redis: reached", "account main: reached", "setting vpn: profile MP202601150001",
                 "setting smime: profile MP202601150002", "setting vetting: profile MP202601150003"):
        assert word in done.stdout
    assert [(e["operation"], e["result"]) for e in system.ca.journal()[began:]] == [("GetProfiles", "ok")]
    assert traces(system, client, admin) == before


def test_everything_away_at_once(system):
    done = system.workers.command("check", change={
        "kafka": {"bootstrap": "127.0.0.1:1"}, "redis": {"url": "redis://127.0.0.1:1"},
        "accounts": {"main": {"url": "https://localhost:1/cr/ws/GasOrderService"}}})
    assert done.returncode == 1
    said(problems(done), ["kafka: no answer from the brokers", "redis: redis.url: 127.0.0.1:1: Connection refused",
                          "globalsign: main: "])
    assert "reached" not in done.stdout


def test_everything_there_and_wrong_at_once(system, client, admin):
    """Two accounts, so that one can have a wrong password and the other a profile too few."""
    settings = system.workers.settings("check", 0)
    other = dict(copy.deepcopy(settings["accounts"][0]), name="other",
                 password_file=secret(system, "wrong", "wrongwrong1"))
    lost = dict(settings["settings"][0], name="lost", profile="MP209901010001")
    foreign = dict(settings["settings"][0], name="foreign", account="other")
    loose = {"max.message.bytes": "100000", "cleanup.policy": "delete"}
    for future in admin.create_topics([NewTopic("loose.inflight", 3, 1, config=loose)]).values():
        future.result(20)
    began = len(system.ca.journal())
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        done = system.workers.command("check", change={
            "kafka": {"topics": {"parked": "nowhere.parked", "bulk": "nowhere.bulk", "inflight": "loose.inflight"}},
            "accounts": settings["accounts"] + [other], "settings": settings["settings"] + [lost, foreign]})
    finally:
        client.config_set("maxmemory-policy", "noeviction")
    assert done.returncode == 1 and "wrongwrong1" not in done.stdout + done.stderr
    said(problems(done), [
        "kafka: nowhere.bulk: the topic for bulk requests is not there",
        "kafka: nowhere.parked: the topic for parked is not there",
        "kafka: loose.inflight: max.message.bytes is 100000",
        "kafka: loose.inflight: cleanup.policy must be exactly compact",
        "kafka: loose.inflight: message.timestamp.type must be LogAppendTime",
        "kafka: loose.inflight: min.compaction.lag.ms is 0",
        "kafka: epki.resume: 4 partitions, but loose.inflight has 3",
        "redis: redis: maxmemory-policy is \"allkeys-lru\"",
        "globalsign: lost: the account does not see profile MP209901010001",
        "globalsign: other: Login failed"])
    assert "account main: reached, password accepted" in done.stdout and "account other" not in done.stdout
    calls = system.ca.journal()[began:]
    assert [(e["operation"], e["code"]) for e in calls] == [("GetProfiles", 0), ("GetProfiles", -4001)], \
        "one call for each account: wrong passwords lock it"


def test_servers_that_do_not_know_us(system, client):
    """Redis wants a password; GlobalSign's certificate is not of the CA that we trust."""
    client.config_set("requirepass", "opensesame")
    try:
        change = {"accounts": {"main": {"ca_file": system.ca["EPKI_CHAIN_FILE"]}}}
        done = system.workers.command("check", change=change)
        said(problems(done), ["redis: INFO: NOAUTH", "globalsign: main: SSL certificate problem"])
        change["redis"] = {"password_file": secret(system, "redis-wrong", "sesameopen")}
        done = system.workers.command("check", change=change)
        said(problems(done), ["redis: AUTH: WRONGPASS", "globalsign: main: SSL certificate problem"])
        assert done.returncode == 1 and "sesameopen" not in done.stdout + done.stderr
        change = {"redis": {"password_file": secret(system, "redis-right", "opensesame")}}
        assert system.workers.command("check", change=change).returncode == 0
    finally:
        client.auth("opensesame")
        client.config_set("requirepass", "")


def test_bad_settings_are_listed_before_anything_is_reached(system):
    began = len(system.ca.journal())
    done = system.workers.command("check", change={
        "redis": {"colour": "red"}, "time": {"drain_ms": -1}, "log_level": "loud",
        "accounts": {"main": {"url": "http://localhost/", "password_file": "/nowhere/password"}},
        "settings": {"vpn": {"chain_file": "/nowhere/chain.pem"}}})
    assert done.returncode == 2 and done.stdout == "" and "nothing was started" in done.stderr
    file = f"{system.workers.directory / 'check.yaml'}: "
    said(problems(done), [file + start for start in (
        "redis.colour: unknown key", "time.drain_ms: -1", "log_level: ", "accounts[0].url: ",
        "accounts[0].password_file: No such file", "settings[0].chain_file: No such file")])
    assert len(system.ca.journal()) == began
