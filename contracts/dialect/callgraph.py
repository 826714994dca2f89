"""The call graph of a contract: no recursion, bounded frames, views that only read.

Theory: functions are no values and are called by name, so the graph is exact, and the deepest
stack a contract can make is known before it runs. RecursionError is about a machine; this makes
sure that no contract can cause it.

Left out: calls between contracts (the runner refuses re-entry and bounds their depth).
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.dialect.checker import Calls
from contracts.dialect.host import HOST_FUNCTIONS
from contracts.dialect.limits import CALL_DEPTH_MAX
from contracts.dialect.module import Module
from contracts.dialect.report import Report


def check_graph(report: Report, module: Module, calls: Mapping[str, Calls]) -> None:
    """Refuse recursion, too deep calls, and views that reach a function which changes state."""
    heights = _Heights(report, calls)
    for name in calls:
        heights.visit(name)
    if report.refusals:
        return
    for name, height in heights.heights.items():
        if height > CALL_DEPTH_MAX:
            node = module.functions[name].node
            report.refuse(node, f"calls this deep from `{name}`", f"at most {CALL_DEPTH_MAX}")
    for name in calls:
        if module.functions[name].kind == "view":
            _check_view(report, name, calls)


class _Heights:
    """Frames each function may need, by depth-first search."""

    def __init__(self, report: Report, calls: Mapping[str, Calls]) -> None:
        self.report = report
        self.calls = calls
        self.heights: dict[str, int] = {}

    def visit(self, root: str) -> None:
        """Iterative, since a chain of calls may be longer than our own stack."""
        stack = [(root, iter(self.calls[root].functions.items()))]
        path = {root: None}
        while stack:
            name, callees = stack[-1]
            callee, node = next(callees, (None, None))
            if callee is None or node is None:
                stack.pop()
                del path[name]
                found = self.calls[name]
                below = max([self.heights.get(other, 0) for other in found.functions], default=0)
                self.heights[name] = 1 + found.comprehension_depth + below
            elif callee in path:
                self.report.refuse(node, f"recursion: `{callee}` comes back here", "write a loop")
            elif callee not in self.heights:
                stack.append((callee, iter(self.calls[callee].functions.items())))
                path[callee] = None


def _check_view(report: Report, view: str, calls: Mapping[str, Calls]) -> None:
    reached = [view]
    for name in reached:
        for host, node in calls[name].hosts.items():
            if HOST_FUNCTIONS[host].changes_state:
                report.refuse(node, f"`{host}` in the view `{view}`", "mark it @call")
        reached.extend(callee for callee in calls[name].functions if callee not in reached)
