"""Generated requests get what the OpenAPI document promises, and texts come back unchanged."""

import secrets
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.config import ChecksConfig
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ensure_resource_availability,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from tests.harness import Server, User, token
from tests.properties.effort import effort
from todo_api.models import MAX_TITLE_LENGTH
from todo_api.problems import CONNECTION_STATUSES


@schemathesis.check
def documented_status(context: Any, response: schemathesis.Response, case: "Case") -> bool | None:
    """The operation documents the status, or the whole document's description does."""
    if response.status_code in CONNECTION_STATUSES:
        return None
    return status_code_conformance(context, response, case)


CHECKS = [
    schemathesis.checks.not_a_server_error,
    documented_status,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
OPEN = ["health", "ready", "metrics"]
COLLECTION = ["list_tasks", "create_task"]
ONE_TASK = ["read_task", "update_task", "delete_task", "complete_task"]
REJECTED = {400, 404, 412, 413, 415, 422}

Case = schemathesis.Case[Any]
Operations = dict[str, schemathesis.APIOperation[Any, Any, Any, Any]]

bounded = effort(20, soak_share=0.03)


def document(server: Server) -> Any:
    """The running service's own document."""
    config = schemathesis.Config()
    config.projects.default.generation.update(with_security_parameters=False)  # tokens are ours to send
    # A rejection, whichever: an invalid request may be too long as well.
    checks = {"negative_data_rejection": {"expected-statuses": ["4xx"]}}
    config.projects.default.checks = ChecksConfig.from_dict(checks)
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config)


@pytest.fixture(scope="module")
def operations(server: Server) -> Operations:
    """The operations of the running service's document, by their ids."""
    schema = document(server)
    results = list(schema.get_all_operations())
    found = [result.ok() for result in results if isinstance(result, Ok)]
    assert len(found) == len(results)
    return {operation.definition.raw["operationId"]: operation for operation in found}


def call(case: Case, user: User) -> schemathesis.Response:
    """Send a generated request as this user, and hold the answer against the document."""
    return case.call_and_validate(headers={"Authorization": user.http.headers["Authorization"]}, checks=CHECKS)


def test_document_holds_all_nine_operations(operations: Operations) -> None:
    assert sorted(operations) == sorted([*OPEN, *COLLECTION, *ONE_TASK])


@pytest.mark.parametrize("name", OPEN)
def test_open_operation_keeps_its_promises(operations: Operations, alice: User, name: str) -> None:
    response = call(operations[name].Case(), alice)

    assert response.status_code == 200


@pytest.mark.parametrize("name", [*COLLECTION, *ONE_TASK])
def test_valid_request_keeps_the_promises(operations: Operations, alice: User, name: str) -> None:
    statuses = set()

    @bounded
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        path: dict[str, Any] = {"user_id": alice.id}
        if name in ONE_TASK and data.draw(st.booleans()):
            path["id"] = alice.create()["id"]
        statuses.add(call(data.draw(operations[name].as_strategy(path_parameters=path)), alice).status_code)

    check()
    assert {200, 201} & statuses
    assert statuses <= {200, 201, 204, 304} | REJECTED


def too_long_before_trimming(body: Any) -> bool:
    """Whether the title is within its limit only when trimmed, which no ``maxLength`` can say."""
    title = body.get("title") if isinstance(body, dict) else None
    return isinstance(title, str) and len(title) > MAX_TITLE_LENGTH >= len(title.strip(WHITE_SPACE))


@pytest.mark.parametrize("name", [*COLLECTION, *ONE_TASK])
def test_invalid_request_is_rejected(operations: Operations, alice: User, name: str) -> None:
    statuses = set()
    task = alice.create()
    path = {"user_id": alice.id, **({"id": task["id"]} if name in {"update_task", "complete_task"} else {})}
    mode = schemathesis.GenerationMode.NEGATIVE

    @bounded
    @given(case=operations[name].as_strategy(generation_mode=mode, path_parameters=path))
    def check(case: Case) -> None:
        headers = {"Authorization": alice.http.headers["Authorization"]}
        lenient = too_long_before_trimming(case.body) or "" in case.query.values()  # an empty value is none
        checks = CHECKS if lenient else [*CHECKS, negative_data_rejection]
        statuses.add(case.call_and_validate(headers=headers, checks=checks).status_code)

    check()
    assert REJECTED & statuses


@pytest.mark.parametrize("name", [*COLLECTION, *ONE_TASK])
def test_operation_rejects_other_methods_and_other_tokens(operations: Operations, alice: User, name: str) -> None:
    path = {"user_id": alice.id, **({"id": alice.create()["id"]} if name in ONE_TASK else {})}
    body: Any = {"title": "Buy milk"} if name in {"create_task", "update_task"} else schemathesis.core.NOT_SET
    case = operations[name].Case(path_parameters=path, body=body, media_type="application/json")
    headers = {"Authorization": alice.http.headers["Authorization"]}
    response = case.call_and_validate(headers=headers, checks=[*CHECKS, ignored_auth, unsupported_method])

    assert response.status_code in {200, 201}


def test_deleted_tasks_stay_deleted_and_created_ones_are_there(server: Server) -> None:
    called = set()
    machine = document(server).as_state_machine()

    class Calls(machine):  # type: ignore[valid-type, misc]
        def setup(self) -> None:
            super().setup()
            self.user_id = f"user{secrets.token_hex(14)}"  # whom no earlier run has left anything

        def before_call(self, case: Case) -> None:
            if "user_id" in case.path_parameters:
                case.path_parameters["user_id"] = self.user_id

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {token(self.user_id)}"}}

        def validate_response(
            self, response: schemathesis.Response, case: Case, additional_checks: Any = None, **kwargs: Any
        ) -> None:
            called.add((case.operation.method, response.status_code))
            checks = [*CHECKS, use_after_free, ensure_resource_availability]
            case.validate_response(response, checks=checks, transport_kwargs=kwargs)

    run_state_machine_as_test(Calls, settings=effort(15, soak_share=0.005, stateful_step_count=8))
    assert {("post", 201), ("delete", 200), ("get", 404)} <= called


def without_nul(length: int) -> st.SearchStrategy[str]:
    """Any text that PostgreSQL can hold."""
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=length)


padding = st.text(st.sampled_from(WHITE_SPACE), max_size=5)


@effort(75, soak_share=0.005)
@given(
    title=without_nul(255).filter(lambda text: text.strip(WHITE_SPACE)),
    before=padding,
    after=padding,
    description=st.none() | without_nul(1000),
)
def test_texts_come_back_as_they_went_in(
    alice: User, title: str, before: str, after: str, description: str | None
) -> None:
    task = alice.create(before + title + after, description=description)

    assert (task["title"], task["description"]) == (title.strip(WHITE_SPACE), description)
    assert alice.http.get(alice.path(task)).json() == task
    updated = alice.http.put(alice.path(task), json={"title": task["title"], "description": description}).json()
    assert (updated["title"], updated["description"]) == (task["title"], description)


@effort(20, soak_share=0.005)
@given(title=st.text(st.sampled_from(WHITE_SPACE), max_size=300))
def test_title_of_nothing_but_white_space_is_rejected(alice: User, title: str) -> None:
    response = alice.http.post(alice.base, json={"title": title})

    assert (response.status_code, response.json()["detail"]) == (400, "title: must not be blank")
