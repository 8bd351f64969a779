"""Host objects of the simulated array: a name and its initiator ports [EVA 1.5].

What it is: making, listing and deleting them. What it is not: what they see; that is in
`frskit.eva.presentations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import LimitExceeded, NameInUse, StillPresented, UsageError
from frskit.eva.identifiers import ObjectClass, port_name
from frskit.eva.records import HostRecord
from frskit.model.ids import HostRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.eva.array_state import ArrayState

__all__ = ["Hosts"]


class Hosts:
    """The host objects of one array.

    Arguments, results and errors are described at `frskit.eva.array.SimulatedEva`.

    Args:
        state: The array's state.
    """

    def __init__(self, state: ArrayState) -> None:
        self._state = state

    def hosts(self) -> Sequence[HostRef]:
        """The host objects, by age."""
        with self._state.query():
            return tuple(self._state.tables.hosts.rows)

    def host_ports(self, host: HostRef) -> Sequence[str]:
        """The initiator ports of a host, in the array's spelling."""
        with self._state.query():
            return self._state.host(host).ports

    def add_host(self, name: str, *, ports: Sequence[str], mode: str | None = None) -> HostRef:
        """Make a host object of initiator ports; the same name and ports return the same."""
        if mode is not None:
            # Nothing in the simulation depends on one, so it offers none.
            raise UsageError(f"{mode!r} is no host mode of this array", context={"host": name})
        spelled = tuple(dict.fromkeys(map(port_name, ports)))
        host = HostRef(name)
        with self._state.command():
            hosts = self._state.tables.hosts.rows
            known = hosts.get(host)
            if known is not None and set(known.ports) == set(spelled):
                return host
            self._check_host(name, spelled)
            record = HostRecord(
                name=host, identity=self._state.new_identity(ObjectClass.HOST), ports=spelled
            )
            self._state.tables.hosts.put(host, record)
            self._state.log("add_host", name, " ".join(spelled))
            return host

    def _check_host(self, name: str, ports: tuple[str, ...]) -> None:
        profile, hosts = self._state.profile, self._state.tables.hosts.rows
        profile.names.check(name, "host")
        if not ports:
            raise UsageError("a host needs at least one port")
        known = next((each for each in hosts if profile.names.same(name, each)), None)
        if known is not None:
            raise NameInUse(f"there is a host {known!r} already", context={"host": known})
        for other in hosts.values():
            shared = sorted(set(ports) & set(other.ports))
            if shared:
                raise NameInUse(
                    f"the port {shared[0]} belongs to the host {other.name!r}",
                    context={"host": other.name, "port": shared[0]},
                )
        known_ports = sum(len(other.ports) for other in hosts.values())
        if len(hosts) >= profile.max_hosts or known_ports + len(ports) > profile.max_ports:
            raise LimitExceeded(
                f"{profile.model} has at most {profile.max_hosts} hosts "
                f"with {profile.max_ports} ports"
            )

    def delete_host(self, host: HostRef) -> None:
        """Delete a host object. Unknown ones are fine."""
        with self._state.command():
            if host not in self._state.tables.hosts.rows:
                return
            seen = [number for owner, number in self._state.tables.luns.rows if owner == host]
            if seen:
                raise StillPresented(
                    f"the host {host!r} sees {len(seen)} LUNs", context={"host": host}
                )
            self._state.tables.hosts.drop(host)
            self._state.log("delete_host", host)
