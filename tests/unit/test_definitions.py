"""Agent definitions: clear about what is wrong; and versions, addressed by content and not by place."""

import json
from pathlib import Path
from typing import Any

import pytest

from activities.agents import versions
from activities.agents.definition import AgentDefinition, DefinitionInvalid, json_schema, parse_definition
from activities.agents.versions import decode, from_file, resolve
from activities.storage.canonical import canonical_json
from activities.tools import Idempotent, ToolContext, tool
from activities.tools.decorator import SPEC
from activities.tools.registry import BUILTIN

MINIMAL = "name: helper\ninstructions: Help.\nmodel: scripted:turns.yaml\n"
TOOLBOX = "tests.harness.toolbox"


def problem(text: str) -> str:
    """Why a definition is refused."""
    with pytest.raises(DefinitionInvalid) as refusal:
        parse_definition(text, "agent.yaml")
    return str(refusal.value)


def definition(**changes: Any) -> AgentDefinition:
    """A small agent."""
    return AgentDefinition.model_validate(
        {
            "name": "helper",
            "instructions": "Help.",
            "model": "scripted:turns.yaml",
            "tools": [{"module": TOOLBOX, "use": ["look", "note"]}],
            **changes,
        }
    )


def test_three_keys_are_enough() -> None:
    agent = parse_definition(MINIMAL)
    assert (agent.mode, agent.tools, agent.approvals.expire_minutes) == ("tiered", (), 24 * 60)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("instruction: x", "did you mean 'instructions'?"),
        ("Mode: tiered", "did you mean 'mode'?"),
        ("budget: {tool_cals: 3}", "budget.tool_cals: unknown key; did you mean 'tool_calls'?"),
        ("tools: [{modul: a, use: [b]}]", "tools.0.modul: unknown key; did you mean 'module'?"),
        ("approvals: {expire_minute: 3}", "did you mean 'expire_minutes'?"),
        ("zzz: 1", "zzz: unknown key; known keys: name, description"),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(line: str, says: str) -> None:
    assert says in problem(MINIMAL + line + "\n")


@pytest.mark.parametrize(
    "line",
    [
        "mode: yolo",
        "budget: {usd: 1.0}",
        "budget: {usd: NaN}",
        "budget: {usd: .nan}",
        'budget: {tokens: "500"}',
        "budget: {tokens: -1}",
        "budget: {tokens: true}",
        "max_output_tokens: 0",
        "approvals: {expire_minutes: 0}",
        "tools: [{module: a-b, use: [c]}]",
        "tools: [{module: a, use: []}]",
        "tools: look",
        "1: 2",
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(line: str) -> None:
    assert problem(MINIMAL + line + "\n").startswith("agent.yaml: ")


@pytest.mark.parametrize("name", ["Helper", "my helper", "-x", "x" * 64, "a/b", "''", '"a\\n"'])
def test_a_name_that_would_not_do_in_an_id_is_refused(name: str) -> None:
    assert "name" in problem(MINIMAL.replace("helper", name))


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: 2024-13-45", "[" * 400, "\x00", "a: !!python/object:os.system x", "? [a]\n: b", "\tx: y", "a: *no"],
)
def test_text_that_is_not_yaml_is_refused_with_one_line(text: str) -> None:
    said = problem(text)
    assert said.startswith("agent.yaml is not valid YAML: ") and "\n" not in said


@pytest.mark.parametrize("text", ["", "- a", "hello", "null", "3"])
def test_yaml_that_is_no_mapping_is_refused(text: str) -> None:
    assert "must be a mapping" in problem(text)


@pytest.mark.parametrize("text", [MINIMAL + "model: scripted:b.yaml\n", MINIMAL + "budget: {usd: '1', usd: '9'}\n"])
def test_a_key_that_is_given_twice_is_refused(text: str) -> None:
    assert "given twice" in problem(text)


def test_every_problem_is_named_at_once() -> None:
    said = problem("name: X\nmodel: nothing\n")
    assert "name" in said and "instructions" in said and "model" in said


def test_the_schema_for_editors_covers_every_key() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(AgentDefinition.model_fields)
    assert schema["$schema"].startswith("https://json-schema.org/")
    json.dumps(schema)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\xff")
    for file in (tmp_path / "none.yaml", tmp_path / "latin.yaml", tmp_path):
        with pytest.raises(DefinitionInvalid, match="cannot read"):
            from_file(file)


# ── versions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_offers_its_tools_and_the_built_in_ones() -> None:
    agent = resolve(definition(), ".")
    assert list(agent.by_name) == ["look", "note", *(name for name in BUILTIN if name != "delegate")]
    assert agent.by_name["look"].parallel and not agent.by_name["note"].parallel
    assert not agent.by_name["wait"].parallel  # a timer beside other calls would end the step for them


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([{"module": TOOLBOX, "use": ["look", "look"]}], "two tools are called 'look'"),
        ([{"module": TOOLBOX, "use": ["look"]}, {"module": TOOLBOX, "use": ["look"]}], "two tools are called 'look'"),
        ([{"module": "no_such_module", "use": ["look"]}], "cannot import no_such_module"),
        ([{"module": TOOLBOX, "use": ["lok"]}], "has no tool 'lok'"),
        ([{"module": "activities.tools.builtin", "use": ["wait"]}], "two tools are called 'wait'"),
    ],
)
def test_tools_that_cannot_be_offered_are_refused(tools: Any, says: str) -> None:
    with pytest.raises(DefinitionInvalid, match=says):
        resolve(definition(tools=tools), ".")


def test_a_version_is_the_same_wherever_its_folder_is(tmp_path: Path) -> None:
    texts = MINIMAL + f"tools:\n  - module: {TOOLBOX}\n    use: [look]\n"
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "agent.yaml").write_text(texts, encoding="utf-8")
        (tmp_path / folder / "turns.yaml").write_text("- text: done", encoding="utf-8")
    here, there = (from_file(tmp_path / folder / "agent.yaml") for folder in ("here", "there"))
    assert here.version == there.version and here.source != there.source


@pytest.mark.parametrize(
    "change",
    [
        {"instructions": "Help more."},
        {"model": "scripted:other.yaml"},
        {"mode": "propose"},
        {"budget": {"tokens": 5}},
        {"tools": [{"module": TOOLBOX, "use": ["look"]}]},
        {"tools": [{"module": TOOLBOX, "use": ["note", "look"]}]},
        {"approvals": {"expire_minutes": 5}},
    ],
)
def test_any_change_of_a_definition_is_a_new_version(change: dict[str, Any]) -> None:
    assert resolve(definition(**change), ".").version != resolve(definition(), ".").version


def _made(limit: Any, timeout: int = 60) -> Any:
    async def look(ctx: ToolContext, what: Any) -> str:
        """Look something up."""
        return ""

    look.__annotations__["what"] = limit
    return getattr(tool(effect="write", contract=Idempotent(), undo="u", timeout=timeout)(look), SPEC)


def test_a_version_changes_when_a_tools_schema_or_time_out_does(monkeypatch: Any) -> None:
    found: list[str] = []
    for spec in (_made(str), _made(str), _made(int), _made(str, timeout=5)):
        monkeypatch.setattr(versions, "find_tool", lambda module, name, spec=spec: BUILTIN.get(name, spec))
        found.append(resolve(definition(tools=[{"module": "m", "use": ["look"]}]), ".").version)
    assert found[0] == found[1] and len(set(found)) == 3


def test_a_version_survives_its_row() -> None:
    agent = resolve(definition(), ".")
    row = {
        "version": agent.version,
        "definition": canonical_json(agent.definition.model_dump(mode="json")),
        "tools": canonical_json([vars(pinned) for pinned in agent.tools]),
        "source": agent.source,
    }
    assert decode(row) == agent


def test_a_script_that_is_not_there_is_named_before_it_replaces_a_version_that_works(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("name: a\ninstructions: x\nmodel: scripted:nope.yaml\n")
    with pytest.raises(DefinitionInvalid, match=r"there is no script 'nope\.yaml'"):
        from_file(file)
    (tmp_path / "nope.yaml").write_text("- text: done\n")
    assert from_file(file).definition.name == "a"
