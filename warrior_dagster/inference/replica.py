"""One of the servers that serve the same model: its address and proxy, and what the client knows of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from warrior_dagster.inference.failures import Unreachable
from warrior_dagster.inference.rate_limits import RateLimits


@dataclass(slots=True, eq=False)
class Replica:
    """A server at a base URL."""

    url: str
    address: URL
    proxy: URL | None
    benched_until: float = 0.0
    """time.monotonic until which it is avoided, because it could not be reached."""
    single_samples: bool = False
    """Whether it gave fewer choices than samples, or refused `n`."""
    limits: RateLimits = field(default_factory=RateLimits)


def replica(url: str, path: str) -> Replica:
    """The server at a base URL whose completions are at `path`."""
    address = URL(url.rstrip("/") + path)
    return Replica(url.rstrip("/"), address, proxy_of(address))


def proxy_of(address: URL) -> URL | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, NO_PROXY, ...); none for this machine itself.

    Raises Unreachable for a proxy that is not an HTTP proxy or no URL.
    """
    host = address.host or ""
    if host == "localhost" or host.endswith(".localhost") or is_this_machine(host) or proxy_bypass(host):
        return None
    proxy = getproxies().get(address.scheme)
    if not proxy:
        return None
    kind, separator, _ = proxy.partition("://")
    if kind not in ("http", "https"):
        found = f"a {kind} proxy" if separator else "one without http://"
        raise Unreachable(f"expected an http:// proxy for {address.origin()}; the environment names {found}")
    try:
        return URL(proxy)
    except ValueError:  # its text may have the password
        raise Unreachable(f"expected an http:// proxy for {address.origin()}; the environment names an invalid one") from None


def is_this_machine(host: str) -> bool:
    """Whether a host is an IP address of this machine's loopback, or 0.0.0.0, which connects there too."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def least_loaded(replicas: Sequence[Replica], tokens: int) -> tuple[Replica, float]:
    """The server for a request with so many tokens, and the seconds until its rate limits let the request through."""
    now = time.monotonic()
    waits = [one.limits.wait(tokens) for one in replicas]
    ranked = [(one.benched_until > now, wait, one.limits.requests) for one, wait in zip(replicas, waits, strict=True)]
    best = ranked.index(min(ranked))
    return replicas[best], waits[best]
