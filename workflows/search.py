"""Search attributes: names and types, in one registry. They are stored in clear: nothing private in them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from workflows.state import RunState

AGENT_NAME: SearchAttributeKey[str] = SearchAttributeKey.for_keyword("AgentName")
AGENT_STATUS: SearchAttributeKey[str] = SearchAttributeKey.for_keyword("AgentStatus")
AGENT_TENANT: SearchAttributeKey[str] = SearchAttributeKey.for_keyword("AgentTenant")
AGENT_APPROVER: "SearchAttributeKey[Sequence[str]]" = SearchAttributeKey.for_keyword_list("AgentApprover")
AGENT_LINEAGE: "SearchAttributeKey[Sequence[str]]" = SearchAttributeKey.for_keyword_list("AgentLineage")
AGENT_COST_USD: SearchAttributeKey[float] = SearchAttributeKey.for_float("AgentCostUsd")

# Name to type, as the server's operator service spells them: `stanchion up` registers these and `doctor` compares them.
SEARCH_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        AGENT_NAME.name: "Keyword",
        AGENT_STATUS.name: "Keyword",
        AGENT_TENANT.name: "Keyword",
        AGENT_APPROVER.name: "KeywordList",
        AGENT_LINEAGE.name: "KeywordList",
        AGENT_COST_USD.name: "Double",
    }
)


def attributes_of(state: RunState) -> "list[SearchAttributeUpdate[Any]]":
    """The search attributes of an open run; those of a sub-agent include the agents above it."""
    found: list[SearchAttributeUpdate[Any]] = [AGENT_NAME.value_set(state.agent), AGENT_TENANT.value_set(state.tenant)]
    if state.opened and state.opened.agents_above:
        found.append(AGENT_LINEAGE.value_set(list(dict.fromkeys(state.opened.agents_above))))
    return found
