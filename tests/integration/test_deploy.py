"""The Compose stack and the worker's image: what they must hold, read from the files; nothing is started."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from workers import settings
from workers.services import dev_server
from workers.services.home import PROJECT_ROOT, Home
from workers.worker import GRACE

COMPOSE = PROJECT_ROOT / "docker-compose.yml"
DOCKERFILE = PROJECT_ROOT / "deploy" / "worker.Dockerfile"
README = PROJECT_ROOT / "deploy" / "README.md"
OURS = ("migrate", "worker", "accounts")  # the services that run the image built here
TEMPORALS_OWN = frozenset(("TEMPORAL_ADDRESS",))  # read by the SDK
PYTHONS_OWN = frozenset(("PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"))
PIPS_OWN = frozenset(("PIP_DISABLE_PIP_VERSION_CHECK", "PIP_NO_CACHE_DIR"))


class Asked(Mapping[str, str]):
    """An empty environment that notes what it is asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    """docker-compose.yml, anchors merged, variables not yet replaced."""
    return dict(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def services(stack: dict[str, Any]) -> dict[str, Any]:
    return dict(stack["services"])


def known() -> set[str]:
    """The names of the variables that our processes read."""
    asked = Asked()
    settings.from_environment(asked)
    Home.locate(asked)
    return asked.names | TEMPORALS_OWN


def values_of(command: list[str], option: str) -> tuple[str, ...]:
    return tuple(part.removeprefix(f"{option}=") for part in command if part.startswith(f"{option}="))


def seconds(duration: str) -> int:
    return int(re.fullmatch(r"(\d+)s", duration)[1])  # type: ignore[index]


def test_compose_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("no docker CLI here; the other tests of this file read the YAML themselves")
    if subprocess.run([docker, "compose", "version"], capture_output=True).returncode != 0:
        pytest.skip("this docker CLI has no compose plug-in; the other tests of this file read the YAML themselves")
    checked = subprocess.run(
        [docker, "compose", "--file", str(COMPOSE), "config", "--quiet"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


def test_the_dev_server_has_the_settings_of_the_embedded_one(services: dict[str, Any]) -> None:
    command = services["temporal"]["command"]
    assert command[:2] == ["server", "start-dev"]
    assert values_of(command, "--sqlite-pragma") == dev_server.PRAGMAS
    assert values_of(command, "--dynamic-config-value") == dev_server.DYNAMIC_CONFIG


def test_every_variable_of_our_containers_is_one_that_we_read(services: dict[str, Any]) -> None:
    names = {name for service in OURS for name in services[service].get("environment", {})}
    assert {"DATABASE_URL", "TEMPORAL_ADDRESS"} <= names
    assert {name for name in names if not name.startswith(settings.TOOL_PREFIX)} <= known()


def test_the_migration_and_the_worker_see_the_same_environment(services: dict[str, Any]) -> None:
    assert services["migrate"]["environment"] == services["worker"]["environment"]


def test_every_variable_of_the_image_is_known_and_none_is_a_secret() -> None:
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if line.startswith("ENV ")]
    names = {name for line in lines for name in re.findall(r"(\w+)=", line)}
    assert names <= known() | PYTHONS_OWN | PIPS_OWN


def test_every_variable_that_compose_replaces_has_a_default_and_is_explained() -> None:
    text = re.sub(r"(?m)^\s*#.*$", "", COMPOSE.read_text(encoding="utf-8"))
    explained = README.read_text(encoding="utf-8")
    found = dict(re.findall(r"\$\{(\w+)(:-)?", text))
    assert found and all(found.values()), found
    assert [name for name in found if name not in explained] == []


def test_ports_are_bound_to_loopback_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []
    assert [name for name, service in services.items() if service.get("network_mode") == "host"] == []


@pytest.mark.parametrize("name", ["temporal", "postgres", *OURS])
def test_a_container_can_do_no_more_than_it_must(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", ()))


@pytest.mark.parametrize("name", OURS)
def test_our_containers_do_not_run_as_root(services: dict[str, Any], name: str) -> None:
    user = re.search(r"(?m)^USER (\S+)$", DOCKERFILE.read_text(encoding="utf-8"))
    assert user and services[name]["user"] == user[1]
    assert not user[1].startswith(("0", "root"))


def test_the_worker_is_given_the_time_it_gives_to_what_is_in_flight(services: dict[str, Any]) -> None:
    assert seconds(services["worker"]["stop_grace_period"]) > GRACE.total_seconds()
    assert services["worker"]["init"] is True


def test_the_worker_starts_after_the_migration_and_comes_back_by_itself(services: dict[str, Any]) -> None:
    assert services["worker"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["migrate"]["command"] == ["bootstrap"] and services["migrate"]["restart"] == "no"
    assert {services[name]["restart"] for name in ("temporal", "postgres", "worker")} == {"unless-stopped"}
    assert all("healthcheck" in services[name] for name in ("temporal", "postgres", "worker"))


def test_every_package_in_the_image_is_checked_against_its_hash() -> None:
    installs = re.findall(r"pip install [^\\\n]*", DOCKERFILE.read_text(encoding="utf-8"))
    assert installs
    assert [line for line in installs if "--require-hashes" not in line and "--no-index" not in line] == []


def test_the_image_gets_the_project_and_nothing_else() -> None:
    rules = (PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert next(rule for rule in rules if rule and not rule.startswith("#")) == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(encoding="utf-8"))
    assert {name for line in copied for name in line.split()} == allowed
