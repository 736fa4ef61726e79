"""Sink URLs that hold what nobody may read: MARKS, as people write them who mistake a URL for something else.

MISTAKEN are settings that are refused; LAWFUL are URLs that work, with a secret in their path or query. No URL
has white space, so that many fit into one FORWARDER_SINKS.
"""

from __future__ import annotations

MARKS = ("Pa55w0rd", "55775")  # a secret of letters, and one that passes for a port

_AUTHORITIES = [
    "user:Pa55w0rd@host",
    "user:ab/Pa55w0rd@host",
    "user:Pa55w0rd/ab@host/path",
    "user:Pa55w0rd#x@host",
    "user:x#Pa55w0rd@host",
    "user:Pa55w0rd?x@host",
    "user:x?Pa55w0rd@host",
    "user:55775/x@host",
    "user:55775?x@host",
    "user:55775#x@host",
    "user:55775@host:443/path",
    "user:55775%40host/x@y",
    "Pa55w0rd@host",
    "Pa55w0rd:@host",
    ":Pa55w0rd@host",
    "user:Pa55w0rd@",
    "user:Pa55w0rd",
    "user:Pa55w0rd/",
    "user:Pa55w0rd\\@host",
    "user%3APa55w0rd%40host/",
    "user:%50a55w0rd:Pa55w0rd@host",
    "user:[Pa55w0rd@host",
    "[Pa55w0rd]/",
    "[::1/Pa55w0rd",
    "host:Pa55w0rd/path",
    "host:55775x/path",
    "host:99999/Pa55w0rd",
    "host\u2100Pa55w0rd/",
    "host,Pa55w0rd/",
    "Pa55w0rd,host:1/?x",
    "host;Pa55w0rd/",
    "host/pa\u00fcth/Pa55w0rd",
    "/Pa55w0rd",
    ":443/Pa55w0rd",
]
_QUERIES = [
    "types=Pa55w0rd",
    "types=function;token=Pa55w0rd",
    "tok\u00e9n=Pa55w0rd",
    "token=Pa55w0rd\u00e9",
    "token=Pa55w0rd&compression=x",
    "ca=Pa55w0rd",
    "cert=/nonexistent/Pa55w0rd",
    "cert=/dev/null&key=Pa55w0rd",
    "key=Pa55w0rd",
    "compression=Pa55w0rd",
    "compression=gzip;token=Pa55w0rd",
    "compression=gzip,token=Pa55w0rd",
    "compression=gzip%26token=Pa55w0rd",
    "headers=Authorization:Pa55w0rd",
    "headers=Authorization:%20Bearer%20Pa55w0rd",
    "headers=Pa55w0rd",
    "headers=FORWARDER_Pa55w0rd",
    "%74ypes=Pa55w0rd",
    "types=function#Pa55w0rd",
]
_PASSED_ON = [  # to any intake by https; other sinks know them not
    "Pa55w0rd",
    "Pa55w0rd=",
    "Pa55w0rd=x",
    "token=Pa55w0rd",
    "api_key=Pa55w0rd&types=function",
    "types=function&sig=Pa55w0rd",
    "query.token=Pa55w0rd",
    "%54ypes=Pa55w0rd",
    "?types=Pa55w0rd",
    "&&Pa55w0rd&=Pa55w0rd",
]
_AWS_QUERIES = [
    "Pa55w0rd",
    "secret_access_key=Pa55w0rd",
    "region=Pa55w0rd",
    "region=eu-west-1;token=Pa55w0rd",
    "role=Pa55w0rd",
    "role=arn:aws:iam::210987654321:role/x;token=Pa55w0rd",
    "headers=Authorization:Pa55w0rd",
    "types=Pa55w0rd",
]
_OWN_QUERIES = [
    "s3://bucket/p?compression=Pa55w0rd",
    "s3://bucket/p?storage_class=Pa55w0rd",
    "s3://bucket/p?acl=Pa55w0rd",
    "s3://bucket/p?acl=private;token=Pa55w0rd",
    "firehose://stream?pack=Pa55w0rd",
    "sqs://queue?pack=Pa55w0rd",
    "kinesis://stream?partition_key=Pa55w0rd",
    "logs://group?stream=a:Pa55w0rd",
]
_OTHERS = [
    "Pa55w0rd",
    "--token=Pa55w0rd",
    "Authorization:Pa55w0rd",
    "user:Pa55w0rd@host",
    "//user:Pa55w0rd@host",
    "host/path?token=Pa55w0rd",
    "Pa55w0rd://host",
    "intake://h/v1?token=Pa55w0rd",
    "ftp://user:Pa55w0rd@host/",
    "https+Pa55w0rd://host/",
    "http+Pa55w0rd://host/",
    "s3+Pa55w0rd://bucket/",
    "https:/user:Pa55w0rd@host/",
    "https:user:Pa55w0rd@host/",
    "https//user:Pa55w0rd@host/",
    '"https://host/Pa55w0rd"',
    "'https://user:Pa55w0rd@host'",
    "https://host/Pa55w0rd,https://host/x",
    "https://user:55775,s3://x@host",
    "s3://AKIAEXAMPLE:Pa55w0rd@bucket/prefix",
    "s3://AKIAEXAMPLE:Pa55/Pa55w0rd@bucket/prefix",
    "s3://Pa55w0rd_is_no_bucket/prefix",
    "sqs://AKIAEXAMPLE:Pa55w0rd@queue",
    "sqs://AKIAEXAMPLE:55775/x/Pa55w0rd@queue",
    "firehose://AKIAEXAMPLE:Pa55w0rd@stream",
    "firehose://stream/Pa55w0rd",
    "kinesis://stream/Pa55w0rd",
    "logs://user:Pa55w0rd@group",
    "logs://user%3APa55w0rd%40group",
    "file://user:Pa55w0rd@host/path",
    "file://Pa55w0rd/path",
    "file:///tmp/x?token=Pa55w0rd",
    "file:///tmp/x#Pa55w0rd",
    "file:///dev/../proc/self/fd/Pa55w0rd",
]

MISTAKEN = [
    *(f"{scheme}://{authority}" for scheme in ("http", "https") for authority in _AUTHORITIES),
    *(f"https://host/v1?{query}" for query in _QUERIES),
    *(f"loki+https://host/v1?{query}" for query in [*_QUERIES, *_PASSED_ON]),
    *(f"s3://bucket/p?{query}" for query in _AWS_QUERIES),
    *(f"firehose://stream?{query}" for query in _AWS_QUERIES),
    *_OWN_QUERIES,
    *_OTHERS,
]

LAWFUL = [
    "https://host/Pa55w0rd",
    "https://host/receiver/v1/http/Pa55w0rd",
    "https://host:8443/v1/Pa55w0rd/logs?types=function",
    "https://host/Pa55w0rd?compression=none",
    *(f"https://host/v1?{query}" for query in _PASSED_ON),
    "http://[::1]:8080/Pa55w0rd",
    "https://host//Pa55w0rd",
    "https://host/%50a/Pa55w0rd",
    "s3://bucket/Pa55w0rd",
    "s3://bucket/p?kms_key=Pa55w0rd",
    "sqs://sqs.eu-west-1.amazonaws.com/Pa55w0rd/queue",
    "logs://group/Pa55w0rd",
    "logs://group?stream=Pa55w0rd",
    "file:///tmp/Pa55w0rd",
]


def shown(text: str) -> list[str]:
    """The MARKS that stand in the text, in any case."""
    return [mark for mark in MARKS if mark.lower() in text.lower()]
