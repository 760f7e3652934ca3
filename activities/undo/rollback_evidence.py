"""Finds the origin of each argument of a rollback's call in the record of the call that it undoes.

Arguments of the undone call are trusted, since that call was allowed and performed. A value from its result has the
result's origin. An argument that an approver edited counts as endorsed by the approver.
"""

import json

from activities.gateway.facts import CallFacts
from activities.policy.values.provenance import Evidence, Passage, RecordedArgument
from activities.storage.database import Database
from activities.undo.orders import SQL


async def evidence_on_record(database: Database, facts: CallFacts) -> Evidence:
    """The evidence for a call of a rollback; none for a call that no order planned. Raises StoreUnavailable."""
    row = await SQL["taken"].row(database, by_run=facts.run_id, by_call=facts.call_id)
    if row is None or row["tool"] != facts.tool:
        return Evidence(passages=(), tainted_by="a call that no rollback order has planned")
    arguments, origins = json.loads(row["arguments"]), json.loads(row["origins"])
    untrusted = [name for name, origin in origins.items() if origin != "trusted"]
    source = f"the result of {row['call_id']}, from which its undo takes {', '.join(untrusted)}"
    return Evidence(
        passages=(Passage(0, "trusted", "", suspect=row["suspect"]),),
        endorsed=(*facts.endorsed, *facts.typed_by_approver),
        tainted_by=source if untrusted else None,
        private=row["private"],
        on_record={name: RecordedArgument(value, origins[name]) for name, value in arguments.items()},
    )
