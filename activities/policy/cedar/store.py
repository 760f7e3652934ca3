"""Policies in Postgres: sets a policy, and loads those in force for a tenant; a broken policy denies every call.

A version is the digest of its content and never changes, so each process parses it once. The versions in force are read
for each call, so a policy that was set counts for the next call on every worker.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activities.errors import Permanent, clip
from activities.policy.cedar.combined import strictest_decision
from activities.policy.cedar.policy import Policy, PolicyInvalid, PolicyRequest, load
from activities.policy.cedar.schema import ToolShape, schema_for
from activities.policy.engine.verdicts import Deny, Verdict
from activities.storage.canonical import sha256_hex
from activities.storage.database import Database
from activities.storage.queries import Queries

SQL = Queries(__file__, "policies.sql")

PLATFORM = "*"  # the scope whose policy holds for every tenant
DEFAULT = Path(__file__).parent / "platform.cedar"
BIGGEST_FLOOR = 2**63 - 1  # largest value of the column
INSTALLER = "stanchion"  # recorded as the one who set the default policy
MEND = "`stanchion bootstrap` puts the default there"
SHOWN = 300  # characters of a problem; the model and the trace get them


class PolicyMissing(Permanent):
    """No such policy was ever set; `stanchion policy ls` lists all policies."""


@dataclass(frozen=True)
class Stored:
    """A parsed version. `money_floor`: in minor units."""

    policy: Policy
    money_floor: int


@dataclass(frozen=True)
class Effective:
    """The policies in force for a tenant; if the platform's is missing, or one is broken, every call is denied."""

    version: str  # digest of the versions in force; an approval is bound to it
    policies: tuple[Policy, ...] = ()
    money_floor: int = 0  # in minor units; the tenant's, or the platform's if the tenant has no policy
    missing: str | None = None
    broken: str | None = None

    def decide(self, request: PolicyRequest, own: Policy | None = None) -> Verdict:
        """The strictest verdict of the policies in force and of the agent's `own` policy."""
        if self.missing:
            return Deny("policy.missing", self.missing)
        if self.broken:
            return Deny("policy.error", self.broken)
        return strictest_decision([*self.policies, *([own] if own else [])], request)


class Policies:
    """The policies of one database. Methods that read or write raise StoreUnavailable if Postgres does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_version: dict[str, Stored] = {}

    async def set(
        self, scope: str, text: str, *, by: str, money_floor: int | None = None, tools: Iterable[ToolShape]
    ) -> str:
        """Put a policy in force for a tenant or for '*'; returns its version.

        Without `money_floor`, the floor in force is kept. Raises PolicyInvalid.
        """
        if not scope.strip():
            raise PolicyInvalid("a policy needs a scope: a tenant, or '*' for all")
        if money_floor is None:
            money_floor = await self.floor(scope)
        if not 0 <= money_floor <= BIGGEST_FLOOR:
            raise PolicyInvalid(f"the money floor is a whole number of minor units, not {money_floor}")
        version = version_of(scope, text, money_floor)
        policy = load(text, version=version, scope=scope, schema=schema_for(tools))
        await SQL["put"].row(self._database, version=version, scope=scope, text=text, money_floor=money_floor, by=by)
        self._by_version[version] = Stored(policy, money_floor)
        return version

    async def put_back(self, version: str, *, by: str) -> str:
        """Put an earlier version in force again; returns it. Raises PolicyMissing.

        It is not checked against the current tools, so that going back always works.
        """
        if await SQL["put_back"].row(self._database, version=version, by=by) is None:
            raise PolicyMissing(f"policy {version[:12]} was never set; `stanchion policy ls` lists those that were")
        return version

    async def heads(self, tenant: str) -> list[str]:
        """The versions in force: the platform's, then the tenant's; each only if there is one."""
        return [row["version"] for row in await SQL["heads"].rows(self._database, tenant=tenant)]

    async def floor(self, scope: str) -> int:
        """The money floor in force: the tenant's, or the platform's if the tenant has no policy; else 0."""
        floors = [row["money_floor"] for row in await SQL["heads"].rows(self._database, tenant=scope)]
        return int(floors[-1]) if floors else 0

    async def effective(self, tenant: str) -> Effective:
        """The policies in force for a tenant, parsed."""
        return await self.in_force(tenant, await self.heads(tenant))

    async def in_force(self, tenant: str, heads: Sequence[str]) -> Effective:
        """The policies in force for a tenant, parsed, if the result of `heads` is known already."""
        version = sha256_hex(list(heads))
        try:
            stored = [await self._load_version(head) for head in heads]
        except (PolicyInvalid, PolicyMissing) as error:
            return Effective(version, broken=f"a policy in force cannot be read: {clip(str(error), SHOWN)}")
        scopes = [each.policy.scope for each in stored]
        if PLATFORM not in scopes:
            return Effective(version, missing=f"no policy is in force for '*'; {MEND}")
        if strange := set(scopes) - {PLATFORM, tenant}:
            return Effective(version, broken=f"the policy of {min(strange)} is not one of {tenant}")
        return Effective(version, tuple(each.policy for each in stored), stored[-1].money_floor)

    async def policy(self, version: str) -> Policy:
        """A version, parsed. Raises PolicyMissing, PolicyInvalid."""
        return (await self._load_version(version)).policy

    async def _load_version(self, version: str) -> Stored:
        if version not in self._by_version:
            row = await SQL["text"].row(self._database, version=version)
            if row is None:
                raise PolicyMissing(f"policy {version[:12]} is not in the database")
            self._by_version[version] = _from_row(row)
        return self._by_version[version]

    async def misfits(self, tools: Iterable[ToolShape]) -> dict[str, str]:
        """Version -> problems of the policies in force with the current tools, which may have changed since."""
        schema, wrong = schema_for(tools), {}
        for row in await SQL["all_in_force"].rows(self._database):
            try:
                load(row["text"], version=row["version"], scope=row["scope"], schema=schema)
            except PolicyInvalid as error:
                wrong[row["version"]] = str(error)
        return wrong


async def install_default(database: Database) -> str | None:
    """Put the default policy in force for '*' if there is none; returns its version, or None if there was one.

    It can be called repeatedly and concurrently. The policy is not checked against tools, because it names none.
    """
    text = DEFAULT.read_text(encoding="utf-8")
    version = load(text, version=version_of(PLATFORM, text, 0), scope=PLATFORM).version
    row = await SQL["put_first"].row(database, version=version, scope=PLATFORM, text=text, money_floor=0, by=INSTALLER)
    return version if row else None


def version_of(scope: str, text: str, money_floor: int) -> str:
    """The version of a policy: the digest of its content."""
    return sha256_hex([scope, text, money_floor])


def _from_row(row: Mapping[str, Any]) -> Stored:
    """Parse a policy from its row. Raises PolicyInvalid, also if the row was changed after it was set."""
    if row["version"] != version_of(row["scope"], row["text"], row["money_floor"]):
        raise PolicyInvalid(f"policy {row['version'][:12]} was changed in the database after it was set; set it again")
    return Stored(load(row["text"], version=row["version"], scope=row["scope"]), row["money_floor"])
