"""The platform's own contract: who may deploy and change what, and what each method does."""

from contextlib import closing

import pytest

from contracts import deployment_layout, outcomes, registry_layout
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from contracts.worker import executor, platform
from ledger import canonical
from ledger.errors import FieldError
from ledger.receipt import CallOutcome, TransactionOutcome
from ledger.transaction import Call

GAS = 2_000_000
TITLE = "91350100M000100Y43"
OTHER = "11440000000000000X"

COUNTER = """
@call
def add(amount: int) -> int:
    total = (get("total") or 0) + amount
    put("total", total)
    return total

@view
def total() -> int:
    return get("total") or 0
"""
DOUBLE = COUNTER.replace("+ amount", "+ 2 * amount")
MIGRATING = (
    DOUBLE
    + """
def migrate() -> None:
    put("migrated", [sender(), signers(), height()])
    put("total", (get("total") or 0) * 10)
"""
)


@pytest.fixture
def world(make_world):
    """`author` and `colleague` deploy for one organisation, `rival` for another; `governor`
    governs, `clerk` may do nothing of all that."""
    world = make_world({"seeded": COUNTER})
    world.register("clerk", "12345", ())
    enrol(world, "author", TITLE, registry_layout.DEPLOYER)
    enrol(world, "colleague", TITLE, registry_layout.DEPLOYER)
    enrol(world, "rival", OTHER, registry_layout.DEPLOYER)
    enrol(world, "governor", "54321", registry_layout.GOVERNOR)
    return world


def enrol(world, name, uscc, role):
    world.register(name, uscc, ())
    member = registry_layout.member_value(uscc, (registry_layout.SUBMITTER, role))
    key = registry_layout.member_key(world.keys[name].hex())
    world.seed([(registry_layout.CONTRACT, key, member)])


def change(method, *args):
    return Call("contracts", method, list(args))


def run(world, signer, *calls, gas=GAS, atomic=False):
    return world.run(world.transaction(calls, signer, gas=gas, atomic=atomic))[0]


def do(world, signer, method, *args, gas=GAS):
    """How one call of the platform's contract, in a block of its own, ends."""
    done = run(world, signer, change(method, *args), gas=gas).calls[0]
    return done.code or done.status


def entry(world, name):
    return world.value("contracts", name)


def history(world, name):
    count = entry(world, name)["changes"]
    return [world.value("contracts", deployment_layout.history_key(name, n)) for n in range(count)]


def test_what_is_deployed_can_be_called_and_has_an_owner(world) -> None:
    done = run(world, "author", change("deploy", "counter", COUNTER))
    assert (done.calls[0].status, done.calls[0].result) == ("ok", 1)
    assert world.call("author", "counter", "add", 3).result == 3
    digest = deployment_layout.source_hash(COUNTER)
    assert world.value("contracts", f"source/{digest.hex()}") == COUNTER
    assert entry(world, "counter")["owner"] == TITLE
    height = world.height - 2
    assert history(world, "counter") == [
        {
            "action": "deployed",
            "height": height,
            "organisation": TITLE,
            "key": world.keys["author"].hex(),
            "version": 1,
            "from": height,
            "source": digest,
            "dialect": deployment_layout.DIALECT,
        }
    ]
    (event,) = done.events
    assert (event.contract, event.name) == ("contracts", "deployed")
    assert (event.data["name"], event.data["version"]) == ("counter", 1)


@pytest.mark.parametrize("signer", ["clerk", "governor", "tourism"])
def test_without_the_role_deployer_nobody_deploys(world, signer) -> None:
    done = run(world, signer, change("deploy", "counter", COUNTER))
    assert (done.calls[0].status, done.calls[0].code) == ("rejected", "missing_role")
    assert not done.writes


@pytest.mark.parametrize(
    ("signer", "code"),
    [("author", "ok"), ("colleague", "ok"), ("governor", "ok"), ("rival", "missing_role"),
     ("clerk", "missing_role")],
)  # fmt: skip
def test_deployers_of_the_owner_and_governors_change_a_contract(world, signer, code) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    assert do(world, signer, "upgrade", "counter", DOUBLE) == code
    assert do(world, signer, "freeze", "counter", "a bug") == code
    do(world, "author", "freeze", "counter", "a bug")
    assert do(world, signer, "unfreeze", "counter") == code
    assert do(world, signer, "retire", "counter", "over") == code


def test_only_governors_change_what_genesis_seeds(world) -> None:
    assert do(world, "author", "upgrade", "seeded", DOUBLE) == "missing_role"
    assert do(world, "author", "retire", "seeded", "mine") == "missing_role"
    assert do(world, "governor", "upgrade", "seeded", DOUBLE) == "ok"
    assert world.call("author", "seeded", "add", 1).result == 2


def test_any_signer_with_the_role_will_do(world) -> None:
    call = change("deploy", "counter", COUNTER)
    done = world.run(world.transaction([call], "clerk", "author", gas=GAS))[0]
    assert done.status == "ok"
    assert history(world, "counter")[0]["key"] == world.keys["author"].hex()


def test_an_inactive_organisation_deploys_nothing(world) -> None:
    value = world.value("registry", f"organisation/{TITLE}")
    key = registry_layout.organisation_key(TITLE)
    world.seed([("registry", key, {**value, "status": "suspended"})])
    done = world.run(
        world.transaction([change("deploy", "counter", COUNTER)], "author", "clerk", gas=GAS)
    )
    assert done[0].calls[0].code == "missing_role"


@pytest.mark.parametrize(
    "name", ["", "Counter", "1counter", "a/b", "a.b", "a b", "a" * 65, "contracts", "consensus",
             "governance", "zähler", "total/weight"]
)  # fmt: skip
def test_names_that_no_contract_has(world, name) -> None:
    assert do(world, "author", "deploy", name, COUNTER) == "BAD_NAME"
    assert do(world, "author", "upgrade", name, COUNTER) == "unknown_contract"


def test_a_name_is_given_once_and_for_all(world) -> None:
    assert do(world, "author", "deploy", "seeded", DOUBLE) == "EXISTS"
    do(world, "author", "deploy", "counter", COUNTER)
    do(world, "author", "retire", "counter", "over")
    assert do(world, "author", "deploy", "counter", DOUBLE) == "EXISTS"


@pytest.mark.parametrize("source", ["import os\n", "def f(:\n", "@call\ndef migrate(): 1\n"])
def test_what_does_not_compile_is_refused(world, source) -> None:
    done = run(world, "author", change("deploy", "counter", source))
    assert (done.calls[0].status, done.calls[0].code) == ("rejected", "compile_refused")
    assert not done.writes


def test_an_upgrade_is_in_force_for_the_next_transaction_of_its_block(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    add = world.transaction([Call("counter", "add", [1])], "clerk")
    upgrade = world.transaction([change("upgrade", "counter", DOUBLE)], "author", gas=GAS)
    results = [done.calls[0].result for done in world.run(add, upgrade, add)]
    assert results == [1, 2, 3]


def test_an_upgrade_in_a_transaction_that_fails_is_none(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    done = run(
        world,
        "author",
        change("upgrade", "counter", DOUBLE),
        Call("counter", "add", [1]),
        change("upgrade", "counter", DOUBLE),
        atomic=True,
    )
    assert [call.code for call in done.calls] == ["ATOMIC", "ATOMIC", "UNCHANGED"]
    assert not done.writes
    assert world.call("clerk", "counter", "add", 1).result == 1


def test_a_planned_version_waits_for_its_height(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    start = world.height + 2
    assert do(world, "author", "upgrade", "counter", DOUBLE, start) == "ok"
    assert [world.call("clerk", "counter", "add", 1).result for _ in range(3)] == [1, 3, 5]
    assert [version["number"] for version in entry(world, "counter")["versions"]] == [1, 2]


def test_a_later_upgrade_holds_whatever_was_planned(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    do(world, "author", "upgrade", "counter", DOUBLE, 100)
    do(world, "author", "upgrade", "counter", DOUBLE + "LIMIT = 1\n", 90)
    do(world, "author", "upgrade", "counter", COUNTER, 90)
    assert [version["from"] for version in entry(world, "counter")["versions"]][1:] == [90]
    assert do(world, "author", "upgrade", "counter", COUNTER) == "ok"
    assert [version["number"] for version in entry(world, "counter")["versions"]] == [5]
    world.height = 200
    assert world.call("clerk", "counter", "add", 1).result == 1
    assert [change["version"] for change in history(world, "counter")] == [1, 2, 3, 4, 5]


def test_heights_of_the_past_and_endless_plans_are_refused(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    for height in (world.height, world.height - 1, 0, -1):
        assert do(world, "author", "upgrade", "counter", DOUBLE, height) == "BAD_HEIGHT"
    for step in range(platform.PLANNED_MAX):
        source = COUNTER + f"LIMIT = {step}\n"
        assert do(world, "author", "upgrade", "counter", source, 1_000 + step) == "ok"
    assert do(world, "author", "upgrade", "counter", DOUBLE, 2_000) == "TOO_MANY_PLANNED"


def test_the_same_upgrade_again_is_refused(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    assert do(world, "author", "upgrade", "counter", COUNTER) == "UNCHANGED"
    assert do(world, "author", "upgrade", "counter", DOUBLE, 100) == "ok"
    assert do(world, "author", "upgrade", "counter", DOUBLE, 100) == "UNCHANGED"
    assert do(world, "author", "upgrade", "counter", DOUBLE, 101) == "ok"


def test_migrate_runs_once_under_the_new_code_within_the_upgrade(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    world.call("clerk", "counter", "add", 4)
    height = world.height
    assert do(world, "author", "upgrade", "counter", MIGRATING) == "ok"
    signers = [world.keys["author"].hex()]
    assert world.value("counter", "migrated") == ["contracts", signers, height]
    assert world.call("clerk", "counter", "add", 1).result == 42
    assert world.call("clerk", "counter", "migrate").code == "unknown_method"


def test_migrate_starts_at_once_or_not_at_all(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    assert do(world, "author", "upgrade", "counter", MIGRATING, 100) == "MIGRATE_AT_ONCE"


def test_the_first_version_does_not_migrate(world) -> None:
    assert do(world, "author", "deploy", "counter", MIGRATING) == "ok"
    assert world.value("counter", "migrated") is None


@pytest.mark.parametrize(
    ("body", "code"),
    [('require(False, "NOT_YET")', "NOT_YET"), ("put('x', 1 // 0)", "ZERO_DIVISION"),
     ("for i in range(10000000):\n        put('x', i)", "OUT_OF_GAS")],
)  # fmt: skip
def test_a_migration_that_fails_takes_the_upgrade_with_it(world, body, code) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    before = dict(world.entries)
    source = DOUBLE + f"\ndef migrate() -> None:\n    put('total', 99)\n    {body}\n"
    assert do(world, "author", "upgrade", "counter", source, gas=300_000) == code
    assert world.entries == before


def test_migrate_reaches_other_contracts_but_never_its_own(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    call = '\ndef migrate() -> None:\n    call("{}", "add", [5])\n'
    assert do(world, "author", "upgrade", "counter", DOUBLE + call.format("seeded")) == "ok"
    assert world.value("seeded", "total") == 5
    assert do(world, "author", "upgrade", "counter", COUNTER + call.format("counter")) == "REENTRY"


def test_frozen_refuses_calls_answers_views_and_can_be_mended(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    world.call("clerk", "counter", "add", 4)
    assert do(world, "author", "freeze", "counter", "a bug") == "ok"
    assert do(world, "author", "freeze", "counter", "again") == "FROZEN"
    refused = world.call("clerk", "counter", "add", 1)
    assert (refused.status, refused.code) == ("rejected", "frozen")
    assert world.view("counter", "total").result == 4
    assert do(world, "author", "upgrade", "counter", MIGRATING) == "ok"
    assert world.call("clerk", "counter", "add", 1).code == "frozen"
    assert do(world, "author", "unfreeze", "counter") == "ok"
    assert do(world, "author", "unfreeze", "counter") == "NOT_FROZEN"
    assert world.call("clerk", "counter", "add", 1).result == 42


def test_retired_is_for_good(world) -> None:
    do(world, "author", "deploy", "counter", COUNTER)
    world.call("clerk", "counter", "add", 4)
    assert do(world, "author", "retire", "counter", "replaced") == "ok"
    refused = world.call("clerk", "counter", "add", 1)
    assert (refused.status, refused.code) == ("rejected", "retired")
    assert world.view("counter", "total").code == "retired"
    assert world.value("counter", "total") == 4
    for method, *args in (
        ("upgrade", "counter", DOUBLE), ("freeze", "counter", "x"), ("unfreeze", "counter"),
        ("retire", "counter", "x"),
    ):  # fmt: skip
        assert do(world, "author", method, *args) == "RETIRED"
    actions = [(change["action"], change.get("reason")) for change in history(world, "counter")]
    assert actions == [("deployed", None), ("retired", "replaced")]


@pytest.mark.parametrize(("status", "code"), [("freeze", "FROZEN"), ("retire", "RETIRED")])
def test_a_contract_that_calls_one_out_of_service_is_told_so(world, status, code) -> None:
    relay = '@call\ndef relay() -> int:\n    return call("seeded", "add", [1])\n'
    do(world, "author", "deploy", "relay", relay)
    do(world, "governor", status, "seeded", "why")
    done = world.call("clerk", "relay", "relay")
    assert (done.status, done.code) == ("reverted", code)


@pytest.mark.parametrize("reason", ["", "x" * (platform.REASON_CHARACTERS_MAX + 1)])
def test_a_reason_is_a_sentence(world, reason) -> None:
    assert do(world, "governor", "freeze", "seeded", reason) == "BAD_REASON"
    assert do(world, "governor", "retire", "seeded", reason) == "BAD_REASON"


@pytest.mark.parametrize(
    ("method", "args"),
    [("deploy", ["x"]), ("deploy", ["x", 1]), ("deploy", {"name": "x"}), ("deploy", []),
     ("deploy", ["x", COUNTER, 5]), ("deploy", {"name": "x", "source": COUNTER, "other": 1}),
     ("upgrade", ["seeded", DOUBLE, "5"]), ("upgrade", ["seeded", DOUBLE, True]),
     ("freeze", ["seeded"]), ("unfreeze", [None]), ("retire", ["seeded", b"x"])],
)  # fmt: skip
def test_wrong_arguments_are_the_callers_fault(world, method, args) -> None:
    done = run(world, "governor", Call("contracts", method, args)).calls[0]
    assert (done.status, done.code) == ("error", "TYPE")


def test_arguments_by_name(world) -> None:
    args = {"source": COUNTER, "name": "counter"}
    assert run(world, "author", Call("contracts", "deploy", args)).status == "ok"


@pytest.mark.parametrize("method", ["", "show", "__init__", "invoke", "_deploy"])
def test_the_platform_has_no_other_method(world, method) -> None:
    assert do(world, "author", method, "x") == "unknown_method"


def test_no_contract_and_no_view_reaches_the_platform(world) -> None:
    source = (
        "@call\ndef sneak(source: str) -> None:\n"
        '    call("contracts", "deploy", ["sneaked", source])\n'
    )
    do(world, "author", "deploy", "sneaky", source)
    done = world.call("author", "sneaky", "sneak", COUNTER)
    assert (done.status, done.code) == ("error", "NAME")
    assert world.view("contracts", "deploy", "x", COUNTER).code == "unknown_contract"


OTHERS = ["source/" + "0" * 64, "history/seeded/000000", "total/weight", "contracts"]


@pytest.mark.parametrize("name", OTHERS)
def test_the_platforms_other_entries_are_no_contracts(world, name) -> None:
    world.seed([("contracts", "contracts", {"status": "active", "owner": None, "versions": []})])
    called = world.call("governor", name, "add", 1).code
    assert called == ("unknown_method" if name == "contracts" else "unknown_contract")
    assert do(world, "governor", "freeze", name, "x") == "unknown_contract"


def test_no_name_longer_than_any_contracts_is_looked_up(world) -> None:
    asked = []
    get = world.state.get
    world.state.get = lambda *name: asked.append(name) or get(*name)
    assert do(world, "governor", "freeze", "x" * 65, "x") == "unknown_contract"
    assert not [key for contract, key in asked if contract == "contracts" and "xx" in key]


def test_the_gas_is_that_of_compiling_and_storing(world) -> None:
    for source in (COUNTER, MIGRATING, COUNTER + "# " + "x" * 20_000):
        gas = run(world, "author", change("deploy", f"c{len(source)}", source)).gas
        expected = platform.expected_gas(source)
        assert expected - platform.OTHER_GAS < gas <= expected


def test_a_deployment_may_use_all_that_its_transaction_has(world) -> None:
    source = COUNTER + "# " + "x" * 40_000
    assert do(world, "author", "deploy", "counter", source, gas=executor.CALL_GAS_MAX) == (
        "OUT_OF_GAS"
    )
    assert do(world, "author", "deploy", "counter", source) == "ok"


def test_gas_does_not_depend_on_what_was_compiled_before(world) -> None:
    calls = [change("deploy", "counter", COUNTER)]
    tries = [world.transaction(calls, "author", gas=GAS, atomic=True) for _ in range(2)]
    first, second = (world.runner.run(world.context, [each], world.state)[0].gas for each in tries)
    assert first == second


def test_contracts_in_use_together_have_a_weight(world, monkeypatch) -> None:
    do(world, "author", "deploy", "a", COUNTER)
    weight = world.value("contracts", "total/weight")
    assert weight == entry(world, "a")["versions"][0]["weight"] > platform.INSTANCE_WEIGHT
    monkeypatch.setattr(platform, "WEIGHT_MAX", 2 * weight)
    assert do(world, "author", "deploy", "b", COUNTER) == "ok"
    assert do(world, "author", "deploy", "c", COUNTER) == "NO_ROOM"
    assert do(world, "author", "upgrade", "b", DOUBLE, 100) == "NO_ROOM"
    assert do(world, "author", "upgrade", "b", COUNTER.replace("amount", "n")) == "ok"
    assert do(world, "author", "retire", "a", "room for others") == "ok"
    assert do(world, "author", "deploy", "c", COUNTER) == "ok"


ALLOWED = Call("contracts", "deploy", ["counter", COUNTER])


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [("licence", {"status": "active"}, "ok"), ("history/licence/000000", {}, "ok"),
     ("source/" + "0" * 64, COUNTER, "ok"), ("counter", None, "ok"),
     (deployment_layout.source_key(deployment_layout.source_hash(COUNTER)), DOUBLE, "ok"),
     ("counter", {"status": "active"}, "reverted"), ("total/weight", 5, "reverted")],
)  # fmt: skip
def test_a_worker_is_not_believed_beyond_what_was_asked(world, key, value, status) -> None:
    data = None if value is None else canonical.encode(value)
    done = TransactionOutcome(
        status, "", 5, (CallOutcome(status, "", 5),), (), {("contracts", key): data}
    )
    asked = world.transaction([ALLOWED], "author", gas=GAS)
    with pytest.raises(FieldError, match="platform"):
        outcomes._check_deployments(done, asked)


def test_a_contract_that_broke_out_writes_nothing_of_the_platforms(world, monkeypatch) -> None:
    """A worker that says a call of another contract wrote there is not believed either."""
    from contracts.worker.host import Host

    def forge(host, key, value):
        host._calls.scope.state.put("contracts", "licence", canonical.encode({"status": "x"}))

    monkeypatch.setattr(Host, "put", forge)
    with pytest.raises(FieldError, match="platform"):
        world.call("clerk", "seeded", "add", 1)


def test_the_worker_says_the_same(world) -> None:
    """A life through the locked-down worker, block by block, beside the inline runner's."""
    lives = [
        [change("deploy", "counter", COUNTER), Call("counter", "add", [1])],
        [change("upgrade", "counter", DOUBLE, 9), Call("counter", "add", [1])],
        [change("upgrade", "counter", MIGRATING), Call("counter", "add", [1])],
        [change("deploy", "broken", "import os\n"), change("deploy", "counter", COUNTER)],
        [change("freeze", "counter", "a bug"), Call("counter", "add", [1])],
        [change("unfreeze", "counter"), change("retire", "counter", "over")],
        [Call("counter", "add", [1])],
    ]
    with closing(WorkerRunner(Sandbox())) as worker:
        for calls in lives:
            transactions = [world.transaction([call], "author", gas=400_000) for call in calls]
            answer = worker.run(world.context, transactions, world.state)
            height = world.height
            assert answer == world.run(*transactions)
            writes = {name: data for done in answer for name, data in done.writes.items()}
            worker.committed(height, writes)
    assert entry(world, "counter")["changes"] == 6
