"""Events on their way to businesses: an outbox in the store, a courier that empties it. `README.md` tells the whole."""

from gateway.deliveries.courier import Courier
from gateway.deliveries.orphans import tell_orphans
from gateway.deliveries.post import SignedPost
from gateway.deliveries.reporter import Reporter
from gateway.deliveries.routes import deliveries_router

__all__ = ["Courier", "Reporter", "SignedPost", "deliveries_router", "tell_orphans"]
