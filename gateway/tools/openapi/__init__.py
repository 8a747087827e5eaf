"""Operations of an OpenAPI document as functions of the model: read once, called as the API stands."""

from gateway.tools.openapi.importer import Imported, Note, load_operations, read_operations
from gateway.tools.openapi.invoker import OperationInvoker
from gateway.tools.openapi.operation import Operation

__all__ = ["Imported", "Note", "Operation", "OperationInvoker", "load_operations", "read_operations"]
