"""A sample business behind the gateway, small and whole, to read and to copy: see README.md in this folder."""

from gateway.business.database import Database
from gateway.business.example import agents_section, business_part
from gateway.business.late import Late
from gateway.business.web import Shop, create_shop

__all__ = ["Database", "Late", "Shop", "agents_section", "business_part", "create_shop"]
