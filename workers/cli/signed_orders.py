"""What commands that give orders share: signing them with a key of this machine, and knowing who gave them."""

from activities.approvals.authority import Authority
from activities.storage.database import Database
from workers import keys
from workers.services import Home
from workers.settings import from_environment


def signed(order: keys.Ordered) -> keys.Ordered:
    """Signed, if there is a key on this machine for who orders. Raises KeyExposed, KeyUnreadable."""
    signer = keys.find(Home.locate(), order.by)
    return signer.order(order) if signer else order


def authority(database: Database) -> Authority:
    """Who says whose an order is. Unsigned ones count where unsigned decisions do, which is development only."""
    settings, home = from_environment(), Home.locate()
    unsigned = settings.dangerously_accept_unsigned_decisions or (
        settings.database_url is None and home.living("worker") is not None  # `stanchion up` is a development mode
    )
    return Authority(database, dangerously_accept_unsigned_decisions=unsigned)
