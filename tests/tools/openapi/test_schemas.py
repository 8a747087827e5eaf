"""Schemas of OpenAPI, as the model is shown them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from .small import document, imported, posting

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


def ref(name: str) -> dict[str, object]:
    return {"$ref": f"#/components/schemas/{name}"}


def written(
    folder: Path, schema: object, schemas: Mapping[str, object] | None = None, version: str = "3.1.0"
) -> object:
    properties = posting(folder, schema, schemas, version=version).parameters["properties"]
    assert isinstance(properties, dict)
    return properties["it"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, TEXT),
        ({"nullable": True}, {}),
        (
            {"allOf": [ref("Text")], "nullable": True, "description": "d"},
            {"type": ["string", "null"], "description": "d"},
        ),
        (
            {"oneOf": [ref("Text"), NUMBER], "nullable": True, "title": "t"},
            {"anyOf": [{"oneOf": [TEXT, NUMBER]}, {"type": "null"}], "title": "t"},
        ),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 1}),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": False}, {"type": "number", "maximum": 1}),
        ({"type": "number", "exclusiveMaximum": True}, {"type": "number"}),
        ({**ref("Text"), "description": "ignored", "minLength": 9}, TEXT),
        ({"type": "string", "example": "x", "xml": {}, "deprecated": True, "externalDocs": {}, "x-a": 1}, TEXT),
    ],
)
def test_the_dialect_of_3_0_is_translated(schema: object, expected: object, tmp_path: Path) -> None:
    assert written(tmp_path, schema, {"Text": TEXT}, "3.0.3") == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({**ref("Text"), "description": "d"}, {"type": "string", "description": "d"}),
        ({**ref("Text"), "maxLength": 3}, {"type": "string", "maxLength": 3}),
        ({**ref("Text"), "type": "null"}, {"allOf": [TEXT, {"type": "null"}]}),
        ({"type": ["string", "null"], "examples": ["x"]}, {"type": ["string", "null"]}),
        ({"const": 1}, {"const": 1}),
        (True, True),
        ({"type": "number", "exclusiveMinimum": 1}, {"type": "number", "exclusiveMinimum": 1}),
        ({"type": "string", "format": "date", "$comment": "x"}, {"type": "string", "format": "date"}),
        ({"type": "string", "description": "a\n  b\n\nc " + "x" * 600}, {"type": "string", "description": "a b\n\nc…"}),
        (
            {
                "type": "object",
                "required": ["id"],
                "properties": {"id": {"type": "string", "readOnly": True}, "n": TEXT},
            },
            {"type": "object", "properties": {"n": TEXT}},
        ),
        (
            {
                "type": "object",
                "properties": {"id": {**ref("Text"), "readOnly": True}, "p": {**TEXT, "writeOnly": True}},
            },
            {"type": "object", "properties": {"p": TEXT}},
        ),
        (
            {"allOf": [ref("Stored"), {"required": ["id", "n"], "properties": {"n": TEXT}}], "description": "d"},
            {"type": "object", "required": ["n"], "properties": {"n": TEXT, "m": NUMBER}, "description": "d"},
        ),
        (
            {"allOf": [{"properties": {"a": TEXT}}, {"properties": {"a": {"maxLength": 3}}}]},
            {"type": "object", "properties": {"a": {"allOf": [TEXT, {"maxLength": 3}]}}},
        ),
        (
            {"allOf": [{"properties": {"a": TEXT}, "additionalProperties": False}, {"minProperties": 1}]},
            {"allOf": [{"properties": {"a": TEXT}, "additionalProperties": False}, {"minProperties": 1}]},
        ),
        (
            {"oneOf": [ref("Cat"), ref("Dog")], "discriminator": {"propertyName": "k", "mapping": {"dog": "Dog"}}},
            {
                "oneOf": [
                    {"type": "object", "properties": {"k": {"type": "string", "const": "Cat"}}},
                    {"type": "object", "properties": {"k": {"type": "string", "const": "dog"}, "n": NUMBER}},
                ],
                "discriminator": {"propertyName": "k"},
            },
        ),
    ],
)
def test_a_schema_is_written_for_the_model(schema: object, expected: object, tmp_path: Path) -> None:
    schemas = {
        "Text": TEXT,
        "Stored": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {**NUMBER, "readOnly": True}, "m": NUMBER},
        },
        "Cat": {"type": "object", "properties": {"k": TEXT}},
        "Dog": {"type": "object", "properties": {"k": TEXT, "n": NUMBER}},
    }
    assert written(tmp_path, schema, schemas) == expected


def test_schemas_that_contain_one_another_are_kept_as_definitions(tmp_path: Path) -> None:
    schemas = {
        "A": {"type": "object", "properties": {"b": ref("B"), "name": TEXT}},
        "B": {"type": "object", "properties": {"as": {"type": "array", "items": ref("A")}}},
    }
    tool = posting(tmp_path, ref("A"), schemas)
    assert tool.parameters["properties"] == {"it": {"$ref": "#/$defs/A"}}
    assert not list(tool.validator.iter_errors({"it": {"b": {"as": [{"name": "x"}]}}}))
    assert list(tool.validator.iter_errors({"it": {"b": {"as": [{"name": 1}]}}}))


@pytest.mark.parametrize(
    "schemas",
    [
        {"A": ref("A")},
        {"A": {"allOf": [ref("B")]}, "B": {"anyOf": [ref("A"), TEXT]}},
        {
            "A": {"oneOf": [ref("B")], "discriminator": {"propertyName": "k"}},
            "B": {"allOf": [ref("A"), {"minLength": 1}]},
        },
    ],
)
def test_a_schema_that_is_defined_by_itself_is_refused(schemas: dict[str, object], tmp_path: Path) -> None:
    body = {"content": {"application/json": {"schema": ref("A")}}, "required": True}
    found = imported(tmp_path, document({"/a": {"post": {"requestBody": body}}}, schemas))
    assert not found.tools and "the schema is defined by itself" in found.skipped[0].text


def test_a_schema_too_long_to_describe_is_refused(tmp_path: Path) -> None:
    wide = {
        "type": "object",
        "properties": {f"p{n}": {"type": "string", "description": "x " * 100} for n in range(200)},
    }
    body = {"content": {"application/json": {"schema": wide}}, "required": True}
    found = imported(tmp_path, document({"/a": {"post": {"requestBody": body}}}))
    assert found.skipped[0].text == "its arguments take over 20000 characters to describe"


def test_a_schema_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    schema: dict[str, object] = dict(TEXT)
    for _ in range(60):
        schema = {"type": "array", "items": schema}
    body = {"content": {"application/json": {"schema": schema}}, "required": True}
    found = imported(tmp_path, document({"/a": {"post": {"requestBody": body}}}))
    assert "the schema is too large" in found.skipped[0].text
