"""Signs orders with a key of this machine, and creates the `Authority` that verifies who gave an order."""

from activities.approvals.authority import Authority
from activities.storage.database import Database
from workers import keys
from workers.services import Home
from workers.settings import from_environment


def sign_if_possible(order: keys.Ordered) -> keys.Ordered:
    """Sign the order if its author has a key on this machine. Raises KeyExposed, KeyUnreadable."""
    signer = keys.find(Home.locate(), order.by)
    return signer.order(order) if signer else order


def authority(database: Database) -> Authority:
    """Return an `Authority` that accepts unsigned orders only where unsigned decisions count (development)."""
    settings, home = from_environment(), Home.locate()
    unsigned = settings.dangerously_accept_unsigned_decisions or (
        settings.database_url is None and home.living("worker") is not None  # `stanchion up` is a development mode
    )
    return Authority(database, dangerously_accept_unsigned_decisions=unsigned)
