"""Which provider answers for a model's name."""

import pytest

from activities.errors import Transient
from activities.model.errors import ModelUnknown
from activities.model.providers import Providers
from activities.model.scripted import ScriptedProvider


@pytest.mark.parametrize("model", ["openai:gpt-6", "claude-opus-5", "anthropic:", ":x", ""])
def test_an_unknown_provider_is_refused_and_the_known_ones_named(model: str) -> None:
    with pytest.raises(ModelUnknown, match=r"anthropic:…, scripted:…") as error:
        Providers().for_model(model)
    assert not isinstance(error.value, Transient)


def test_a_models_name_keeps_everything_after_the_first_colon() -> None:
    provider, name = Providers().for_model("scripted:agents.demo:turn")
    assert isinstance(provider, ScriptedProvider)
    assert name == "agents.demo:turn"
