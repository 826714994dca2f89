"""`qiong contract freeze`, `unfreeze`, `retire`: the status of a contract, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from cli.contract.change import change_options, send
from cli.settings import Settings, common_options

GAS: Final = 5_000
"""Three times what a change of status with the longest reason takes."""

F = TypeVar("F", bound=Callable[..., Any])


def _reason_option(function: F) -> F:
    return click.option("--reason", required=True, help="Why, for everyone who reads the history.")(
        function
    )


@click.command("freeze")
@click.argument("name")
@_reason_option
@change_options
@common_options(keys=True)
def freeze(settings: Settings, name: str, reason: str, key: str, gas: int | None) -> int:
    """Stop all calls of contract NAME until it is unfrozen; its views still answer."""

    def done(change: dict[str, Any]) -> str:
        since = change["height"]
        return f"{name} is frozen since block {since}: calls are refused, views still answer"

    return send(settings, key, gas or GAS, "freeze", {"name": name, "reason": reason}, done)


@click.command("unfreeze")
@click.argument("name")
@change_options
@common_options(keys=True)
def unfreeze(settings: Settings, name: str, key: str, gas: int | None) -> int:
    """Let contract NAME be called again."""

    def done(change: dict[str, Any]) -> str:
        return f"{name} is active again since block {change['height']}"

    return send(settings, key, gas or GAS, "unfreeze", {"name": name}, done)


@click.command("retire")
@click.argument("name")
@_reason_option
@change_options
@common_options(keys=True)
def retire(settings: Settings, name: str, reason: str, key: str, gas: int | None) -> int:
    """End contract NAME for good. Its state stays readable and provable.

    Nothing brings it back, and the name is not given again.
    """

    def done(change: dict[str, Any]) -> str:
        since = change["height"]
        return f"{name} is retired since block {since}: nothing runs, its state stays readable"

    return send(settings, key, gas or GAS, "retire", {"name": name, "reason": reason}, done)
