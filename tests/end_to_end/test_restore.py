"""The layer as it ships in a copy of a SnapStart snapshot: what it shares with other copies, and what it must not."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from simulator.sandbox import preload
from tests.support.changing_intake import ChangingIntake, pour
from tests.support.fake_lambda import Answer, FakeLambda
from tests.support.fault_server import Action, FaultServer, Request
from tests.support.fault_server import Answer as HttpAnswer
from tests.support.strict_aws import CREDENTIALS, ContainerCredentials, Service

if TYPE_CHECKING:
    from pathlib import Path

SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "FORWARDER_FLUSH": "interval"}
TOLD_BY = {
    "platform.restoreStart": {"functionName": "orders", "functionVersion": "7"},
    "platform.restoreReport": {"status": "success"},
    "platform.start": {"requestId": "r1", "version": "7"},
}
TAKEN = b"<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>"


async def take_snapshot(lambda_: FakeLambda, early: bytes = b"", /, **environment: str) -> None:
    """Start, with `early` and one record of before the first /next, and one record of after it."""
    lambda_.answers["telemetry"] = [Answer(500)]
    await lambda_.start(**{**SNAP_START, **environment})
    await lambda_.connect_early()
    lambda_.send(early)
    lambda_.record("platform.initStart", {"initializationType": "snap-start", "phase": "init"})
    await lambda_.sent_all()
    await lambda_.ready()
    lambda_.record("function", "late init")


def named(records: list[dict[str, Any]]) -> dict[str, str]:
    """The name of the environment that each record has, by its type or text."""
    texts = [record["record"] if isinstance(record["record"], str) else record["type"] for record in records]
    return dict(zip(texts, [record["lambda"]["environment"] for record in records], strict=True))


@pytest.mark.parametrize("type_", TOLD_BY)
async def test_a_copy_has_a_name_of_its_own_as_soon_as_it_is_told(lambda_: FakeLambda, type_: str) -> None:
    """Whichever platform event comes first: only what came before the first /next has the name of the snapshot."""
    intake = ChangingIntake()
    with FaultServer(intake) as server:
        await take_snapshot(lambda_, FORWARDER_SINKS=f"{server.url}/")
        lambda_.record(type_, TOLD_BY[type_])
        lambda_.record("function", "of the copy")
        assert await lambda_.shut_down() == 0
    names = named(intake.records())
    assert list(names) == ["platform.initStart", "late init", type_, "of the copy"]
    assert len({names["late init"], names[type_], names["of the copy"]}) == 1
    assert names["late init"] != names["platform.initStart"]


async def test_a_copy_has_a_name_of_its_own_from_the_invocation_on(lambda_: FakeLambda) -> None:
    """Where no platform event comes first, INVOKE tells; a later one is no second restore."""
    intake = ChangingIntake()
    with FaultServer(intake) as server:
        await take_snapshot(lambda_, FORWARDER_SINKS=f"{server.url}/")
        await lambda_.invoke("r1")
        lambda_.record("platform.restoreReport", {"status": "success"})
        lambda_.record("platform.report", {"requestId": "r1", "status": "success"})
        lambda_.record("function", "of the copy")
        assert await lambda_.shut_down() == 0
    names = named(intake.records())
    assert len({names[text] for text in ("platform.start", "platform.restoreReport", "of the copy")}) == 1
    assert names["platform.start"] != names["platform.initStart"]


async def test_a_copy_that_was_not_told_what_it_is_hears_of_its_restore(lambda_: FakeLambda) -> None:
    """Where the environment does not say that it is one of SnapStart, platform.restoreStart does."""
    intake = ChangingIntake()
    with FaultServer(intake) as server:
        await lambda_.start(FORWARDER_SINKS=f"{server.url}/", FORWARDER_FLUSH="interval")
        await lambda_.subscribe()
        await lambda_.ready()
        lambda_.record("platform.initStart", {"phase": "init"})
        await came(lambda_)
        lambda_.record("platform.restoreStart", {})
        lambda_.record("platform.restoreReport", {})
        lambda_.record("function", "of the copy")
        assert await lambda_.shut_down() == 0
    names = named(intake.records())
    assert names["platform.initStart"] != names["platform.restoreStart"]
    assert names["platform.restoreStart"] == names["platform.restoreReport"] == names["of the copy"]


async def came(lambda_: FakeLambda) -> None:
    """Wait until what was sent has left the socket."""
    await lambda_.sent_all()
    await asyncio.sleep(0.2)  # nothing tells from outside when it was read; too early only makes the test easier


async def test_an_environment_that_is_never_restored_delivers_what_it_held(lambda_: FakeLambda) -> None:
    """SHUTDOWN may come first, and then nothing is held back, and the ledger counts it."""
    intake = ChangingIntake()
    with FaultServer(intake) as server:
        await take_snapshot(lambda_, FORWARDER_SINKS=f"{server.url}/")
        assert await lambda_.shut_down() == 0
    assert list(named(intake.records())) == ["platform.initStart", "late init"]
    assert lambda_.ledger["received"] == 2


async def test_what_is_held_for_a_restore_is_bounded(lambda_: FakeLambda) -> None:
    """An init that prints more after the first /next than may be held loses none of it."""
    intake = ChangingIntake()
    count = 20_000
    with FaultServer(intake) as server:
        await take_snapshot(lambda_, FORWARDER_SINKS=f"{server.url}/", FORWARDER_QUEUE_BYTES=str(64 << 20))
        lambda_.send(b'{"time":"2026-11-21T00:00:00.000Z","type":"function","record":"%s"}\n' % (b"x" * 200) * count)
        await lambda_.sent_all()
        lambda_.record("platform.restoreStart", {})
        assert await lambda_.shut_down() == 0
    ids = {record["lambda"]["id"] for record in intake.records()}
    assert len(ids) == lambda_.ledger["received"] == count + 3


async def test_objects_of_a_copy_have_keys_of_its_own(lambda_: FakeLambda) -> None:
    """A record of before the snapshot keeps its id, but the object that carries it is named after the copy."""
    service = Service()
    with FaultServer(service) as server:
        await take_snapshot(lambda_, **CREDENTIALS, FORWARDER_SINKS="s3://bucket", AWS_ENDPOINT_URL=server.url)
        lambda_.record("platform.restoreStart", {})
        assert await lambda_.shut_down() == 0
    names = named([json.loads(line) for line in service.lines()])
    assert len(set(names.values())) == 2
    assert [key for key in service.objects if names["platform.initStart"] in key] == []
    assert [key for key in service.objects if names["platform.restoreStart"] in key] == list(service.objects)


async def test_an_object_that_was_under_way_at_the_snapshot_gets_a_key_of_the_copys(lambda_: FakeLambda) -> None:
    """A batch that was being tried when the snapshot was taken does not go on under a name that all copies know."""
    service = Service()

    def refuse_the_first(request: Request) -> Action:
        return HttpAnswer(500) if request.path == server.requests[0].path else service(request)

    with FaultServer(refuse_the_first) as server:
        await take_snapshot(
            lambda_,
            pour(1000),  # more than a quarter of what memory may hold leaves at once
            **CREDENTIALS,
            FORWARDER_SINKS="s3://bucket",
            FORWARDER_QUEUE_BYTES=str(1 << 20),
            AWS_ENDPOINT_URL=server.url,
        )
        await asyncio.to_thread(server.wait_for, 1)
        lambda_.record("platform.restoreStart", {})
        assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert (account["delivered"], account["pending"]) == (1003, 0)


async def test_a_key_that_is_taken_by_somebody_else_delivers_nothing(lambda_: FakeLambda) -> None:
    """S3's 412 to a batch that was never tried is another's object: the batch is put under another key."""
    service = Service(first=[HttpAnswer(412, {"Content-Type": "application/xml"}, TAKEN)])
    with FaultServer(service) as server:
        await lambda_.start(**CREDENTIALS, FORWARDER_SINKS="s3://bucket", AWS_ENDPOINT_URL=server.url)
        await lambda_.subscribe()
        await lambda_.invoke("r1", "one", timeout_s=30.0)
        assert await lambda_.shut_down() == 0
    [account] = lambda_.ledger["sinks"].values()
    assert account["delivered"] == len(service.lines()) == len(lambda_.sent)
    paths = [request.path for request in server.requests if request.method == "PUT"]
    assert paths[0] not in paths[1:]


async def test_credentials_that_expired_with_the_snapshot_are_fetched_anew(lambda_: FakeLambda) -> None:
    """What was fetched during init and is no longer good is not used after the restore."""
    service, credentials = Service(), ContainerCredentials()
    credentials.expires = "2026-01-01T00:00:00Z"
    with FaultServer(service) as server, FaultServer(credentials) as container:
        await take_snapshot(
            lambda_,
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{container.url}/2021-04-23/credentials",
            AWS_CONTAINER_AUTHORIZATION_TOKEN="the-token",
            AWS_ENDPOINT_URL=server.url,
            FORWARDER_SINKS="kinesis://stream",
        )
        before = credentials.given
        credentials.expires = "2100-01-01T00:00:00Z"
        lambda_.record("platform.restoreStart", {})
        assert await lambda_.shut_down() == 0
    assert service.keys == {f"AKID{before + 1}"}


class Hellos:
    """A server that reads the first message of TLS, a ClientHello, and ends the connection."""

    def __init__(self) -> None:
        self.randoms: list[bytes] = []  # RFC 8446, section 4.1.2

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read 5 bytes of record header, 4 of handshake header and 2 of version, then the 32 that are random."""
        self.randoms.append((await reader.readexactly(43))[11:])
        writer.close()


async def test_copies_do_not_share_what_tls_takes_for_random(layer: Path, tmp_path: Path) -> None:
    """Two copies of one snapshot say hello to a server with different random bytes."""
    hellos = Hellos()
    server = await asyncio.start_server(hellos.serve, "127.0.0.1", 0, family=socket.AF_INET)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    library = await asyncio.to_thread(preload.build, "randomness", tmp_path)
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        restored = folder / "restored"
        restored.write_bytes(b"\0")
        async with FakeLambda(layer / "extensions" / "telemetry-forwarder", folder) as copy:
            variables = {"LD_PRELOAD": str(library), "SNAPSHOT_FILE": str(restored), "SNAPSHOT_SEED": "1"}
            await take_snapshot(copy, **variables, FORWARDER_SINKS=url)
            with restored.open("r+b") as file:  # in place: it is mapped
                file.write(b"\1")
            copy.record("platform.restoreStart", {})
            assert await copy.shut_down() == 0
        hellos.randoms[number + 1 :] = []
    server.close()
    await server.wait_closed()
    assert hellos.randoms[0] != hellos.randoms[1]
