"""Small documents for one question each."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.agents.imports import OpenApi
from gateway.errors import ConfigError
from gateway.tools.catalogue import CatalogueTool
from gateway.tools.openapi import Imported, read_operations

SERVERS = [{"url": "https://api.example.com/v1"}]


def document(
    paths: Mapping[str, object], schemas: Mapping[str, object] | None = None, *, version: str = "3.1.0", **more: object
) -> dict[str, object]:
    return {
        "openapi": version,
        "info": {"title": "x", "version": "1"},
        "servers": SERVERS,
        "paths": paths,
        "components": {"schemas": schemas or {}},
        **more,
    }


def imported(folder: Path, text: Mapping[str, object] | str, **section: object) -> Imported:
    """Import a document, given as data or as its text."""
    (folder / "api.yaml").write_text(text if isinstance(text, str) else json.dumps(text))
    return read_operations(OpenApi.model_validate({"document": "api.yaml", **section}), folder)


def refusal(folder: Path, text: Mapping[str, object] | str, **section: object) -> str:
    with pytest.raises(ConfigError) as caught:
        imported(folder, text, **section)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def posting(
    folder: Path, schema: object, schemas: Mapping[str, object] | None = None, *, version: str = "3.1.0"
) -> CatalogueTool:
    """Return the function of one POST whose body has one property `it` of this schema."""
    body = {"type": "object", "required": ["it"], "properties": {"it": schema}}
    operation = {
        "operationId": "post",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
    }
    (tool,) = imported(
        folder, document({"/it": {"post": operation}}, schemas, version=version), operations=["post"]
    ).tools
    return tool


def get(**more: object) -> dict[str, object]:
    return {"get": {"operationId": "get", **more}}
