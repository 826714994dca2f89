"""The files of a new contract project, as text; NAME stands for the contract's name.

Theory: a new author changes what is there rather than write from nothing. So the contract is small
but whole (a state, events, codes, an owner), and its tests use each kind of test once.
"""

from __future__ import annotations

from typing import Final

NAME: Final = "NAME"

CONTRACT: Final = '''"""NAME: things, and which organisation holds them.

A thing stands under `thing/<id>` as

    {title, holder, since}

Whoever registers a thing holds it, and only its holder hands it over. `holder` is a unified social
credit code, `since` the day of the last change, YYYY-MM-DD.

Codes of `require`:
    BAD_ID      empty or longer than 50 characters
    BAD_TITLE   empty or longer than 200 characters
    TAKEN       the identifier is in use
    UNKNOWN     nobody registered it
    NOT_HOLDER  another organisation holds it
    BAD_USCC    the receiver's code has a wrong form or check symbol
"""

INDEX = ("holder",)

ID_MAX = 50
TITLE_MAX = 200


@call
def register(id: str, title: str) -> None:
    require(0 < len(id) and len(id) <= ID_MAX, "BAD_ID")
    require(0 < len(title) and len(title) <= TITLE_MAX, "BAD_TITLE")
    require(get("thing/" + id) is None, "TAKEN")
    put("thing/" + id, {"title": title, "holder": organisation(), "since": date(now())})
    emit("registered", {"id": id})


@call
def hand_over(id: str, receiver: str) -> None:
    thing = get("thing/" + id)
    require(thing is not None, "UNKNOWN")
    require(thing["holder"] == organisation(), "NOT_HOLDER")
    require(uscc_valid(receiver), "BAD_USCC")
    thing["holder"] = receiver
    thing["since"] = date(now())
    put("thing/" + id, thing)
    emit("handed_over", {"id": id, "receiver": receiver})


@view
def show(id: str) -> dict | None:
    """The thing as it stands, or None."""
    return get("thing/" + id)
'''

TESTS: Final = '''"""Tests of NAME.py on a chain in memory. Run them with `qiong contract test`."""

from pathlib import Path

import pytest
from contracts.testing import Chain, load, uscc
from hypothesis import given

CONTRACT = load(Path(__file__).with_name("NAME.py"))


@pytest.fixture
def things(chain):
    return chain.deploy(CONTRACT)


def test_who_registers_a_thing_holds_it(chain, things):
    maker = chain.signer("maker")
    receipt = things.call("register", "T-1", "a lathe", by=maker)
    assert receipt.event("registered") == {"id": "T-1"}
    assert things.view("show", "T-1") == {
        "title": "a lathe",
        "holder": maker.organisation,
        "since": chain.today,
    }


def test_an_identifier_is_taken_once(chain, things):
    things.call("register", "T-1", "a lathe")
    with chain.expect_reverted("TAKEN"):
        things.call("register", "T-1", "another lathe")


def test_only_the_holder_hands_over(chain, things):
    maker, buyer = chain.signer("maker"), chain.signer("buyer")
    things.call("register", "T-1", "a lathe", by=maker)
    with chain.expect_reverted("NOT_HOLDER"):
        things.call("hand_over", "T-1", buyer.organisation, by=buyer)
    chain.advance(days=30)
    things.call("hand_over", "T-1", receiver=buyer.organisation, by=maker)
    assert things.state["thing/T-1"]["holder"] == buyer.organisation
    assert things.state["thing/T-1"]["since"] == chain.today


@pytest.mark.parametrize(
    ("id", "receiver", "code"),
    [("T-2", uscc("buyer"), "UNKNOWN"), ("T-1", "nobody", "BAD_USCC")],
)
def test_what_is_not_handed_over(chain, things, id, receiver, code):
    things.call("register", "T-1", "a lathe")
    with chain.expect_reverted(code):
        things.call("hand_over", id, receiver)


@given(CONTRACT.strategy("register"))
def test_no_argument_is_an_error(args):
    things = Chain().deploy(CONTRACT)
    assert things.attempt("register", *args).status in ("ok", "reverted")
'''

README: Final = """# NAME

A contract of the ledger Qiong.

- `NAME.py`: the contract, in a small Python that every validator runs alike.
- `test_NAME.py`: its tests, under pytest, on a chain in memory.

```sh
qiong contract lint NAME.py        # what the language does not take, and what to write instead
qiong contract test                # the tests, the gas of each method, the lines that never ran
qiong contract run NAME.py register '["T-1", "a lathe"]'    # one call on an empty chain
```

On a network, with a key that holds the role `deployer`:

```sh
qiong contract deploy NAME.py --from KEY
qiong tx submit NAME register '["T-1", "a lathe"]' --from KEY --wait
qiong query NAME show '["T-1"]'
```
"""

GITIGNORE: Final = """__pycache__/
.hypothesis/
.pytest_cache/
"""


def files(name: str) -> dict[str, str]:
    """The files of a project for the contract `name`, by their names."""
    texts = {
        f"{name}.py": CONTRACT,
        f"test_{name}.py": TESTS,
        "README.md": README,
        ".gitignore": GITIGNORE,
    }
    return {file: text.replace(NAME, name) for file, text in texts.items()}
