"""The proxy of a server, by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in upper or lower case."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from extension.sinks import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable


def proxy_of(url: SplitResult) -> SplitResult | None:
    """The proxy to ask for a URL, unless NO_PROXY excepts its host. Raises Unavailable for one that cannot be used."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    import urllib.request  # noqa: PLC0415 - 3 ms, and proxies are rare

    proxies = urllib.request.getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named or urllib.request.proxy_bypass(url.netloc) or _is_in(url.hostname or "", proxies.get("no", "")):
        return None
    try:
        proxy = urlsplit(named if "://" in named else f"http://{named}")
        if proxy.scheme == "http" and proxy.hostname and proxy.port != 0:
            return proxy
    except ValueError:  # its text quotes the URL, password and all
        pass
    # It is the function's variable, and none of ours: it costs the sinks that need it, and no others.
    variable = f"{url.scheme.upper()}_PROXY" if url.scheme in proxies else "ALL_PROXY"
    raise Unavailable(f"{variable} is no URL of a proxy that can be used; expected http://host:port")


def authorization(proxy: SplitResult | None) -> dict[str, str]:
    """The header with a proxy's credentials; empty where it has none."""
    if proxy is None or proxy.username is None:
        return {}
    credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


def _is_in(host: str, excepted: str) -> bool:
    """Whether the host is an address in one of the networks, or one of the addresses, that NO_PROXY lists.

    urllib knows no networks, and an IPv6 address only in brackets.
    """
    if not (":" in host or host.replace(".", "").isdecimal()):
        return False
    import ipaddress  # noqa: PLC0415 - as above

    def networks() -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        for entry in excepted.split(","):
            try:
                yield ipaddress.ip_network(entry.strip(), strict=False)
            except ValueError:  # a name, as most are
                continue

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks())
