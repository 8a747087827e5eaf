"""Files of a document: YAML 1.2 as it is meant, bounds, and references that stay in the folder."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.tools.openapi.document import open_document
from gateway.tools.openapi.reading import MAX_BYTES, read_file

from .small import document, get, imported, refusal

HEAD = "openapi: 3.0.3\npaths: {}\n"


def read(folder: Path, text: str | bytes) -> object:
    path = folder / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_file(path, "x.yaml")


def test_yaml_is_read_as_version_1_2(tmp_path: Path) -> None:
    text = "a: no\nb: 2026-01-31\nc: 012\nd: 1e3\ne: 'true'\nf: true\ng:\nh: 1:30\ni: -.5\n200: x\n"
    text += "j: .inf\nk: ~\nl: |\n  1\n"
    assert read(tmp_path, text) == {
        "a": "no", "b": "2026-01-31", "c": 12, "d": 1000.0, "e": "true", "f": True, "g": None, "h": "1:30", "i": -0.5,
        "200": "x", "j": ".inf", "k": None, "l": "1\n",
    }  # fmt: skip
    assert read(tmp_path, "\ufeffa: &x [1, {b: !!str 2}]\nc: *x\n") == {"a": [1, {"b": "2"}], "c": [1, {"b": "2"}]}
    assert read(tmp_path, '{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\na: 2\n", "x.yaml:2: the key 'a' is there twice"),
        ("a: &x\n  b: *x\n", "x.yaml:2: the alias x stands for nothing yet"),
        ("a: *y\n", "the alias y stands for nothing yet"),
        (
            "a: !!python/object:os.system x\n",
            "x.yaml:1: the tag tag:yaml.org,2002:python/object:os.system is not supported",
        ),
        ("a: !!map {b: 1}\n? [a]\n: b\n", "x.yaml:1: the tag tag:yaml.org,2002:map is not supported"),
        ("? [a]\n: b\n", "x.yaml:1: a key must be plain text"),
        ("a: &k v\n*k : b\n", "a key must be plain text"),
        ("b: &b {x: 1}\na:\n  <<: *b\n", "x.yaml:3: merge keys (<<) are not part of YAML 1.2"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: there is a second document"),
        ("a: [1\n", "is not YAML: "),
        ("a: \x00\n", "x.yaml: is not YAML"),
        ('{"a": NaN}', "x.yaml: is not JSON: NaN is not JSON"),
        ('{"a": "\\ud800"}', "x.yaml: holds half a surrogate pair, which is not Unicode text"),
        ('a: "\\ud800"', "x.yaml:1: is not YAML"),
        ("[" * 5000, "x.yaml: is not JSON: "),
        ("a: " + "[" * 5000, "x.yaml:"),
        (b"\xff\xfe", "x.yaml: is not UTF-8 text (byte 0)"),
        (b" " * (MAX_BYTES + 1), "x.yaml: is over 4 MiB"),
    ],
)
def test_what_is_no_document_is_refused_in_one_sentence(text: str | bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^none\.yaml: cannot be read: No such file or directory$"):
        open_document(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("swagger: '2.0'\n", "api.yaml#: is Swagger 2.0; convert it to OpenAPI 3.0 or 3.1 first"),
        ("openapi: 3.2.0\n", "api.yaml#: is no OpenAPI 3.0 or 3.1 document (openapi: 3.2.0)"),
        ("openapi: 3.1\n", "is no OpenAPI 3.0 or 3.1 document (openapi: 3.1)"),
        ("a: 1\n", "is no OpenAPI 3.0 or 3.1 document (openapi: None)"),
        ("- a\n", "api.yaml#: must be an object (keys with values)"),
        ("", "api.yaml#: must be an object (keys with values)"),
        ("openapi: 3.1.0\njsonSchemaDialect: https://example.com/x\n", "this dialect of JSON Schema is not supported"),
    ],
)
def test_other_kinds_of_documents_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("ref", "sentence"),
    [
        ("https://example.com/x.yaml#/A", "leads to another host"),
        ("//example.com/x.yaml", "leads to another host"),
        ("file:///etc/passwd", "leads to another host"),
        ("../secret.yaml#/A", "leads out of the document's folder"),
        ("sub/../../secret.yaml", "leads out of the document's folder"),
        ("/etc/passwd", "leads out of the document's folder"),
        ("%2e%2e/secret.yaml", "leads out of the document's folder"),
        ("link.yaml#/A", "link.yaml leads out of the document's folder"),
        ("none.yaml#/A", "none.yaml: cannot be read: No such file or directory"),
        ("#/components/schemas/None", "the reference '#/components/schemas/None' leads nowhere"),
        ("#/openapi/0/x", "leads nowhere"),
        ("#/servers/x", "leads nowhere"),
        ("#anchor", "is no JSON Pointer; anchors are not supported"),
        ("http://[", "is malformed"),
        (7, "$ref must be text"),
    ],
)
def test_references_stay_in_the_folder_and_lead_somewhere(ref: object, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("A: {type: string}\n")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    text = document({"/a": get(parameters=[{"name": "x", "in": "query", "required": True, "schema": {"$ref": ref}}])})
    message = refusal(folder, text)
    assert message.startswith("api.yaml#/paths/~1a/get/parameters/0/schema: ") and sentence in message


def test_references_that_go_in_circles_end(tmp_path: Path) -> None:
    circle = {"parameters": {"a": {"$ref": "#/components/parameters/b"}, "b": {"$ref": "#/components/parameters/a"}}}
    text = document({"/a": get(parameters=[{"$ref": "#/components/parameters/a"}])}) | {"components": circle}
    assert "references lead to one another here" in refusal(tmp_path, text)


def test_a_reference_leads_through_folders_and_escapes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.yaml").write_text("x/y~z: {$ref: ../top.yaml#/t%20t}\n")
    (tmp_path / "top.yaml").write_text("t t: {type: integer}\n")
    ref = {"$ref": "sub/a%20b.yaml#/x~1y~0z"}
    (tool,) = imported(tmp_path, document({"/a": get(parameters=[{"name": "x", "in": "query", "schema": ref}])})).tools
    assert tool.parameters["properties"] == {"x": {"type": "integer"}}


def test_aliases_that_would_become_a_gigabyte_are_cheap(tmp_path: Path) -> None:
    lines = ["a0: &a0 {type: string}"] + [
        f"a{n}: &a{n} {{type: object, properties: {{b: *a{n - 1}, c: *a{n - 1}, d: *a{n - 1}}}}}" for n in range(1, 30)
    ]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    parameter = {"name": "x", "in": "query", "required": True, "schema": {"$ref": "bomb.yaml#/a29"}}
    found = imported(tmp_path, document({"/a": get(parameters=[parameter])}))
    assert "the schema is too large" in found.skipped[0].text
