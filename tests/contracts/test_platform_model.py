"""Random lives of two contracts, block by block, against a model that forgets nothing.

The model keeps every version ever declared and looks for the one in force among all of them; the
platform keeps what it still needs. Both have to agree on how each call ends, on which code answers,
and on the history.
"""

from dataclasses import dataclass, field
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import deployment_layout, registry_layout
from contracts.worker import platform
from ledger.transaction import Call

OWNERS = {"author": "1", "rival": "2", "governor": "3"}
SOURCES = [f"@call\ndef which() -> int:\n    return {number}\n" for number in range(3)]
SOURCES.append(SOURCES[0] + '\ndef migrate() -> None:\n    put("migrated", height())\n')
NAMES = ("one", "two")
GAS = 100_000


@dataclass
class Life:
    owner: str
    versions: list[tuple[int, int]]  # (from, index of its source), as declared
    status: str = "active"
    actions: list[str] = field(default_factory=lambda: ["deployed"])

    def in_force(self, height: int) -> int:
        return [source for start, source in self.versions if start <= height][-1]

    def planned(self, height: int) -> int:
        """Versions that will start, each later than the one before it."""
        later = [
            start
            for number, (start, _) in enumerate(self.versions)
            if start > height and all(start < other for other, _ in self.versions[number + 1 :])
        ]
        return len(later)


class Model:
    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}

    def expect(self, height: int, signer: str, method: str, name: str, *more: object) -> object:
        """How the call ends: the result of `which`, or a code."""
        life = self.lives.get(name)
        if method == "deploy":
            if signer == "governor":
                return "missing_role"
            if life is not None:
                return "EXISTS"
            self.lives[name] = Life(OWNERS[signer], [(height, int(str(more[0])))])
            return "ok"
        if life is None:
            return "unknown_contract"
        if method == "which":
            refused = {"frozen": "frozen", "retired": "retired"}
            return refused.get(life.status) or life.in_force(height) % 3
        if signer != "governor" and OWNERS[signer] != life.owner:
            return "missing_role"
        return self._change(life, height, method, *more)

    def _change(self, life: Life, height: int, method: str, *more: object) -> str:
        if life.status == "retired":
            return "RETIRED"
        if method == "upgrade":
            return self._upgrade(life, height, *more)  # type: ignore[arg-type]
        status, action = {
            "freeze": ("frozen", "frozen"),
            "unfreeze": ("active", "unfrozen"),
            "retire": ("retired", "retired"),
        }[method]
        if life.status == status:
            return "NOT_FROZEN" if method == "unfreeze" else "FROZEN"
        life.status = status
        life.actions.append(action)
        return "ok"

    def _upgrade(self, life: Life, height: int, source: int, ahead: int | None) -> str:
        start = height if ahead is None else height + ahead
        if ahead is not None and ahead <= 0:
            return "BAD_HEIGHT"
        last_start, last = life.versions[-1]
        if last == source and (last_start <= height or last_start == start):
            return "UNCHANGED"
        if source == 3 and ahead is not None:
            return "MIGRATE_AT_ONCE"
        life.versions.append((start, source))
        if life.planned(height) > platform.PLANNED_MAX:
            life.versions.pop()
            return "TOO_MANY_PLANNED"
        life.actions.append("upgraded")
        return "ok"


signers = st.sampled_from(["author", "author", "author", "governor", "rival"])
names = st.sampled_from(["one", "one", "one", "two"])
sources = st.integers(0, len(SOURCES) - 1)
deploys = st.tuples(signers, st.just("deploy"), names, sources)
upgrades = st.tuples(signers, st.just("upgrade"), names, sources, st.none())
plans = st.tuples(signers, st.just("upgrade"), names, st.integers(0, 2), st.integers(0, 20))
statuses = st.tuples(signers, st.sampled_from(["freeze", "unfreeze"]), names)
retirements = st.tuples(signers, st.just("retire"), names)
reads = st.tuples(signers, st.just("which"), names)
calls = st.sampled_from(
    [deploys, upgrades, plans, plans, plans, plans, statuses, reads, reads]
).flatmap(lambda kind: kind)
blocks = st.lists(st.lists(calls, min_size=1, max_size=3), min_size=6, max_size=10)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(blocks, st.lists(retirements, max_size=1))
def test_any_life_goes_as_the_model_says(make_world, blocks, last) -> None:
    world, model = enrolled(make_world()), Model()
    for block in [[("author", "deploy", "one", 0)], *blocks, [*last, *blocks[0]]]:
        height = world.height
        expected = [model.expect(height, *call) for call in block]
        transactions = [transaction(world, height, *call) for call in block]
        ended = [done.calls[0] for done in world.run(*transactions)]
        assert [end(call) for call in ended] == expected
    total = 0
    for name, life in model.lives.items():
        entry = world.value("contracts", name)
        assert (entry["status"], entry["owner"]) == (life.status, life.owner)
        history = [
            world.value("contracts", deployment_layout.history_key(name, number))
            for number in range(entry["changes"])
        ]
        assert [change["action"] for change in history] == life.actions
        declared = [change["version"] for change in history if "version" in change]
        assert declared == list(range(1, len(life.versions) + 1))
        starts = [version["from"] for version in entry["versions"]]
        assert starts == sorted(set(starts))
        for height in range(world.height - 1, world.height + 10):
            found = deployment_layout.in_force(partial(world.value, "contracts"), name, height)
            source = SOURCES[life.in_force(height)]
            assert found.source_hash == deployment_layout.source_hash(source)
        if life.status != "retired":
            total += sum(version["weight"] for version in entry["versions"])
    assert (world.value("contracts", "total/weight") or 0) == total


def enrolled(world):
    for name, uscc in OWNERS.items():
        world.register(name, uscc, ())
        role = registry_layout.GOVERNOR if name == "governor" else registry_layout.DEPLOYER
        member = registry_layout.member_value(uscc, (registry_layout.SUBMITTER, role))
        key = registry_layout.member_key(world.keys[name].hex())
        world.seed([(registry_layout.CONTRACT, key, member)])
    return world


def transaction(world, height, signer, method, name, *more):
    if method == "which":
        return world.transaction([Call(name, "which", [])], signer, gas=GAS)
    args = [name]
    if method in ("deploy", "upgrade"):
        args.append(SOURCES[more[0]])
    if method == "upgrade" and more[1] is not None:
        args.append(height + more[1])
    if method in ("freeze", "retire"):
        args.append("because")
    return world.transaction([Call("contracts", method, args)], signer, gas=GAS)


def end(call):
    if call.status != "ok":
        return call.code
    is_version = call.result is None or call.gas > platform.CHANGE_GAS
    return "ok" if is_version else call.result
