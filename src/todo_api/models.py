"""The tables ``users``, ``tasks`` and ``idempotency_keys``, and the bodies of requests.

A table model never validates and never meets a client; a body model is strict and never meets the
database.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator
from pydantic import Field as PydanticField
from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Identity, Index, MetaData, Text, func, text
from sqlmodel import Field, SQLModel

MAX_TITLE_LENGTH = 255
MAX_DESCRIPTION_LENGTH = 1000
MAX_USER_ID_LENGTH = 255
MAX_IDEMPOTENCY_KEY_LENGTH = 255


class Table(SQLModel):
    """What our tables share: one ``MetaData`` whose constraints and indexes all have names."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )


class User(Table, table=True):
    """A user as the tokens describe them; the row is made with the user's first write."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint(f"char_length(id) BETWEEN 1 AND {MAX_USER_ID_LENGTH}", name="id_length"),)

    id: str = Field(sa_type=Text, primary_key=True)
    email: str | None = Field(default=None, sa_type=Text)
    name: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(
        sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": func.now()}, nullable=False
    )


class Task(Table, table=True):
    """A task; it goes when its user goes."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(f"char_length(title) <= {MAX_TITLE_LENGTH}", name="title_length"),
        CheckConstraint("btrim(title, E' \\t\\n\\x0B\\f\\r') <> ''", name="title_not_blank"),
        CheckConstraint(f"char_length(description) <= {MAX_DESCRIPTION_LENGTH}", name="description_length"),
        CheckConstraint("updated_at >= created_at", name="updated_at_not_before_created_at"),
        Index("tasks_user_id_created_at_id_idx", "user_id", text("created_at DESC"), text("id DESC")),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True))
    user_id: str = Field(sa_type=Text, foreign_key="users.id", ondelete="CASCADE")
    title: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    completed: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime = Field(
        sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": func.now()}, nullable=False
    )
    updated_at: datetime = Field(
        sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": func.now()}, nullable=False
    )


class IdempotencyKey(Table, table=True):
    """What a create with an ``Idempotency-Key`` made, for as long as it may be repeated."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint(f"char_length(key) BETWEEN 1 AND {MAX_IDEMPOTENCY_KEY_LENGTH}", name="key_length"),
        Index("idempotency_keys_user_id_created_at_idx", "user_id", "created_at"),
    )

    user_id: str = Field(sa_type=Text, primary_key=True, foreign_key="users.id", ondelete="CASCADE")
    key: str = Field(sa_type=Text, primary_key=True)
    payload_digest: str = Field(sa_type=Text)
    attempt: str = Field(sa_type=Text)
    task_id: int = Field(sa_type=BigInteger)
    created_at: datetime = Field(
        sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": func.now()}, nullable=False
    )


def without_nul(value: str) -> str:
    """A validator: PostgreSQL's text holds every character but U+0000."""
    if "\x00" in value:
        raise ValueError("must not contain U+0000")
    return value


Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE_LENGTH),
    AfterValidator(without_nul),
    PydanticField(description="White space around it is trimmed first."),
]
Description = Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_LENGTH), AfterValidator(without_nul)]


class _Body(BaseModel):
    """A strict JSON object; fields that it does not declare are ignored, never trusted."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class TaskCreate(_Body):
    """The body of POST."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Buy milk", "description": "Two litres, semi-skimmed"}]}
    )

    # A factory: a default in the document makes generators think that the field is required.
    title: Title
    description: Description | None = None
    completed: bool = PydanticField(default_factory=bool)


class TaskUpdate(_Body):
    """The body of PUT: any non-empty subset; a field that is absent keeps its value."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Buy oat milk", "completed": True}], "minProperties": 1}
    )

    # Factories, because a default never stands for a value here: ``model_fields_set`` tells what
    # was sent.
    title: Title = PydanticField(default_factory=str)
    description: Description | None = PydanticField(default_factory=lambda: None)
    completed: bool = PydanticField(default_factory=bool)

    @model_validator(mode="after")
    def _something_to_change(self) -> "TaskUpdate":
        if not self.model_fields_set:
            raise ValueError("must contain at least one of title, description, completed")
        return self


class TaskComplete(_Body):
    """The body of PATCH …/complete: ``completed`` sets, an empty object toggles."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"completed": True}]})

    completed: bool = PydanticField(default_factory=bool)

    @model_validator(mode="before")
    @classmethod
    def _completed_if_anything(cls, body: Any) -> Any:
        if isinstance(body, dict) and body and "completed" not in body:
            return {"completed": None}  # 400: it meant something, and a toggle would be a guess
        return body


class TaskRead(BaseModel):
    """A task as clients see it, keys in this order."""

    id: Annotated[int, PydanticField(json_schema_extra={"format": "int64"})]
    user_id: Annotated[str, StringConstraints(max_length=MAX_USER_ID_LENGTH)]
    title: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TITLE_LENGTH)]
    description: Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_LENGTH)] | None
    completed: bool
    created_at: datetime
    updated_at: datetime


TASK_EXAMPLE = {
    "id": 1,
    "user_id": "bV12vHh0d3xhAVa7B3NitZNxHrZ0cEWe",
    "title": "Buy milk",
    "description": None,
    "completed": False,
    "created_at": "2026-11-20T20:53:46.424000Z",
    "updated_at": "2026-11-20T20:53:46.424000Z",
}
