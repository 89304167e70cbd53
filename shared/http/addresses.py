"""Which addresses are public: nobody outside decides where inside we call."""

from __future__ import annotations

import ipaddress
import logging

from requests_hardened.ip_filter import EXTRA_BLOCKED_NET_RANGES

from shared.dns.lookups import AddressInfo, IpAddress, parse_ip

log = logging.getLogger(__name__)

#: Whether a guarded call may go to this machine. Never; a test of TLS has nowhere else to go.
ALLOW_LOOPBACK = False


#: IPv6 networks that stand for IPv4 ones, whatever a gateway makes of them.
_EMBEDDING = tuple(
    ipaddress.ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0:0/96",  # SIIT
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of a site
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    )
)
#: What a cloud's machines reach their host at: global by its number, and never on the internet.
_CLOUD_HOSTS = frozenset({ipaddress.ip_address("168.63.129.16")})  # Azure's WireServer


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the whole internet: what is not known to be global is refused."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or address.scope_id or any(address in network for network in _EMBEDDING):
            return False
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return address not in _CLOUD_HOSTS and not any(address in network for network in EXTRA_BLOCKED_NET_RANGES)


def are_public(host: str, infos: list[AddressInfo]) -> bool:
    """Whether all addresses of a host are public: a name with one private address does not get another chance."""
    refused = sorted({info[4][0] for info in infos if not _is_public_text(info[4][0])})
    if refused:
        # The log may name them; who gave the host must not learn what is behind it.
        log.warning(
            "address_refused", extra={"host": host, "addresses": refused, "allowed_by": "WEBHOOK_ALLOW_PRIVATE_ADDRESSES"}
        )
    return bool(infos) and not refused


def _is_public_text(text: str) -> bool:
    address = parse_ip(text)
    return address is not None and (is_public(address) or (ALLOW_LOOPBACK and address.is_loopback))
