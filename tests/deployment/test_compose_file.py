"""docker-compose.yml, Dockerfile and .env.example as they are written: nothing is run."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
from compose_file import COMPOSE, REPOSITORY, MissingVariable, compose_schema, example_variables, read_compose
from mlflow.server.security_utils import is_allowed_host_header, should_block_cors_request
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

SECRETS = {name: f"value-of-{name}" for name in example_variables()}


@pytest.fixture
def services() -> Mapping[str, Mapping[str, Any]]:
    read: Mapping[str, Mapping[str, Any]] = read_compose(COMPOSE, SECRETS)["services"]
    return read


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.cuda.yml"])
def test_the_files_follow_the_compose_specification(name: str) -> None:
    jsonschema.validate(read_compose(REPOSITORY / name, SECRETS), compose_schema())


def test_the_schema_would_refuse_a_misspelt_key() -> None:
    tree = read_compose(COMPOSE, SECRETS)
    tree["services"]["mlflow"]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        jsonschema.validate(tree, compose_schema())


def test_no_service_starts_without_each_of_its_passwords() -> None:
    assert set(example_variables().values()) == {""}, "a password that everybody knows"
    for name in example_variables():
        with pytest.raises(MissingVariable, match=f"{name}: give it a value in .env"):
            read_compose(COMPOSE, {**SECRETS, name: ""})


def test_passwords_go_into_environments_and_nowhere_else(services: Mapping[str, Mapping[str, Any]]) -> None:
    for service in services.values():
        elsewhere = {key: value for key, value in service.items() if key != "environment"}
        assert "value-of-" not in str(elsewhere)
        assert not any("@" in value for value in service["environment"].values()), "an address with a password"


def test_ports_are_open_to_this_machine_only_unless_asked(services: Mapping[str, Mapping[str, Any]]) -> None:
    published = {name: service.get("ports", []) for name, service in services.items()}
    assert {port.rsplit(":", 2)[0] for ports in published.values() for port in ports} == {"127.0.0.1"}
    assert not published["postgres"]
    asked = read_compose(COMPOSE, {**SECRETS, "HMS_ADDRESS": "0.0.0.0"})["services"]
    assert asked["app"]["ports"] == ["0.0.0.0:7860:7860"]


@pytest.mark.parametrize("name", ["", "eeg.example"])
def test_mlflow_answers_its_own_page_under_its_name_and_no_other(name: str) -> None:
    variables = {**SECRETS, **({"HMS_HOST": name} if name else {})}
    options = read_compose(COMPOSE, variables)["services"]["mlflow"]["command"]
    said = dict(option.split("=", 1) for option in options if "=" in option)
    hosts, origins = said["--allowed-hosts"].split(","), said["--cors-allowed-origins"].split(",")
    own = name or "localhost"
    for host in (own, f"{own}:5000", "mlflow:5000", "127.0.0.1:5000"):  # behind a proxy with TLS there is no port
        assert is_allowed_host_header(hosts, host), host
    for host in ("evil.example", "evil.example:5000", f"{own}.evil.example", f"evil.{own}", "10.0.0.1:5000"):
        assert not is_allowed_host_header(hosts, host), host
    for page in (f"https://{own}", f"http://{own}:5000"):
        assert not should_block_cors_request(page, "POST", origins), page
    for page in ("https://evil.example", f"https://{own}.evil.example", f"https://evil.{own}", "null"):
        assert should_block_cors_request(page, "POST", origins), page


def test_every_service_is_checked_restarted_and_without_privileges(services: Mapping[str, Mapping[str, Any]]) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["user"] in ("postgres", "1000:1000"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] != "no", name
        for other in service.get("depends_on", {}).values():
            assert other == {"condition": "service_healthy"}, name


def test_what_is_written_lies_in_named_volumes(services: Mapping[str, Mapping[str, Any]]) -> None:
    named = set(read_compose(COMPOSE, SECRETS)["volumes"])
    for service in services.values():
        for volume in service.get("volumes", ()):
            source, _, *options = volume.split(":")
            assert source in named or (options == ["ro"] and (REPOSITORY / source).is_file()), volume
    own = {"HMS_DATA": "/srv/eeg", "HMS_STUDIES": "/srv/studies"}
    with_data = read_compose(COMPOSE, {**SECRETS, **own})["services"]["search"]["volumes"]
    assert {"/srv/eeg:/data:ro", "/srv/studies:/work/own:ro"} <= set(with_data)


def test_the_search_is_told_of_recordings_where_it_is_shown_some(services: Mapping[str, Mapping[str, Any]]) -> None:
    assert services["search"]["environment"]["HMS_SEARCH_DATA"] == ""
    with_data = read_compose(COMPOSE, {**SECRETS, "HMS_DATA": "/srv/eeg"})["services"]["search"]
    assert with_data["environment"]["HMS_SEARCH_DATA"] == "/data"


def test_images_have_a_version() -> None:
    images = [service["image"] for service in read_compose(COMPOSE, SECRETS)["services"].values()]
    images += re.findall(r"^FROM (\S+)", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert all(re.search(r":\d+\.\d+", image) for image in images), images
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    assert f"hms-search:{version}-cpu" in images
    cuda = read_compose(COMPOSE, {**SECRETS, "HMS_DEVICE": "cuda"})["services"]
    built = {name: service["build"] for name, service in cuda.items() if "build" in service}
    assert built == {"mlflow": {"context": ".", "args": {"DEVICE": "cuda"}}}, "the others take its image"
    assert {service["image"] for name, service in cuda.items() if name != "postgres"} == {f"hms-search:{version}-cuda"}


def test_the_image_pins_every_package_that_it_asks_for() -> None:
    lines = (REPOSITORY / "docker" / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    for requirement in _asked_for():
        assert requirement.specifier.contains(Version(pins[canonicalize_name(requirement.name)])), requirement


def test_an_index_that_lacks_the_pinned_versions_is_asked_for_torch_alone() -> None:
    lines = [line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if "--index-url" in line]
    assert lines
    assert all("--no-deps --index-url" in line for line in lines)


def test_the_image_is_built_from_code_alone() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if not line.startswith("#")]
    assert patterns[0] == "*"
    copied = re.findall(r"^COPY (.+) \S+$", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)
    sources = {source.split("/")[0] for line in copied for source in line.split()}
    assert sources <= {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert not any(pattern.startswith(("!.env", "!mlruns")) for pattern in patterns)


def test_the_file_of_passwords_is_not_committed() -> None:
    assert ".env" in (REPOSITORY / ".gitignore").read_text().splitlines()


def _asked_for() -> Iterator[Requirement]:
    """What the Dockerfile's ``pip install .[...]`` names in pyproject.toml."""
    found = re.search(r'"\.\[(.+)\]"', (REPOSITORY / "Dockerfile").read_text())
    assert found is not None
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    for line in project["dependencies"]:
        yield Requirement(line)
    for extra in found[1].split(","):
        yield from map(Requirement, project["optional-dependencies"][extra])
