"""Believes nodes only as far as their proofs go.

With a trust file, an outcome is final for us when a proof of its receipt verifies against it, and
the outcomes of calls and events count only if they hash to that receipt's roots; an entry is shown
from its proof, never from what the node says beside it. A node that lies is named, and the command
ends with exit code 5. Without a trust file everything is "said by NODE".

What no proof shows is that something is *not* yet there: "pending", "unknown" and "expired" are a
node's word. A false "expired" can at worst make a row be sent again, which its contract refuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from cli import output
from cli.client import MSGPACK, Answer, Client, NodeRefused, path
from cli.errors import NotProven
from cli.journal import Outcome, Signed
from cli.trustfile import read_trust
from ledger import canonical, merkle
from ledger.errors import QiongError
from ledger.proof_claims import TransactionClaim
from ledger.proof_format import Proof
from ledger.proof_verdicts import Verdict, worst
from ledger.proofs import verify, verify_each
from ledger.receipt import CallOutcome, Event, Receipt
from ledger.trust import TrustAnchor
from ledger.types import Digest, Gas

Status: TypeAlias = Literal["committed", "failed", "accepted", "expired", "unknown"]

LIAR_HINT: Final = "do not believe this node; ask another one with --node, and tell its operator"
TRUST_HINT: Final = "without a trust file nothing can be checked; name one with --trust FILE"


@dataclass(frozen=True)
class TransactionView:
    """What became of a transaction. `calls` and `events` are empty until it is executed."""

    id: Digest
    status: Status
    height: int | None
    calls: tuple[CallOutcome, ...]
    events: tuple[Event, ...]
    assurance: str

    @classmethod
    def accepted(cls, tx_id: Digest) -> TransactionView:
        """A node took it and nothing more is known."""
        return cls(tx_id, "accepted", None, (), (), "accepted, not committed yet")

    @property
    def final(self) -> bool:
        return self.status in ("committed", "failed", "expired")

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id.hex(),
            "status": self.status,
            "height": self.height,
            "calls": [
                {"status": c.status, "code": c.code, "gas": c.gas, "result": output.plain(c.result)}
                for c in self.calls
            ],
            "events": [
                {"call": e.call_index, "contract": e.contract, "name": e.name, "data": e.data}
                for e in self.events
            ],
            "assurance": self.assurance,
        }

    def lines(self) -> list[str]:
        where = f" in block {self.height}" if self.height is not None else ""
        lines = [f"{self.id.hex()}  {self.status}{where}"]
        for index, call in enumerate(self.calls):
            result = f"  -> {output.pretty(call.result)}" if call.result is not None else ""
            word = f"{call.status} {call.code}".rstrip()
            lines.append(f"  call {index}: {word}, gas {call.gas}{result}")
        lines += [f"  event {e.contract}.{e.name} {output.pretty(e.data)}" for e in self.events]
        return lines


@dataclass(frozen=True)
class EntryView:
    """A state entry; `value` is None where it is absent."""

    verdict: str
    height: int | None
    time: str
    value: canonical.Value
    verified: bool
    assurance: str


class Checker:
    """Asks `client` and checks against the trust file, if one is named."""

    def __init__(self, client: Client, trust_file: Path | None) -> None:
        self.client = client
        self.trust = read_trust(trust_file) if trust_file is not None else None
        self._chain_id: Digest | None = None

    @property
    def chain_id(self) -> Digest:
        """The trust file's chain, or what a node says."""
        if self.trust is not None:
            return self.trust.chain_id
        if self._chain_id is None:
            answer = self.client.get("/v1/trust")
            try:
                self._chain_id = TrustAnchor.from_json(answer.json()).chain_id
            except QiongError as error:
                raise NotProven(f"{answer.node} gave no trust document: {error}") from None
        return self._chain_id

    @property
    def assurance(self) -> str:
        """How far answers are to be believed, in a few words."""
        if self.trust is not None:
            return "every outcome was checked against the trust file"
        return f"unverified: said by {self.client.nodes[0]}; {TRUST_HINT}"

    def transaction(self, tx_id: Digest) -> TransactionView:
        """What became of `tx_id`. Raises `NotProven` if a node claims what its proof denies."""
        answer = self.client.get(path("v1", "transactions", tx_id.hex()), accept=MSGPACK)
        return self._view(tx_id, answer)

    def outcomes(self, pending: Sequence[Signed]) -> dict[Digest, Outcome]:
        """The final outcomes among `pending`, checked as `transaction` does."""
        where = [path("v1", "transactions", entry.id.hex()) for entry in pending]
        answers = self.client.get_many(where, accept=MSGPACK)
        found: dict[Digest, Outcome] = {}
        for entry, answer in zip(pending, answers, strict=True):
            view = self._view(entry.id, answer)
            if view.status == "expired":
                found[entry.id] = Outcome(None, ())
            elif view.final:
                if len(view.calls) != len(entry.rows):
                    raise NotProven(f"{answer.node}: {entry.id.hex()} has another number of calls")
                calls = tuple((str(call.status), call.code) for call in view.calls)
                found[entry.id] = Outcome(view.height, calls)
        return found

    def state(self, contract: str, key: str) -> EntryView:
        """The entry at (contract, key) by the newest proof a node has."""
        answer = self._get_state_proof(contract, key, None)
        if self.trust is not None:
            verdict = self._check_proof(answer, contract, key)
            assert verdict.time_ms is not None
            return EntryView(
                verdict.verdict,
                verdict.height,
                output.clock(verdict.time_ms),
                verdict.value,
                True,
                f"verified at height {verdict.height}: {verdict.reason}",
            )
        try:
            proof = Proof.decode(answer.body)
        except QiongError as error:
            raise NotProven(f"{answer.node} gave no proof: {error}") from None
        raw = getattr(proof.claim, "value", None)
        value = None if raw is None else canonical.decode(raw)
        word = "absent" if value is None else "present"
        return EntryView(
            word,
            proof.header.n,
            output.clock(proof.header.time_ms),
            value,
            False,
            f"unverified: said by {answer.node}; {TRUST_HINT}",
        )

    def fetch_state_proof(
        self, contract: str, key: str, *, height: int | None = None, at_ms: int | None = None
    ) -> tuple[bytes, str]:
        """The bytes of a state proof and how far they were checked."""
        answer = self._get_state_proof(contract, key, height, at_ms)
        return self._checked(answer, [f"{contract}/{key}"], height, at_ms)

    def fetch_states_proof(
        self,
        names: Sequence[tuple[str, str]],
        *,
        height: int | None = None,
        at_ms: int | None = None,
    ) -> tuple[bytes, str]:
        """The bytes of one proof of many (contract, key), and how far they were checked."""
        answer = self.client.post_json(
            "/v1/proofs/state",
            [{"contract": contract, "key": key} for contract, key in names],
            accept=MSGPACK,
            **self._when(height, at_ms),
        )
        return self._checked(answer, [f"{c}/{k}" for c, k in names], height, at_ms)

    def fetch_consistency_proof(self, first: int, second: int | None = None) -> tuple[bytes, str]:
        """The bytes of a proof that the chain at height `second`, by default the newest, goes on
        from height `first`; and how far they were checked."""
        answer = self.client.get(
            "/v1/proofs/consistency", accept=MSGPACK, to=second, since=self._since, from_=first
        )
        if self.trust is None:
            return answer.body, f"not checked: {TRUST_HINT}"
        verdict = verify(answer.body, self.trust)
        self._refuse_wrong(answer, verdict)
        asked = f"headers {first} to {verdict.height if second is None else second}"
        if verdict.subject != asked:
            raise NotProven(f"{answer.node} proved {verdict.subject} instead of {asked}", LIAR_HINT)
        return answer.body, f"verified: {verdict.subject}"

    def fetch_transaction_proof(self, tx_id: Digest) -> tuple[bytes, str]:
        """The bytes of a transaction's proof and how far they were checked."""
        where = path("v1", "proofs", "transaction", tx_id.hex())
        answer = self.client.get(where, accept=MSGPACK, since=self._since)
        if self.trust is None:
            return answer.body, f"not checked: {TRUST_HINT}"
        verdict = verify(answer.body, self.trust, key=tx_id.hex())
        self._refuse_wrong(answer, verdict)
        return answer.body, f"verified at height {verdict.height}: {verdict.verdict}"

    def _get_state_proof(
        self, contract: str, key: str, height: int | None, at_ms: int | None = None
    ) -> Answer:
        where = path("v1", "proofs", "state", contract, key)
        return self.client.get(where, accept=MSGPACK, **self._when(height, at_ms))

    @property
    def _since(self) -> int | None:
        return None if self.trust is None else self.trust.height

    def _when(self, height: int | None, at_ms: int | None) -> dict[str, object]:
        return {"height": height, "at": at_ms, "since": self._since}

    def _checked(
        self, answer: Answer, subjects: Sequence[str], height: int | None, at_ms: int | None
    ) -> tuple[bytes, str]:
        """The bytes of an answer if they prove `subjects`, no more and no less, as was asked."""
        if self.trust is None:
            return answer.body, f"not checked: {TRUST_HINT}"
        verdicts = verify_each(answer.body, self.trust, at_ms=at_ms)
        self._refuse_wrong(answer, worst(verdicts))
        first = verdicts[0]
        if sorted(verdict.subject for verdict in verdicts) != sorted(subjects):
            raise NotProven(f"{answer.node} proved other keys than it was asked for", LIAR_HINT)
        if height is not None and first.height != height:
            raise NotProven(f"{answer.node} proved height {first.height}, not {height}", LIAR_HINT)
        counts = Counter(verdict.verdict for verdict in verdicts)
        words = [
            name if len(verdicts) == 1 else f"{count} {name}" for name, count in counts.items()
        ]
        return answer.body, f"verified at height {first.height}: {', '.join(words)}"

    def _check_proof(self, answer: Answer, contract: str, key: str) -> Verdict:
        assert self.trust is not None
        # The full name: a proof of absence alone would hold for other keys of the same empty place.
        verdict = verify(answer.body, self.trust, key=f"{contract}/{key}")
        self._refuse_wrong(answer, verdict)
        return verdict

    def _refuse_wrong(self, answer: Answer, verdict: Verdict) -> None:
        if verdict.verdict in ("invalid", "untrusted"):
            raise NotProven(
                f"{answer.node} answered with a proof that is {verdict.verdict}: {verdict.reason}",
                LIAR_HINT,
            )

    def _view(self, tx_id: Digest, answer: Answer) -> TransactionView:
        document = _decode(answer)
        status = cast(Status, document["status"])
        if status not in ("committed", "failed"):
            said = f"unverified: said by {answer.node}"
            return TransactionView(tx_id, status, None, (), (), said)
        calls = tuple(_call(row) for row in document["calls"])
        events = tuple(_event(row) for row in document["events"])
        height = int(document["height"])
        if self.trust is None:
            said = f"unverified: said by {answer.node}; {TRUST_HINT}"
            return TransactionView(tx_id, status, height, calls, events, said)
        receipt, height = self._receipt(tx_id, answer.node)
        _check_roots(receipt, calls, events, answer.node)
        proven: Status = "committed" if receipt.status == "ok" else "failed"
        if proven != status:
            raise NotProven(f"{answer.node} said {status}; its own proof says {proven}")
        return TransactionView(tx_id, proven, height, calls, events, f"verified at height {height}")

    def _receipt(self, tx_id: Digest, node: str) -> tuple[Receipt, int]:
        """The receipt of `tx_id` from a proof that verifies."""
        body, _ = self.fetch_transaction_proof(tx_id)
        proof = Proof.decode(body)
        if not isinstance(proof.claim, TransactionClaim):
            raise NotProven(f"{node} proved something else than transaction {tx_id.hex()}")
        return proof.claim.receipt, proof.header.n


def _decode(answer: Answer) -> dict[str, Any]:
    try:
        document = canonical.decode(answer.body)
    except QiongError:
        document = None
    if not isinstance(document, dict):
        raise NodeRefused(answer.node, answer.status, "bad_answer", "the answer is malformed")
    return document


def _call(row: Any) -> CallOutcome:
    return CallOutcome(row["status"], row["code"], Gas(row["gas"]), row["result"])


def _event(row: Any) -> Event:
    return Event(row["call_index"], row["contract"], row["name"], row["data"])


def _check_roots(
    receipt: Receipt, calls: tuple[CallOutcome, ...], events: tuple[Event, ...], node: str
) -> None:
    calls_root = merkle.root([call.leaf(index) for index, call in enumerate(calls)])
    events_root = merkle.root([event.leaf() for event in events])
    if (calls_root, events_root) != (receipt.calls_root, receipt.events_root):
        raise NotProven(
            f"{node} gave calls or events that are not those of the proven receipt",
            LIAR_HINT,
        )
