"""Contracts ready to run: compiled, bound to their host functions, and kept.

Compiling is paid by the call that deploys a source, and by no other call. So it must not be needed
again and again: contracts in use weigh WEIGHT_MAX together (`contracts.worker.platform` sees to
it), twice as much is kept, and what fills the rest has been paid by those who deployed it. A worker
that starts compiles each contract once more, when it is first called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from contracts import deployment_layout
from contracts.dialect import Compiled, CompileRefused, Instance, Meter, compile_source, instantiate
from contracts.dialect.compiler import UNBOUNDED
from contracts.worker.host import Host
from contracts.worker.platform import INSTANCE_WEIGHT, WEIGHT_MAX, Rejected

REFUSED_KEPT: Final = 64
"""Sources known not to compile: genesis alone could bring such."""


class Loaded(NamedTuple):
    """`weight` as in `contracts.deployment_layout`."""

    instance: Instance
    host: Host
    weight: int


class MissingSource(Exception):
    """The state names a source it does not hold: a broken ledger, never an outcome."""

    def __init__(self, source_hash: bytes) -> None:
        self.source_hash = source_hash
        super().__init__(source_hash.hex())


class Loader:
    """Keeps the contracts of one executor, the newest loaded last."""

    def __init__(
        self,
        deployment: deployment_layout.Get,
        host: Callable[[str], Host],
        meter: Meter,
    ) -> None:
        self._deployment = deployment
        self._host = host
        self._meter = meter
        self._loaded: dict[tuple[str, bytes], Loaded] = {}
        self._weight = 0
        self._refused: set[bytes] = set()

    def load(self, contract: str, source_hash: bytes) -> Loaded:
        """The version of `contract` with this source. Raises `Rejected` if it does not compile."""
        found = self._loaded.get((contract, source_hash))
        if found is not None:
            return found
        if source_hash in self._refused:
            raise Rejected("compile_refused")
        source = self._deployment(deployment_layout.source_key(source_hash))
        if not isinstance(source, str):
            raise MissingSource(source_hash)
        unpaid = Meter(UNBOUNDED)
        try:
            compiled = compile_source(source, unpaid)
        except CompileRefused:
            if len(self._refused) == REFUSED_KEPT:
                self._refused.clear()
            self._refused.add(source_hash)
            raise Rejected("compile_refused") from None
        return self._keep(contract, source_hash, compiled, unpaid.used)

    def load_new(self, contract: str, source: str) -> Loaded:
        """Compile a source that is about to be deployed, at the expense of the call that deploys
        it. Raises CompileRefused, OutOfGas."""
        before = self._meter.left
        compiled = compile_source(source, self._meter)
        digest = deployment_layout.source_hash(source)
        return self._keep(contract, digest, compiled, before - self._meter.left)

    def _keep(self, contract: str, source_hash: bytes, compiled: Compiled, gas: int) -> Loaded:
        host = self._host(contract)
        instance = instantiate(compiled, host.table(), self._meter)
        loaded = Loaded(instance, host, INSTANCE_WEIGHT + gas)
        replaced = self._loaded.pop((contract, source_hash), None)
        self._weight += loaded.weight - (replaced.weight if replaced is not None else 0)
        while self._weight > 2 * WEIGHT_MAX:
            self._weight -= self._loaded.pop(next(iter(self._loaded))).weight
        self._loaded[contract, source_hash] = loaded
        return loaded
