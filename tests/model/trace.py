"""Counterexamples for people: replayed, cut down, and told step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.local import Step
from tests.model.rules import Broken, Facts
from tests.model.scope import Choice, World
from tests.model.turn import Input

if TYPE_CHECKING:
    from tests.model.explore import Found, Search


class Trace:
    """Tells how a search came to what it found."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.locals = search.locals
        self.network = search.network

    def of(self, found: Found) -> list[str]:
        """The steps, none of which can be spared."""
        moves = self._named(found)
        if found.move is not None:
            moves = self._cut_down(moves, str(found))
        return self._told(moves)

    def _named(self, found: Found) -> list[tuple[str, Input]]:
        """Who took what, by name: the search itself keeps interchangeable replicas sorted."""
        search = self.search
        came = search.came(found.node)
        if found.move is not None and found.move.given is not None:
            came.append((found.node, found.move.place, found.move.given))
        crew = [*search.singles, *search.others]
        standing = dict(zip(crew, search.start(), strict=True))
        moves: list[tuple[str, Input]] = []
        for node, place, given in came:
            local = search.members(node)[place]
            candidates = search.others if place >= len(search.singles) else [crew[place]]
            name = next(name for name in candidates if standing[name] == local)
            step = self._take(local, given)
            if step is not None:
                standing[name] = step.to
            moves.append((name, given))
        return moves

    def _take(self, local: int, given: Input) -> Step | None:
        try:
            return self.locals.take(local, given)
        except Broken:
            return None

    def _cut_down(self, moves: list[tuple[str, Input]], what: str) -> list[tuple[str, Input]]:
        place = 0
        while place < len(moves):
            shorter = moves[:place] + moves[place + 1 :]
            if self._replay(shorter) == what:
                moves = shorter
            else:
                place += 1
        return moves

    def _replay(self, moves: list[tuple[str, Input]]) -> str | None:
        """What the last of these moves breaks; None if one is not possible or all is well."""
        search = self.search
        crew = [*search.singles, *search.others]
        standing = dict(zip(crew, search.start(), strict=True))
        network = 0
        for number, (name, given) in enumerate(moves):
            local = standing[name]
            if given not in search.inputs(local, self.network.enabled(network)):
                return None
            try:
                step = self.locals.take(local, given)
            except Broken as broken:
                return str(broken) if number == len(moves) - 1 else None
            if step is None:
                return None
            standing[name] = step.to
            network = self.network.add(network, step.signed)
            fork = self.network.broken(network, step.signed)
            if fork is not None:
                return fork if number == len(moves) - 1 else None
        return None

    def _told(self, moves: list[tuple[str, Input]]) -> list[str]:
        search = self.search
        crew = [*search.singles, *search.others]
        standing = dict(zip(crew, search.start(), strict=True))
        lines: list[str] = []
        for name, given in moves:
            line = f"{name} {describe(search.world, given)}"
            step = self._take(standing[name], given)
            if step is not None:
                standing[name] = step.to
                if step.signed:
                    line += " -> " + ", ".join(fact(search.world, item) for item in step.signed)
            lines.append(line)
        return lines


def describe(world: World, given: Input) -> str:
    """An input in words."""
    match given:
        case Input("change", view):
            return f"runs into a time-out of v{view - 1}"
        case Input("new_view", _, _, choice):
            return f"takes {fact(world, (Facts.BEGAN, choice))}"
        case Input("lead", _, _, others):
            return f"takes {', '.join(fact(world, (Facts.CHANGED, change)) for change in others)}"
        case Input("crash", _, _, data):
            return "crashes and recovers" + (" without its last Certificate" if data else "")
        case Input("torn", _, n, inner):
            return f"{describe(world, inner)}, crashes after {n} durable effects and recovers"
        case Input("propose", view, n, digest):
            return f"proposes (v{view}, n{n}, {world.name(digest)})"
        case Input("proposal", view, n, digest):
            return f"takes PRE-PREPARE(v{view}, n{n}, {world.name(digest)})"
        case Input("prepares" | "commits", view, n, digest):
            word = given.kind[:-1].upper()
            return f"takes a quorum of {word}(v{view}, n{n}, {world.name(digest)})"
        case Input("checkpoints", _, n, header):
            return f"takes a quorum of CHECKPOINT(n{n}, {world.name(header)})"
        case Input("blocks", _, n, header):
            return f"fetches the certified blocks up to n{n}, {world.name(header)}"
    return str(given)


def fact(world: World, item: object) -> str:
    """A fact in words."""
    match item:
        case (Facts.CHANGED, change):
            parts = [f"n{n} {world.name(digest)} prepared in v{v}" for n, v, digest in change[3]]
            return f"VIEW-CHANGE(v{change[0]}, h={change[1]}, P=[{', '.join(parts)}])"
        case (Facts.BEGAN, Choice(view, lo, _, _, proposals)):
            offered = ", ".join(f"n{n} {world.name(digest)}" for n, digest in proposals)
            return f"NEW-VIEW(v{view}, lo={lo}, O=[{offered}])"
        case (Facts.EXECUTED, n, header):
            return f"CHECKPOINT(n{n}, {world.name(header)})"
        case (Facts.PROPOSED, view, n, digest):
            return f"PRE-PREPARE(v{view}, n{n}, {world.name(digest)})"
        case (Facts.PREPARED, view, n, digest):
            return f"PREPARE(v{view}, n{n}, {world.name(digest)})"
        case (Facts.COMMITTED, view, n, digest):
            return f"COMMIT(v{view}, n{n}, {world.name(digest)})"
    return str(item)
