"""Whatever stands in a document: functions, or one sentence."""

import copy
import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.agents.imports import OpenApi
from gateway.errors import ConfigError
from gateway.tools.openapi import read_operations
from gateway.tools.openapi.reading import read_file

from .world import CLINIC, DOCUMENTS, HOTEL

JUNK: st.SearchStrategy[object] = st.sampled_from(
    [
        *(None, True, 0, -1.5, "", "x", [], [[]], [{}], {}, {"": {}}, {"x": []}, [None], ["a", "a"]),
        *({"$ref": "#/components/schemas/House"}, {"$ref": "#/paths"}, {"$ref": "#"}, {"$ref": []}, {"allOf": [[]]}),
        *(
            {"type": ["object", 7]},
            {"type": {}},
            {"required": True},
            {"properties": []},
            {"oneOf": [{"$ref": "#/info"}]},
        ),
        *(
            {"discriminator": "x", "oneOf": [{}]},
            {"discriminator": {"propertyName": []}, "oneOf": [{"type": "object"}]},
        ),
        *({"enum": []}, {"pattern": "("}, {"items": [{}]}, {"nullable": True, "type": []}, {"content": []}),
    ]
)


@cache
def contents(name: str) -> object:
    return read_file(DOCUMENTS / name, name)


def places(node: object, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [found for key, value in inside for found in [(*place, key), *places(value, (*place, key))]]


@pytest.mark.parametrize("name", [HOTEL, CLINIC])
def test_a_document_broken_anywhere_gives_functions_or_one_sentence(name: str, tmp_path: Path) -> None:
    original = contents(name)

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(places(original)), JUNK)
    def check(place: tuple[str | int, ...], junk: object) -> None:
        broken = copy.deepcopy(original)
        node = broken
        for key in place[:-1]:
            node = node[key]  # type: ignore[index]
        node[place[-1]] = copy.deepcopy(junk)  # type: ignore[index]
        folder = DOCUMENTS / "hotel" if name == HOTEL else tmp_path
        target = tmp_path / "schemas"
        if name == HOTEL and not target.exists():
            target.mkdir()
            for file in (folder / "schemas").iterdir():
                (target / file.name).write_bytes(file.read_bytes())
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        try:
            found = read_operations(OpenApi(document="broken.json"), tmp_path)
        except ConfigError as error:
            assert str(error) and "\n" not in str(error)
        else:
            assert all(tool.parameters["type"] == "object" for tool in found.tools)

    check()
