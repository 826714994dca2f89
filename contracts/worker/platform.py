"""The platform's own contract, `contracts`: deploying contracts and changing what is deployed.

    deploy(name, source)                     a new contract, owned by the deployer's organisation
    upgrade(name, source, from_height=None)  another version, at once or from a later block on
    freeze(name, reason), unfreeze(name)     calls are refused meanwhile, views still answer
    retire(name, reason)                     for good; the state stays readable and provable

It is written here and not in the dialect because it writes where no contract can: the name space
that `contracts.deployment_layout` describes. Only transactions reach it, no contract does, so
nobody deploys by calling a contract that turns out to do more than it says.

Deploying takes a signer's key with the role `deployer`; all else takes a deployer of the owning
organisation, or a governor. What genesis seeds has no owner, so there governors alone decide. A
later upgrade holds from its height on, whatever was planned for then before it. A version with a
`migrate()` starts at once, and that function runs under the new code as a part of this call: it
ends well, or there is no upgrade.

A call that may not be made is refused (`Rejected`); one that does not fit what is there ends as
`reverted`: BAD_NAME, EXISTS, FROZEN, NOT_FROZEN, RETIRED, UNCHANGED, BAD_HEIGHT, MIGRATE_AT_ONCE,
TOO_MANY_PLANNED, NO_ROOM, BAD_REASON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from contracts import deployment_layout as layout
from contracts.dialect import (
    Compiled,
    CompileRefused,
    ContractError,
    Meter,
    Reverted,
    compile_source,
)
from contracts.dialect.compiler import UNBOUNDED
from contracts.worker.host import WRITE_GAS, WRITTEN_SHIFT, Scope
from ledger import canonical

if TYPE_CHECKING:
    from contracts.worker.loader import Loaded

CHANGE_GAS: Final = 1_000
"""A change, its writes and a new version aside: some reads of registry and entry."""

OTHER_GAS: Final = 3_000
"""More than anything else in such a call takes: finding it, the change, entry and history."""

REASON_CHARACTERS_MAX: Final = 500
"""A sentence or two for people; papers belong elsewhere."""

PLANNED_MAX: Final = 4
"""Versions waiting for their height: every call reads the entry that holds them."""

INSTANCE_WEIGHT: Final = 10_000
"""Weight of a version beside the gas that compiling takes: 15 KB, however short the source."""

WEIGHT_MAX: Final = 16_000_000
"""All contracts in use that were deployed since genesis: 100 of the licence library's size, 8 of
the largest; 40 MB of a worker's memory, and it keeps twice as much (`contracts.worker.loader`)."""


class Rejected(Exception):
    """The platform refuses a call before any of its code runs."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class Chain(Protocol):
    """What the platform's contract needs of the executor."""

    scope: Scope

    def registry(self, key: str) -> object:
        """Decoded value under `key` of the registry, not to be changed."""

    def deployment(self, key: str) -> object:
        """Decoded value under `key` of `contracts`, not to be changed."""

    def load_new(self, contract: str, source: str) -> Loaded:
        """Compile a version at the call's expense. Raises CompileRefused, OutOfGas."""

    def migrate(self, contract: str, source_hash: bytes) -> None:
        """Run `migrate()` of a version that is in force from now on."""


class Platform:
    """The methods of the contract `contracts`, for one executor."""

    def __init__(self, chain: Chain, meter: Meter) -> None:
        self._chain = chain
        self._meter = meter
        self._methods: dict[str, Callable[..., object]] = {
            "deploy": self._deploy,
            "upgrade": self._upgrade,
            "freeze": self._freeze,
            "unfreeze": self._unfreeze,
            "retire": self._retire,
        }

    def invoke(self, method: str, args: list[object] | dict[str, object]) -> object:
        """Call `method`. Raises `Rejected` and verdicts, ContractError TYPE for wrong arguments."""
        if method not in self._methods:
            raise Rejected("unknown_method")
        values = _bound(layout.METHODS[method], args)
        self._meter.charge(CHANGE_GAS)
        return self._methods[method](*values)

    def _deploy(self, name: str, source: str) -> int:
        author = layout.deployer(self._chain.registry, self._chain.scope.signers)
        if author is None:
            raise Rejected("missing_role")
        if not layout.name_allowed(name):
            raise Reverted("BAD_NAME")
        if self._chain.deployment(name) is not None:
            raise Reverted("EXISTS")
        _, version = self._version(name, 1, source, self._chain.scope.height)
        entry = {"status": layout.ACTIVE, "owner": author.organisation, "changes": 0}
        self._weigh(version["weight"])
        self._declare(name, entry, [version], "deployed", author)
        return 1

    def _upgrade(self, name: str, source: str, from_height: int | None) -> int:
        entry, author = self._entry(name)
        height = self._chain.scope.height
        if entry["status"] == layout.RETIRED:
            raise Reverted("RETIRED")
        if from_height is not None and from_height <= height:
            raise Reverted("BAD_HEIGHT")
        start = height if from_height is None else from_height
        before = entry["versions"]
        if _unchanged(before[-1], source, height, start):
            raise Reverted("UNCHANGED")
        compiled, version = self._version(name, before[-1]["number"] + 1, source, start)
        if compiled.migrates and from_height is not None:
            raise Reverted("MIGRATE_AT_ONCE")
        versions = [*_still_needed(before, height, start), version]
        if len(versions) > 1 + PLANNED_MAX:
            raise Reverted("TOO_MANY_PLANNED")
        self._weigh(_weight(versions) - _weight(before))
        self._declare(name, entry, versions, "upgraded", author)
        if compiled.migrates:
            self._chain.migrate(name, version["source"])
        return cast(int, version["number"])

    def _freeze(self, name: str, reason: str) -> None:
        self._change_status(name, layout.FROZEN, "frozen", reason)

    def _unfreeze(self, name: str) -> None:
        self._change_status(name, layout.ACTIVE, "unfrozen", None)

    def _retire(self, name: str, reason: str) -> None:
        entry = self._change_status(name, layout.RETIRED, "retired", reason)
        self._weigh(-_weight(entry["versions"]))

    def _change_status(
        self, name: str, status: str, action: str, reason: str | None
    ) -> dict[str, Any]:
        """Give the contract another status; returns its entry before."""
        entry, author = self._entry(name)
        if entry["status"] in (layout.RETIRED, status):
            nothing_to_end = action == "unfrozen" and entry["status"] == status
            raise Reverted("NOT_FROZEN" if nothing_to_end else entry["status"].upper())
        change: dict[str, object] = {
            "action": action,
            "height": self._chain.scope.height,
            "organisation": author.organisation,
            "key": author.key,
        }
        if reason is not None:
            if not 0 < len(reason) <= REASON_CHARACTERS_MAX:
                raise Reverted("BAD_REASON")
            change["reason"] = reason
        self._record(name, entry | {"status": status}, change)
        return entry

    def _entry(self, name: str) -> tuple[dict[str, Any], layout.Author]:
        """The entry of a deployed contract, and who of the signers may change it."""
        entry = self._chain.deployment(name) if layout.could_be(name) else None
        if not isinstance(entry, dict):
            raise Rejected("unknown_contract")
        scope = self._chain.scope
        author = layout.keeper(self._chain.registry, scope.signers, entry["owner"])
        if author is None:
            raise Rejected("missing_role")
        return entry, author

    def _version(
        self, name: str, number: int, source: str, from_height: int
    ) -> tuple[Compiled, dict[str, Any]]:
        """Compile `source` at the call's expense and store it."""
        try:
            loaded = self._chain.load_new(name, source)
        except CompileRefused:
            raise Rejected("compile_refused") from None
        digest = layout.source_hash(source)
        self._put(layout.source_key(digest), source)
        version = layout.new_version(number, from_height, digest, loaded.weight)
        return loaded.instance.compiled, version

    def _weigh(self, more: int) -> None:
        """Change the sum of all weights. Raises Reverted NO_ROOM."""
        total = cast(int, self._chain.deployment(layout.TOTAL_KEY) or 0) + more
        if more > 0 and total > WEIGHT_MAX:
            raise Reverted("NO_ROOM")
        self._put(layout.TOTAL_KEY, total)

    def _declare(
        self,
        name: str,
        entry: dict[str, Any],
        versions: list[dict[str, Any]],
        action: str,
        author: layout.Author,
    ) -> None:
        height = self._chain.scope.height
        change = layout.version_change(
            action, versions[-1], height, author.organisation, author.key
        )
        self._record(name, entry | {"versions": versions}, change)

    def _record(self, name: str, entry: dict[str, Any], change: dict[str, object]) -> None:
        """Write the entry, append the change to the history and announce it."""
        number = entry["changes"]
        self._put(name, entry | {"changes": number + 1})
        self._put(layout.history_key(name, number), change)
        announced = {key: item for key, item in change.items() if key != "action"} | {"name": name}
        data = {key: announced[key] for key in sorted(announced)}
        scope = self._chain.scope
        scope.events.append((scope.index, layout.CONTRACT, str(change["action"]), data))

    def _put(self, key: str, value: object) -> None:
        data = canonical.encode(cast(canonical.Value, value))
        self._meter.charge(WRITE_GAS + ((len(key) + len(data)) >> WRITTEN_SHIFT))
        self._chain.scope.state.put(layout.CONTRACT, key, data)


def expected_gas(source: str) -> int:
    """What deploying `source`, or upgrading to it, takes at most; a `migrate()` comes on top.

    Raises CompileRefused.
    """
    meter = Meter(UNBOUNDED)
    compile_source(source, meter)
    return meter.used + (len(source.encode()) >> WRITTEN_SHIFT) + OTHER_GAS


def _bound(parameters: tuple[str, ...], args: list[object] | dict[str, object]) -> list[Any]:
    """The arguments in order, checked; `from_height` may be left out or None."""
    if isinstance(args, list):
        if len(args) > len(parameters):
            raise ContractError("TYPE")
        args = dict(zip(parameters, args, strict=False))
    if not set(args) <= set(parameters):
        raise ContractError("TYPE")
    values = [args.get(name) for name in parameters]
    for name, value in zip(parameters, values, strict=True):
        fits = value is None or type(value) is int if name == "from_height" else type(value) is str
        if not fits:
            raise ContractError("TYPE")
    return values


def _unchanged(last: dict[str, Any], source: str, height: int, start: int) -> bool:
    """Whether an upgrade from `start` on would change nothing: a retry of one that was made."""
    started = last["from"] <= height
    same = bool(last["source"] == layout.source_hash(source))
    return same and (started or last["from"] == start)


def _still_needed(versions: list[dict[str, Any]], height: int, start: int) -> list[dict[str, Any]]:
    """Versions of use beside one from `start` on: the one in force, and those that start between
    now and then."""
    if start == height:
        return []
    earlier = [version for version in versions if version["from"] < start]
    started = [version for version in earlier if version["from"] <= height]
    return started[-1:] + earlier[len(started) :]


def _weight(versions: list[dict[str, Any]]) -> int:
    return sum(version["weight"] for version in versions)
