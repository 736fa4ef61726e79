"""Texts with secrets in them and texts without, each labelled, and how well the presets tell them apart.

The tracebacks were printed by Python, Node and Java; those of .NET, and the first of Java's, are written by hand after
what their runtimes print on Lambda.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from extension.presets import ISSUERS, PRESETS, luhn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from extension.pipeline.redactor import Redactor

SEED = 15
POSITIVES = {"email": 2000, "card": 10_000, "jwt": 1000, "aws-key": 2000, "ipv4": 2000, "bearer": 2000}
TRACEBACKS = Path(__file__).parent / "data" / "tracebacks"
BASE64 = string.ascii_letters + string.digits + "+/"
URL_SAFE = string.ascii_letters + string.digits + "-_"
PLACES = (
    "{}",
    "{} is it",
    "user {} was here",
    "got ({}), went on",
    "value={}, next=1",
    '{{"level":"INFO","value":"{}"}}',
    '{{"outer":"{{\\"inner\\":\\"{}\\"}}"}}',
    "2026-11-21T03:53:22.117Z\ta1a32258-dddc-4daa-950a-fe632b74be91\tINFO\t{}\n",
    "lines:\n{}\nand more",
    "https://example.com/path?value={}&next=1",
    "[id {}]",
    "It was {}.",
)


class Sample(NamedTuple):
    """A text, and the secret that stands in it, of that preset; without one, both are empty."""

    text: str
    preset: str = ""
    secret: str = ""


class Score(NamedTuple):
    """How often a preset was right, struck where it should not, and failed to strike."""

    right: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        """The share that is right of what was redacted."""
        return self.right / (self.right + self.false)

    @property
    def recall(self) -> float:
        """The share that was redacted of what should be."""
        return self.right / (self.right + self.missed)


def corpus(seed: int = SEED) -> list[Sample]:
    """As many texts without a secret as with one, or a few more; the same for one seed."""
    draw = random.Random(seed)  # noqa: S311 - texts for tests
    found = list(positives(draw))
    return found + list(negatives(draw, len(found)))


def scores(redactor: Redactor, samples: list[Sample]) -> dict[str, Score]:
    """The score of each preset, and of all under "all"; where more goes than the secret, it counts as false too."""
    right, false, missed = dict.fromkeys(PRESETS, 0), dict.fromkeys(PRESETS, 0), dict.fromkeys(PRESETS, 0)
    for sample in samples:
        left = redacted(redactor, sample.text)
        marks = {name: left.count(f"[redacted:{name}]") for name in PRESETS}
        if sample.preset:
            hit = sample.secret not in left and marks[sample.preset] > 0
            right[sample.preset] += hit
            missed[sample.preset] += not hit
            if hit and left == sample.text.replace(sample.secret, f"[redacted:{sample.preset}]"):
                continue
            marks[sample.preset] -= hit
        for name, count in marks.items():
            false[name] += count > 0
        if sample.preset and hit and not any(marks.values()):
            false[sample.preset] += 1  # it took more than the secret with it
    found = {name: Score(right[name], false[name], missed[name]) for name in PRESETS}
    return {**found, "all": Score(sum(right.values()), sum(false.values()), sum(missed.values()))}


def redacted(redactor: Redactor, text: str) -> str:
    """What is left of a text that a function prints."""
    line = orjson.dumps({"time": "2026-11-21T03:53:22.117Z", "type": "function", "record": text})
    if not redactor.suspects(line):
        return text
    found: str = json.loads(redactor.line(line)[0])["record"]
    return found


# With a secret


def positives(draw: random.Random) -> Iterator[Sample]:
    for preset, count in POSITIVES.items():
        for _ in range(count):
            secret = SECRETS[preset](draw)
            place = draw.choice(BEARERS if preset == "bearer" else PLACES)
            yield Sample(place.format(secret), preset, secret)


def email(draw: random.Random) -> str:
    first = draw.choice(["anna", "li.wei", "J.O-Connor", "x", "maría", "info", "user+tag", "a_b", "99bottles", "Ünal"])
    host = draw.choice(["example", "mail.example", "my-company", "sub.dept.example", "163", "müller", "x-1.example"])
    return f"{first}{draw.randrange(1000)}@{host}.{draw.choice(['com', 'de', 'co.uk', 'museum', 'io', 'COM', 'info'])}"


def card(draw: random.Random) -> str:
    first, last, lengths = draw.choice(ISSUERS)
    length = draw.choice(lengths)
    digits = str(draw.randint(int(first), int(last)))
    digits += "".join(draw.choices(string.digits, k=length - len(digits) - 1))
    number = digits + str(-luhn(digits + "0") % 10)
    grouping = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4), 19: (4, 4, 4, 4, 3)}.get(length)
    if grouping is None or draw.random() < 0.5:
        return number
    digits_left = iter(number)
    return draw.choice(" -").join("".join(next(digits_left) for _ in range(size)) for size in grouping)


def jwt(draw: random.Random) -> str:
    header = {"alg": draw.choice(["HS256", "RS256", "ES256", "none"]), "typ": "JWT", "kid": str(draw.randrange(99))}
    payload = {"sub": str(draw.randrange(10**9)), "iat": 1_795_000_000 + draw.randrange(10**6), "admin": False}
    parts = [base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in (header, payload)]
    return ".".join([*parts, "".join(draw.choices(URL_SAFE, k=draw.choice([43, 86, 342])))])


def aws_key(draw: random.Random) -> str:
    if draw.random() < 0.5:
        return draw.choice(["AKIA", "ASIA"]) + "".join(draw.choices(string.ascii_uppercase + "234567", k=16))
    return "".join(draw.choices(BASE64, k=40))


def ipv4(draw: random.Random) -> str:
    first = draw.choice([number for number in range(1, 224) if number != 127])
    return ".".join(str(part) for part in (first, *(draw.randrange(256) for _ in range(3))))


def bearer(draw: random.Random) -> str:
    kind = draw.randrange(4)
    if kind == 0:
        return "".join(draw.choices(string.hexdigits[:16], k=draw.choice([16, 32, 64])))
    if kind == 1:
        return str(uuid.UUID(int=draw.getrandbits(128), version=4))
    if kind == 2:
        return "".join(draw.choices(URL_SAFE, k=draw.randrange(24, 200)))
    return base64.b64encode(draw.randbytes(draw.choice([24, 48, 80]))).decode()


BEARERS = (
    "Bearer {}",
    "Authorization: Bearer {}",
    "authorization: Basic {}",
    "-H 'Authorization: Bearer {}' https://example.com",
    '{{"headers":{{"authorization":"Bearer {}","host":"example.com"}}}}',
    '{{"multiValueHeaders":{{"Authorization":["Basic {}"]}}}}',
    '{{"body":"{{\\"Authorization\\":\\"token {}\\"}}"}}',
    "sent {{'Authorization': 'Bearer {}', 'Accept': '*/*'}}",
    "headers: {{ authorization: 'Bearer {}' }}",
    "using bearer {} for it",
)
SECRETS: dict[str, Callable[[random.Random], str]] = {
    "email": email,
    "card": card,
    "jwt": jwt,
    "aws-key": aws_key,
    "ipv4": ipv4,
    "bearer": bearer,
}

# Without one


def negatives(draw: random.Random, count: int) -> Iterator[Sample]:
    """At least `count`: 10,000 numbers, tracebacks as a whole and line by line, and the rest in equal parts."""
    texts = [draw.choice(PLACES).format(number(draw)) for _ in range(10_000)]
    for path in sorted(TRACEBACKS.glob("*.txt")):
        whole = path.read_text()
        texts += [whole, *whole.splitlines(), json.dumps({"stack": whole.splitlines()})]
    makers = (uuids, hashes, timestamps, versions, words, paths)
    while len(texts) < count:
        texts += [draw.choice(PLACES).format(make(draw)) for make in makers]
    return map(Sample, texts)


def number(draw: random.Random) -> str:
    length = draw.randint(13, 19)
    return str(draw.randrange(10 ** (length - 1), 10**length))


def uuids(draw: random.Random) -> str:
    found = uuid.UUID(int=draw.getrandbits(128), version=4)
    return draw.choice([str(found), found.hex, str(found).upper(), f"urn:uuid:{found}"])


def hashes(draw: random.Random) -> str:
    digest = draw.choice([hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512])(draw.randbytes(9)).digest()
    return draw.choice([digest.hex(), base64.b64encode(digest).decode(), f"sha512-{base64.b64encode(digest).decode()}"])


def timestamps(draw: random.Random) -> str:
    at = datetime.fromtimestamp(1_700_000_000 + draw.random() * 10**8, UTC)
    ns = int(at.timestamp() * 10**9)
    return draw.choice(
        [
            at.isoformat(),
            at.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            at.strftime("%Y%m%d%H%M%S%f"),
            at.strftime("%Y-%m-%d %H:%M:%S,%f")[:-3],
            *(str(ns // unit) for unit in (1, 10**3, 10**6, 10**9)),
            f"{ns / 10**9:.9f}",
            f"{draw.random()}",
        ]
    )


def versions(draw: random.Random) -> str:
    one, two, three, four = (draw.randrange(20) for _ in range(4))
    return draw.choice(
        [
            f"lodash@{one}.{two}.{three}",
            f"@aws-sdk/client-s3@{one}.{two}.{three}",
            f"express@{one}.{two}.{three}.tgz",
            f"icon@{draw.choice('23')}x.png",
            f"System.Runtime, Version={one}.{two}.{three}.{four}, Culture=neutral",
            f"v{one}.{two}.{three}.{four}",
            f"library-{one}.{two}.{three}.{four}.jar",
            f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{100 + one}.0.0.0 Safari/537.36",
            f"1.3.6.1.4.1.{one}.{two}",
            f"{one}.{two}.{three}",
            f"git@github.com:owner/repo{one}.git",
            "@app.route('/orders')",
        ]
    )


def words(draw: random.Random) -> str:
    return draw.choice(
        [
            "bearer authentication is required",
            "Bearer token missing",
            "the bearer of this letter",
            "Authorization: required",
            "authorization failed for role admin",
            '"authorizationType": "NONE"',
            "eyJ is how they begin",
            "AKIA is a prefix",
            "mail to nobody@localhost",
            "a @ b.com",
            "WWW-Authenticate: Bearer realm=example",
        ]
    )


def paths(draw: random.Random) -> str:
    names = ["var", "task", "node_modules", "src", "Orders", "Handler2", "index.js", "dist", "com", "example", "V1"]
    arn = f"arn:aws:lambda:eu-west-1:{draw.randrange(10**11, 10**12)}:function:orders"
    camel = "".join(draw.choices(["Abstract", "Factory", "Bean", "2", "Orders", "Http", "Client"], k=8))
    return draw.choice(["/" + "/".join(draw.choices(names, k=draw.randint(4, 12))), arn, camel])
