"""What secrets look like that have a known form: addresses, cards, tokens and keys. A leaf.

RE2 finds where one may be; whether it is one is decided here, by the characters around it and what it consists of,
which no regular expression can count or sum up. docs/redaction.md describes each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import log2
from typing import NamedTuple

Spans = Iterator[tuple[int, int]]


class Preset(NamedTuple):
    r"""One kind of secret, in bytes of UTF-8; `look` and `find` are expressions of RE2.

    `look` is in every line of JSON that holds one at any depth of quoting, unless a character of it is written as
    \\u00XX. `find` is where one may be in plain text; `narrow` gives what of such a place is to be redacted.
    """

    look: str
    find: str
    narrow: Callable[[bytes, int, int], Spans]


# Email addresses

# Endings of file names and units that are no top-level domain: icon@2x.png, getty@tty1.service.
FILES = "cjs css gif jar jpeg jpg js json jsx lock map mjs mount png svg target tgz timer ts tsx webp whl xml yaml yml"
NO_DOMAINS = frozenset([*FILES.split(), "service", "socket"])
# Letters of any script, which RE2 needs thousands of instructions for; the part before the @ from its end.
LOCAL_BACKWARDS = re.compile(r"[\w%+-][\w.%+-]*")
DOMAIN = re.compile(r"(?:\w(?:[\w-]{0,62})\.)+([^\W\d_]{2,})")
HASH_FIRST = re.compile(r"[0-9a-f]{5,8}\.")
VERSION_FIRST = re.compile(r"\d+\.\d+\.|\dx\.")  # of lodash@4.17.21, as a domain


def _email(text: bytes, start: int, end: int) -> Spans:
    found = text[start:end].decode("utf-8", "replace")
    at = "@" if found.rfind("@") > found.rfind("%40") else "%40"
    local, _, domain = found.rpartition(at)
    before, after = LOCAL_BACKWARDS.match(local[::-1]), DOMAIN.match(domain)
    if before is None or after is None or after[1].lower() in NO_DOMAINS or VERSION_FIRST.match(domain):
        return
    follows = text[end : end + 1]
    if (follows == b"(" and HASH_FIRST.match(domain)) or (follows == b":" and before[0] == "tig"):
        return  # Pool@5e2de80c.take(), git@github.com:owner/repository
    begin = start + len(local[: len(local) - len(before[0])].encode())
    yield begin, begin + len((before[0] + at + after[0]).encode())


# Payment cards

# Issuers by the first digits, from and to, with the lengths of their numbers: ISO/IEC 7812 as "Payment card number" of
# Wikipedia lists it, without Visa's 13 and 19 digits and Maestro, which many other numbers look like.
ISSUERS = (
    ("4", "4", (16,)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "649", (16, 19)),
    ("65", "65", (16, 19)),
    ("3528", "3589", (16, 19)),  # JCB
    ("300", "305", (14,)),  # Diners Club
    ("36", "36", (14,)),
    ("38", "39", (14,)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
)
# Alone, or in the groups that are printed on cards; no part of a longer number, word, UUID or fraction.
CARD = re.compile(
    rb"(?<!\w)(?<!\d\.)(?<!\w-)(?=("
    rb"\d{14,19}|\d{4}(?P<a>[ -])\d{4}(?P=a)\d{4}(?P=a)\d{4}(?P<last>(?P=a)\d{3})?|\d{4}(?P<b>[ -])\d{6}(?P=b)\d{4,5}"
    rb"|\d{6}[ -]\d{10,13}"
    rb")(?!\w)(?!\.\d)(?!-\w))"
)


def _card(text: bytes, start: int, end: int) -> Spans:
    for found in CARD.finditer(text, start, min(len(text), end + 2)):
        begin, whole = found.span(1)
        # Three digits behind four groups may be another thing: a security code, or the status of a response.
        for last in (whole, found.start("last")) if found["last"] else (whole,):
            if is_card(text[begin:last].translate(None, b" -").decode()):
                yield begin, last
                break


def is_card(digits: str) -> bool:
    """Whether digits are the number of a payment card: an issuer's, of its length, with a check digit that is right."""
    return _has_issuer(digits) and luhn(digits) == 0


def _has_issuer(digits: str) -> bool:
    return any(len(digits) in lengths and first <= digits[: len(first)] <= last for first, last, lengths in ISSUERS)


def luhn(digits: str) -> int:
    """The sum of Luhn's algorithm, modulo 10 (ISO/IEC 7812-1, annex B); 0 where the last digit is right."""
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(sum(divmod(2 * int(digit), 10)) for digit in even)) % 10


# Keys of AWS

KEY_ID_LENGTH, SECRET_LENGTH, TOKEN_LENGTH = 20, 40, 100
TOKENS = (b"IQoJ", b"FwoG", b"FQoG", b"AQoD")  # how session tokens of STS begin
PLAUSIBLE_BITS = 4.2  # of entropy in a character of 40: random ones have 4.4 to 5.1, words and paths less
DIGIT = re.compile(rb"\d")
CLASSES = (re.compile(rb"[A-Z]"), re.compile(rb"[a-z]"), DIGIT)


def _aws_key(text: bytes, start: int, end: int) -> Spans:
    found, before, after = text[start:end], text[max(0, start - 1) : start], text[end : end + 1]
    if len(found) == KEY_ID_LENGTH:
        if not before.isalnum() and not after.isalnum():
            yield start, end
    elif len(found) == SECRET_LENGTH:
        is_part = (before and before in b"._-+/") or (after and after in b"=_-")
        if not is_part and all(one.search(found) for one in CLASSES) and _entropy(found) > PLAUSIBLE_BITS:
            yield start, end
    elif len(found) >= TOKEN_LENGTH and found.startswith(TOKENS):
        yield start, end


def _entropy(text: bytes) -> float:
    """Bits in a byte of the text, by how often each occurs in it."""
    shares = [text.count(byte) / len(text) for byte in set(text)]
    return -sum(share * log2(share) for share in shares)


# IPv4 addresses

PART = re.compile(rb"(?:[A-Za-z0-9_]|\w\.|[A-Za-z]-)\Z")  # of something longer, before
PART_AFTER = re.compile(rb"\w|\.\w|-[A-Za-z]")
VERSION = re.compile(rb"(?:\b(?:version|ver|v|release|build)[\"' =:/,]{0,4}|\.jar:)\Z", re.IGNORECASE)
PRODUCT = re.compile(rb"[A-Za-z]/\Z")  # Chrome/119.0.0.0


def _ipv4(text: bytes, start: int, end: int) -> Spans:
    found, before = text[start:end], text[max(0, start - 14) : start]
    octets = found.split(b".")
    if octets[0] == b"127" or found == b"0.0.0.0":  # which are nobody's
        return
    is_address = all(int(octet) <= 255 and (octet == b"0" or octet[:1] != b"0") for octet in octets)
    is_version = VERSION.search(before) or (PRODUCT.search(before) and found.endswith(b".0.0"))
    if is_address and not is_version and not PART.search(before) and not PART_AFTER.match(text, end):
        yield start, end


# Tokens

OF_A_TOKEN = rb"basic|bearer|negotiate|ntlm"  # schemes; those of all others may be parameters
SCHEMES = OF_A_TOKEN + rb"|digest|token|oauth|api-?key|bot|key|dpop|hmac|hawk|mac|aws4-[a-z0-9-]+"
ONE_TOKEN = re.compile(OF_A_TOKEN, re.IGNORECASE)
CREDENTIAL = re.compile(
    rb"(?P<before>authorization(?:[-_]?token)?"
    rb"(?:[\"'\\]*\s*(?:=>|[:=])[\s\[]*(?:b(?=[\"']))?[\"'\\]*|[\"'\\]+\s*,\s*b?[\"'\\]+(?=(?:%b)(?:[ \t+]|%%20)))"
    rb"(?:(?P<scheme>%b)(?:(?:[ \t]|\r?\n[ \t]|%%20)+|\+)|[a-z-]+[ \t]+)?|bearer(?:\s|%%20|[+:=])+[\"']?)"
    rb"(?P<token>[a-z0-9._~+/|-][^\s\"',\\\x7f]*)" % (SCHEMES, SCHEMES),  # DEL is where something was found already
    re.IGNORECASE,
)
PARAMETER = re.compile(  # RFC 9110, 11.2; in quotes that may be escaped themselves, and are not the end of a token's
    rb"(?:\s*,\s*|[ \t;]+)?[\w-]{1,40}[ \t]*=[ \t]*"
    rb"(?:(?P<quote>\\*[\"'])(?![\s,}\])])(?:(?!(?<!\\)(?P=quote)).)*+(?P=quote)?|[^\s\"',\\=][^\s\"',\\]*)"
)
IN_URL = re.compile(rb"=(?!>)")
MAX_PARAMETERS = 32  # of one credential, which then is all of the line: a text may be nothing but parameters
CLOSING = b")]}>;"  # of what stands around a token
# A challenge, a name, or a scheme whose credential was found already.
NO_TOKEN = re.compile(rb"(?:realm|scope|error\w*)=|\w+://|arn:|(?:%b)\Z" % SCHEMES, re.IGNORECASE)
SHORT, LONG = 4, 20  # characters of a token behind its scheme, and of a word that is none
LEAST = {b"b": 8, b"a": 16}  # with a digit in it, by the first letter of what is before it: fewer than LONG will do
VALUE = re.compile(rb"(?:(?:%b)(?:[\s:=]|%%20)+)?" % SCHEMES, re.IGNORECASE)
WORD = re.compile(rb"[A-Za-z_-]{0,19}")


def credential(value: bytes) -> Spans:
    """What of the value of a field called authorization is secret: all behind the scheme, or all but a lone word."""
    end = len(value.rstrip())
    start = end - len(value[:end].lstrip())
    behind = VALUE.match(value, start, end)
    begin = behind.end() if behind else start
    is_word = begin == start and WORD.fullmatch(value, start, end)
    if value[begin:end].strip(b"\x7f") and not is_word:
        yield begin, end


def _bearer(text: bytes, start: int, end: int) -> Spans:
    """A signature, or the credential. Behind a bare `Bearer`, or without a scheme, a word of a sentence is none."""
    if text[start : start + 1] in b"sS":
        yield end - 64, end
        return
    found = CREDENTIAL.match(text, start)
    if found is None:
        return
    begin, scheme = found.start("token"), found["scheme"]
    if scheme and not ONE_TOKEN.fullmatch(scheme) and (last := _end_of_parameters(text, begin)) > begin:
        yield begin, last
        return
    token = found["token"].partition(b"&")[0] if _is_in_url(found["before"]) else found["token"]
    token = token.rstrip(CLOSING)
    has_digit = len(token) < LONG and DIGIT.search(token)  # a long one does not need any
    least = SHORT if scheme else LEAST[text[start : start + 1].lower()] if has_digit else LONG
    if len(token) >= least and (scheme or not NO_TOKEN.match(token)):
        yield begin, begin + len(token)


def _end_of_parameters(text: bytes, at: int) -> int:
    for _ in range(MAX_PARAMETERS):
        found = PARAMETER.match(text, at)
        if found is None:
            return at
        at = found.end()
    line_end = text.find(b"\n", at)
    return line_end if line_end >= 0 else len(text)


def _is_in_url(before: bytes) -> bool:
    """Whether the token behind it is one of a query. `before` may be long: nothing of it is searched twice."""
    unquoted = before[max(before.rfind(b'"'), before.rfind(b"'")) + 1 :]
    return before.endswith((b"%20", b"+")) or IN_URL.search(unquoted) is not None


# JSON Web Tokens


def _whole(_text: bytes, start: int, end: int) -> Spans:
    yield start, end


B64 = "[A-Za-z0-9_-]"
NOT_ASCII = r"[^\x00-\x7f]"
CREDENTIALS = "[A-Za-z0-9._~+/|-]"
STS = "(?:IQoJ|FwoG|FQoG|AQoD)"
PRESETS = {
    "email": Preset(
        r'[^\s"](?:@|%40)[^\s"@/]*\.',
        rf"(?:[\w.%+-]|{NOT_ASCII})+(?:@|%40)(?:[\w.-]|{NOT_ASCII})+\.(?:[a-zA-Z]|{NOT_ASCII}){{2,}}",
        _email,
    ),
    "card": Preset(r"\d(?:[ -]?\d){13}", r"\d[\d -]{12,}\d", _card),
    "jwt": Preset("eyJ", rf"eyJ{B64}{{10,}}\.{B64}*\.{B64}*(?:\.{B64}+\.{B64}+)?", _whole),
    "aws-key": Preset(
        rf"(?:AKIA|ASIA)[0-9A-Z]{{16}}|[A-Za-z0-9/+\\]{{40}}|{STS}",
        rf"(?:AKIA|ASIA)[0-9A-Z]{{16}}|{STS}(?:[A-Za-z0-9/+]|%2[BbFf]){{36,}}(?:=|%3[Dd])*|[A-Za-z0-9/+]{{40,}}=*",
        _aws_key,
    ),
    "ipv4": Preset(r"\d\.\d{1,3}\.\d{1,3}\.\d", r"(?:\d{1,3}\.){3}\d{1,3}", _ipv4),
    "bearer": Preset(
        "(?i)bearer|authorization|signature=",
        rf"(?i)\bbearer(?:\s|%20|[+:=])+[\"']?{CREDENTIALS}"
        r"|authorization(?:[-_]?token)?[\"'\\]*\s*(?:=>|[:=,])"
        r"|signature=[0-9a-f]{64}",
        _bearer,
    ),
}  # fmt: skip - a table
