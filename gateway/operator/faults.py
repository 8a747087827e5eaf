"""What is wrong with a body, a sentence per field, in the terms of who wrote it; values are never repeated."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["FAULTS_MAX", "faults_of"]

FAULTS_MAX = 10
"""Sentences of one answer."""
FIELD_CHARS_MAX = 80

FAULTS = {
    "json_invalid": "is not valid JSON",
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "string_too_short": "must not be empty",
    "string_too_long": "may have {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "may be {le} at most",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is missing",
    "value_error": "{error}",
}
"""What pydantic's errors mean to who sent the body, in JSON's terms."""

PATTERNS = {
    "id": "must be 1 to 64 letters, digits and . _ : -, the first a letter or digit",
    "digits": "must be 1 to 64 keys of 0-9 * # A-D",
    "terminator": "must be one key of 0-9 * # A-D, or empty",
    "key": "must be one key of 0-9 * # A-D",
    "after": "must be the id of an item, or root",
}


def faults_of(error: ValidationError, variants: frozenset[str] = frozenset()) -> dict[str, str] | None:
    """Return a sentence for each field at fault; None when the whole is no JSON.

    `variants` are names of union members: they stand in the paths of pydantic's errors and mean nothing outside.
    """
    details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return None
    faults: dict[str, str] = {}
    for detail in details:
        faults.setdefault(_field(detail, variants), _words(detail))
    return dict(list(faults.items())[:FAULTS_MAX])


def _field(detail: ErrorDetails, variants: frozenset[str]) -> str:
    """Return the path to a field as its sender sees it."""
    path = [str(part) for part in detail["loc"] if part not in variants]
    if detail["type"].startswith("union_tag"):  # said of the whole; it is about the field that tells the variants apart
        path.append(str(detail["ctx"]["discriminator"]).strip("'"))
    return ".".join(path)[:FIELD_CHARS_MAX] or "body"


def _words(detail: ErrorDetails) -> str:
    context = {name: str(value).replace("'", "") for name, value in detail.get("ctx", {}).items()}
    if "pattern" in context:
        return PATTERNS.get(str(detail["loc"][-1]), "holds characters that are not allowed here")
    return FAULTS.get(detail["type"], "is not what is expected here").format(**context)
