"""The table of settings in deploy/README.md says what the code does."""

import re
from pathlib import Path

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from gateway.config import PREFIX, Settings

PAGE = Path(__file__).parent.parent / "deploy" / "README.md"
DRAWN = {
    "public_url": "`http://127.0.0.1:PORT`",
    "model_auth": "`bearer`; Azure: `api-key`",
    "node_name": "the host's name",
}
"""Defaults that follow from something else."""


def table() -> list[str]:
    """Return the rows as they must stand on the page."""
    rows = [
        f"| {_names(name, field)} | {_default(name, field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return ["| variable | default | what it is |", "| --- | --- | --- |", *rows]


def test_the_page_of_settings_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page.partition("\n## Settings\n")[2].partition("\n## ")[0]
    found = [line for line in section.splitlines() if line.startswith("|")]
    assert found == table(), "put these rows into deploy/README.md, Settings:\n" + "\n".join(table())


def test_every_setting_that_a_readme_names_exists() -> None:
    known = {name for field, info in Settings.model_fields.items() for name in _variables(field, info)}
    root = PAGE.parent.parent
    for page in [root / "README.md", *(root / "gateway").rglob("README.md"), *(root / "deploy").glob("*.md")]:
        named = set(re.findall(r"\bGATEWAY_[A-Z_]+\b", page.read_text(encoding="utf-8")))
        strange = {name for name in named - known if name.removesuffix("_FILE") not in known and not name.endswith("_")}
        assert not strange, page


def _variables(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    return [str(one) for one in alias.choices] if isinstance(alias, AliasChoices) else [PREFIX + name.upper()]


def _names(name: str, field: FieldInfo) -> str:
    return " or ".join(f"`{variable}`" for variable in sorted(_variables(name, field), key=len))


def _default(name: str, field: FieldInfo) -> str:
    if name in DRAWN:
        return DRAWN[name]
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return "" if field.default in (None, (), frozenset()) else f"`{field.default}`"
