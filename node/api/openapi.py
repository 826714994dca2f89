"""The API's description, made from the same table that serves it: OpenAPI 3.1 and a page of HTML.

The page is whole in itself: no script, no font, nothing loaded from anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from node.api.context import Route
from node.api.models import ProblemDocument, Request
from node.api.problems import PROBLEM_TYPE, TITLES
from node.api.wire import JSON, MSGPACK

_REF: Final = "#/components/schemas/{model}"
_INTEGERS: Final = ("height", "index")


def openapi_document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `routes`."""
    models = _models(routes)
    modes: list[tuple[type[BaseModel], Any]] = [
        (model, "validation" if issubclass(model, Request) else "serialization") for model in models
    ]
    names, schemas = models_json_schema(modes, ref_template=_REF)
    references = {model: names[model, mode]["$ref"] for model, mode in modes}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, references)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Qiong",
            "version": version,
            "description": "One validator of a Qiong network. What it says is its word alone; "
            "proofs are verified offline.",
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }


def docs_page(document: dict[str, Any]) -> str:
    """The description as a page for people, with every code of a problem."""
    rows = [
        _operation_html(path, method, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    codes = [
        f'<tr id="{escape(code)}"><td><code>{escape(code)}</code></td><td>{escape(title)}</td></tr>'
        for code, title in sorted(TITLES.items())
    ]
    schemas = [
        f'<h3 id="{escape(name)}">{escape(name)}</h3>'
        f"<pre>{escape(json.dumps(schema, ensure_ascii=False, indent=1))}</pre>"
        for name, schema in document["components"]["schemas"].items()
    ]
    return _PAGE.format(
        operations="\n".join(rows), codes="\n".join(codes), schemas="\n".join(schemas)
    )


def _models(routes: Sequence[Route]) -> list[type[BaseModel]]:
    """Every model once, in the order of the routes."""
    found: dict[type[BaseModel], None] = {ProblemDocument: None}
    for route in routes:
        for model in (route.body, *route.answers.values()):
            if model is not None:
                found[model] = None
    return list(found)


def _operation(route: Route, references: dict[type[BaseModel], str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [route.group],
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": [*_path_parameters(route.path), *_query_parameters(route)],
        "responses": {
            "200": {
                "description": "done",
                "content": {
                    kind: {"schema": _schema(model, references)}
                    for kind, model in route.answers.items()
                },
            }
        },
    }
    problem = {PROBLEM_TYPE: {"schema": {"$ref": references[ProblemDocument]}}}
    for status in route.problems:
        operation["responses"][str(status)] = {"description": "refused", "content": problem}
    if route.body is not None:
        schema = {"$ref": references[route.body]}
        content = {kind: {"schema": schema} for kind in (JSON, MSGPACK)}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _schema(
    model: type[BaseModel] | None, references: dict[type[BaseModel], str]
) -> dict[str, Any]:
    return {} if model is None else {"$ref": references[model]}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if name in _INTEGERS else "string"},
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.text,
            "schema": dict(parameter.schema),
        }
        for parameter in route.parameters
    ]


def _operation_html(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<li><code>{escape(item['name'])}</code> {escape(item.get('description', ''))}</li>"
        for item in operation["parameters"]
        if item["in"] == "query"
    )
    answers = ", ".join(
        f"{escape(kind)}: {_link(content['schema'])}"
        for kind, content in operation["responses"]["200"]["content"].items()
    )
    body = operation.get("requestBody")
    asked = f"<p>Body: {_link(body['content'][JSON]['schema'])}</p>" if body else ""
    refused = ", ".join(status for status in operation["responses"] if status != "200")
    return (
        f"<h3><code>{method.upper()} {escape(path)}</code></h3>"
        f"<p>{escape(operation['summary'])}.</p><ul>{parameters}</ul>{asked}"
        f"<p>Answers: {answers}. Refusals: {refused or 'none'}.</p>"
    )


def _link(schema: dict[str, Any]) -> str:
    if "$ref" not in schema:
        return "bytes"
    name = escape(schema["$ref"].rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Qiong: HTTP API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff }}
h3 {{ margin-top: 2rem; border-top: 1px solid #ddd; padding-top: .8rem }}
pre {{ background: #f5f5f5; padding: .8rem; overflow: auto; font-size: .85rem }}
td {{ padding: .2rem 1rem .2rem 0; vertical-align: top }}
:target {{ background: #fff3c4 }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #ddd; background: #161616 }} pre {{ background: #222 }} a {{ color: #8ab4f8 }}
  h3 {{ border-color: #333 }} :target {{ background: #4a3f10 }} }}
</style></head><body>
<h1>Qiong: HTTP API of a validator</h1>
<p>JSON by default; <code>Accept: application/msgpack</code> gives canonical msgpack. Byte strings
are hex in JSON. What a node says is its word alone: whoever needs to know fetches a proof and
verifies it offline. The same as a machine reads it: <a href="/openapi.json">/openapi.json</a>.</p>
{operations}
<h2>Codes of refusals</h2>
<p>Every refusal is a problem document (RFC 9457) with one of these codes, which never change their
meaning.</p>
<table>{codes}</table>
<h2>Schemas</h2>
{schemas}
</body></html>
"""
