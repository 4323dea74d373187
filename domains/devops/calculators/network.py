"""IPv4 subnets (RFC 4632), with Python's `ipaddress` for the addresses and plain powers of two for the counts."""

from __future__ import annotations

import ipaddress
from fractions import Fraction
from typing import Any

from domains.devops.expressions import ExpressionError, whole
from domains.devops.values import Rejected


def subnet(net: str) -> dict[str, Any]:
    """The parts of the network that `net` (an address or a network, with its prefix) is in."""
    network = ipaddress.ip_interface(net).network
    bits = 32 - network.prefixlen
    if bits < 2:
        raise ExpressionError(f"{net} has no room for a network and a broadcast address")
    return {
        "network": str(network.network_address),
        "netmask": str(network.netmask),
        "broadcast": str(network.broadcast_address),
        "first": str(network.network_address + 1),
        "last": str(network.broadcast_address - 1),
        "usable": Fraction(2**bits - 2),
        "total": Fraction(2**bits),
        "bits": Fraction(bits),
    }


def subnet_split(net: str, prefix: Fraction, index: Fraction) -> dict[str, Any]:
    """`net` cut into subnets of `prefix`: how many, and the one with number `index`, counted from 1."""
    network = ipaddress.IPv4Network(net)
    longer = whole(prefix, network.prefixlen, 32)
    count, size = 2 ** (longer - network.prefixlen), 2 ** (32 - longer)
    number = whole(index, 1)
    if number > count:
        raise Rejected(f"{net} has no subnet number {number} of /{longer}")
    start = network.network_address + (number - 1) * size
    return {"count": Fraction(count), "nth": f"{start}/{longer}", "size": Fraction(size)}


def prefix_for_hosts(hosts: Fraction) -> dict[str, Any]:
    """The smallest subnet with `hosts` usable addresses."""
    needed = whole(hosts, 1, 2**24) + 2
    bits = max(2, (needed - 1).bit_length())
    size = 2**bits
    found = {"prefix": 32 - bits, "bits": bits, "size": size, "usable": size - 2, "needed": needed}
    return {key: Fraction(value) for key, value in found.items()}


def contains(net: str, address: str) -> dict[str, Any]:
    """Is `address` in `net`? With the range that decides it."""
    network = ipaddress.IPv4Network(net)
    inside = ipaddress.IPv4Address(address) in network
    return {"inside": "yes" if inside else "no", "first": str(network[0]), "last": str(network[-1])}


def supernet(net: str, bits: Fraction) -> dict[str, Any]:
    """The network `bits` shorter that holds `net`, and how many networks of the size of `net` it joins."""
    network = ipaddress.IPv4Network(net)
    shorter = whole(bits, 1, network.prefixlen)
    joined = network.supernet(prefixlen_diff=shorter)
    return {"joined": str(joined), "count": Fraction(2**shorter), "bits": Fraction(shorter)}
