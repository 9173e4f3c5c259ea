"""The OpenAPI document: what it says is what the service does."""

from typing import Any

import httpx
import pytest

from tests.api.test_tasks import KEYS
from tests.harness import Server, User
from todo_api.problems import CONNECTION_STATUSES, PROBLEMS
from todo_api.routes.list_parameters import PARAMETERS

Json = dict[str, Any]

PROBLEM = "application/problem+json"
ALWAYS = {"400", "401", "403", "500", "503"}
ONE_TASK = ALWAYS | {"404"}
WITH_BODY = {"413", "415"}
OPERATIONS = {
    "list_tasks": ("get", "/api/{user_id}/tasks", {"200", "304"}, ALWAYS),
    "create_task": ("post", "/api/{user_id}/tasks", {"201"}, ALWAYS | WITH_BODY | {"422"}),
    "read_task": ("get", "/api/{user_id}/tasks/{id}", {"200", "304"}, ONE_TASK),
    "update_task": ("put", "/api/{user_id}/tasks/{id}", {"200"}, ONE_TASK | WITH_BODY | {"412"}),
    "delete_task": ("delete", "/api/{user_id}/tasks/{id}", {"200", "204"}, ONE_TASK | {"412"}),
    "complete_task": ("patch", "/api/{user_id}/tasks/{id}/complete", {"200"}, ONE_TASK | WITH_BODY | {"412"}),
}
BODIES = ["create_task", "update_task", "complete_task"]
OPEN = {"health": "/health", "ready": "/ready", "metrics": "/metrics"}


@pytest.fixture(scope="module")
def document(server: Server) -> Json:
    """The document, as the service answers it."""
    response = httpx.get(f"{server.url}/openapi.json", timeout=20)
    assert response.headers["content-type"] == "application/json"
    document: Json = response.json()
    return document


def resolved(document: Json, schema: Json) -> Json:
    """The schema, or the one that it refers to."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    assert reference.startswith("#/components/schemas/")
    found: Json = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def operation(document: Json, name: str) -> Json:
    """A task operation."""
    method, path, _, _ = OPERATIONS[name]
    found: Json = document["paths"][path][method]
    return found


def request_body(document: Json, name: str) -> tuple[Json, Json]:
    """What the document says of the body: its media type object, and its schema."""
    media: Json = operation(document, name)["requestBody"]["content"]["application/json"]
    return media, resolved(document, media["schema"])


def examples(document: Json, name: str) -> list[Any]:
    """Every example of an operation's body."""
    media, schema = request_body(document, name)
    named = [resolved(document, example)["value"] for example in media.get("examples", {}).values()]
    return [*named, *([media["example"]] if "example" in media else []), *schema.get("examples", [])]


def parts(node: Any) -> list[Json]:
    """Every object anywhere in the document."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return ([node] if isinstance(node, dict) else []) + [part for child in children for part in parts(child)]


def test_document_is_openapi_3_1(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"]


def test_document_is_byte_identical_whenever_it_is_fetched(server: Server) -> None:
    first, second = (httpx.get(f"{server.url}/openapi.json", timeout=20) for _ in range(2))

    assert first.content == second.content


def test_operations_are_these_and_no_others(document: Json) -> None:
    found = {
        operation["operationId"]: (method, path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }

    assert found == {name: (method, path) for name, (method, path, _, _) in OPERATIONS.items()} | {
        name: ("get", path) for name, path in OPEN.items()
    }


def test_nothing_answers_as_frameworks_do(document: Json) -> None:
    rejections = [part[status] for part in parts(document["paths"]) for status in part if status[:1] in {"4", "5"}]

    assert len(rejections) > 40
    assert [rejection for rejection in rejections if list(rejection["content"]) != [PROBLEM]] == []
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_every_reference_leads_somewhere(document: Json) -> None:
    references = [part["$ref"] for part in parts(document) if isinstance(part.get("$ref"), str)]

    assert references
    for reference in references:
        node: Any = document
        for name in reference.removeprefix("#/").split("/"):
            node = node[name.replace("~1", "/").replace("~0", "~")]


@pytest.mark.parametrize("name", OPERATIONS)
def test_task_operation_documents_its_rejections(document: Json, name: str) -> None:
    responses = operation(document, name)["responses"]
    _, _, success, rejections = OPERATIONS[name]

    assert set(responses) == success | rejections
    for status in rejections:
        response = resolved(document, responses[status])
        assert response["description"]
        assert list(response["content"]) == [PROBLEM]
        problem = resolved(document, response["content"][PROBLEM]["schema"])
        assert {"type", "title", "status", "detail", "message", "code", "request_id"} <= set(problem["properties"])


@pytest.mark.parametrize("name", OPEN)
def test_open_operation_documents_its_rejections(document: Json, name: str) -> None:
    responses = document["paths"][OPEN[name]]["get"]["responses"]

    assert set(responses) == {"200"} | ({"503"} if name == "ready" else set())


@pytest.mark.parametrize("status", CONNECTION_STATUSES)
def test_connection_level_error_is_described_once_for_all_operations(document: Json, status: int) -> None:
    statuses = {status for path in document["paths"].values() for verb in path.values() for status in verb["responses"]}

    assert document["info"]["description"].count(f"| {status} | `{PROBLEMS[status].code}` |") == 1
    assert str(status) not in statuses


@pytest.mark.parametrize("name", [*OPERATIONS, *OPEN])
def test_summary_of_an_operation_says_more_than_its_id(document: Json, name: str) -> None:
    path, verb = (OPERATIONS[name][1], OPERATIONS[name][0]) if name in OPERATIONS else (OPEN[name], "get")
    described = document["paths"][path][verb]

    assert described["summary"].casefold() != name.replace("_", " ")
    assert described["description"].rstrip(".") != described["summary"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_task_operation_requires_a_bearer_token(document: Json, name: str) -> None:
    (requirement,) = operation(document, name)["security"]
    ((scheme, scopes),) = requirement.items()

    assert scopes == []
    assert document["components"]["securitySchemes"][scheme]["type"] == "http"
    assert document["components"]["securitySchemes"][scheme]["scheme"] == "bearer"


@pytest.mark.parametrize("name", OPEN)
def test_open_operation_requires_no_token(document: Json, name: str) -> None:
    assert document["security"] == []
    assert "security" not in document["paths"][OPEN[name]]["get"]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "task" in name])
def test_task_operation_answers_tasks(document: Json, name: str) -> None:
    response = operation(document, name)["responses"][min(OPERATIONS[name][2])]
    schema = resolved(document, response["content"]["application/json"]["schema"])
    task = resolved(document, schema["items"]) if name == "list_tasks" else schema

    assert list(response["content"]) == ["application/json"]
    assert list(task["properties"]) == KEYS
    assert set(task["required"]) == set(KEYS)


def test_example_of_a_task_is_a_task(document: Json, alice: User) -> None:
    response = operation(document, "read_task")["responses"]["200"]
    task = resolved(document, response["content"]["application/json"]["schema"])

    assert task["examples"]
    for example in task["examples"]:
        assert list(example) == list(alice.create()) == KEYS


@pytest.mark.parametrize("name", BODIES)
def test_example_of_a_body_is_accepted(document: Json, alice: User, name: str) -> None:
    method, path, success, _ = OPERATIONS[name]

    assert examples(document, name)
    for example in examples(document, name):
        task = alice.create("Old", description="Old")
        target = path.format(user_id=alice.id, id=task["id"])
        response = alice.http.request(method, target, json=example)

        assert response.status_code == int(min(success))
        assert {**response.json(), **example} == response.json()


@pytest.mark.parametrize("name", ["create_task", "update_task"])
def test_body_is_required_where_the_service_requires_it(document: Json, alice: User, name: str) -> None:
    method, path, _, _ = OPERATIONS[name]

    assert operation(document, name)["requestBody"]["required"] is True
    assert alice.http.request(method, path.format(user_id=alice.id, id=1)).status_code == 400


def test_body_of_completion_is_optional(document: Json, alice: User) -> None:
    path = OPERATIONS["complete_task"][1].format(user_id=alice.id, id=alice.create()["id"])

    assert operation(document, "complete_task")["requestBody"].get("required", False) is False
    assert alice.http.patch(path).status_code == 200


@pytest.mark.parametrize("name", ["update_task", "complete_task"])
def test_no_default_is_promised_for_what_means_something_else_when_absent(document: Json, name: str) -> None:
    media, schema = request_body(document, name)

    assert "default" not in media["schema"]
    assert [field for field, described in schema["properties"].items() if "default" in described] == []


def test_limits_of_the_fields_are_documented(document: Json) -> None:
    for name in ("create_task", "update_task"):
        _, body = request_body(document, name)
        title, description = body["properties"]["title"], body["properties"]["description"]

        assert (title["type"], title["minLength"], title["maxLength"]) == ("string", 1, 255)
        assert {"type": "null"} in description["anyOf"]
        assert [option["maxLength"] for option in description["anyOf"] if option["type"] == "string"] == [1000]
        assert list(body["properties"]) == ["title", "description", "completed"]
    assert request_body(document, "create_task")[1]["required"] == ["title"]
    assert "required" not in request_body(document, "update_task")[1]


def test_parameters_of_the_list_are_documented(document: Json) -> None:
    schemas = {item["name"]: item["schema"] for item in operation(document, "list_tasks")["parameters"]}

    assert (schemas["status"]["enum"], schemas["status"]["default"]) == (["all", "pending", "completed"], "all")
    assert {**schemas["limit"], "minimum": 1, "maximum": 1000, "default": 1000} == schemas["limit"]


def test_location_of_a_new_task_is_documented(document: Json) -> None:
    assert "Location" in operation(document, "create_task")["responses"]["201"]["headers"]


def test_ids_have_64_bits(document: Json) -> None:
    (id,) = [item for item in operation(document, "read_task")["parameters"] if item["name"] == "id"]
    of_task = document["components"]["schemas"]["TaskRead"]["properties"]["id"]

    assert id["schema"]["format"] == of_task["format"] == "int64"


def test_no_parameter_may_be_null(document: Json) -> None:
    parameters = [item for part in parts(document["paths"]) for item in part.get("parameters", [])]

    assert len(parameters) > 20
    assert [item for item in parameters if not isinstance(item["schema"].get("type"), str)] == []


def test_no_field_of_a_body_has_a_default_that_makes_it_required(document: Json) -> None:
    for name in BODIES:
        _, schema = request_body(document, name)
        assert [field for field, value in schema["properties"].items() if "default" in value] == []


def test_header_names_are_spelled_as_usual(document: Json) -> None:
    names = {item["name"] for part in parts(document["paths"]) for item in part.get("parameters", [])}

    assert {"If-Match", "If-None-Match", "Idempotency-Key", "Prefer"} <= names


def test_document_names_its_server_licence_and_tags(document: Json) -> None:
    assert document["info"]["license"]["identifier"] == "MIT"
    assert [server["url"] for server in document["servers"]] == ["."]
    assert {tag["name"] for tag in document["tags"]} == {"tasks", "operations"}
    assert all(part["summary"] for operations in document["paths"].values() for part in operations.values())


def test_every_list_parameter_is_described_with_its_other_names(document: Json) -> None:
    described = {item["name"]: item["description"] for item in operation(document, "list_tasks")["parameters"]}

    for name, parameter in PARAMETERS.items():
        assert all(f"`{other}`" in described[name] for other in parameter.names[1:])
