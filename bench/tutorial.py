"""The peer that most people write.

FastAPI and SQLModel with an async session, as their tutorials do it.
"""

# ruff: noqa: FAST003 - the path's parameters are read by the dependencies

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import DateTime, Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

SECRET = os.environ["BETTER_AUTH_SECRET"]
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=16, max_overflow=0)
bearer = HTTPBearer()
app = FastAPI()


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class User(SQLModel, table=True):
    """A user."""

    __tablename__ = "users"

    id: str = Field(primary_key=True)


class TaskCreate(SQLModel):
    """The body of POST."""

    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=1000)


class TaskUpdate(SQLModel):
    """The body of PUT."""

    title: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool | None = None


class TaskComplete(SQLModel):
    """The body of PATCH."""

    completed: bool


class Task(SQLModel, table=True):
    """A task."""

    __tablename__ = "tasks"

    id: int | None = Field(default=None, primary_key=True)
    user_id: str = Field(foreign_key="users.id", index=True)
    title: str
    description: str | None = None
    completed: bool = False
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class TaskRead(SQLModel):
    """A task as clients see it."""

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


async def get_session() -> AsyncIterator[AsyncSession]:
    """One session for each request."""
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session


async def get_current_user(user_id: str, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    """The token's user, who must be the path's."""
    try:
        payload: dict[str, Any] = jwt.decode(credentials.credentials, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Invalid token") from None
    if payload.get("sub") != user_id:
        raise HTTPException(403, "Not your tasks")
    return user_id


Session = Annotated[AsyncSession, Depends(get_session)]
CurrentUser = Annotated[str, Depends(get_current_user)]


async def get_task(task_id: int, user: CurrentUser, session: Session) -> Task:
    """The user's task with this id."""
    task = (await session.exec(select(Task).where(Task.id == task_id, Task.user_id == user))).first()
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


TheTask = Annotated[Task, Depends(get_task)]


async def save(session: AsyncSession, task: Task) -> Task:
    """Write a task and read it back."""
    session.add(task)
    await session.commit()
    await session.refresh(task)
    return task


@app.get("/api/{user_id}/tasks", response_model=list[TaskRead])
async def list_tasks(user: CurrentUser, session: Session, limit: int = 100) -> Any:
    """The user's tasks, newest first."""
    newest_first = (col(Task.created_at).desc(), col(Task.id).desc())
    return (await session.exec(select(Task).where(Task.user_id == user).order_by(*newest_first).limit(limit))).all()


@app.post("/api/{user_id}/tasks", response_model=TaskRead, status_code=201)
async def create_task(body: TaskCreate, user: CurrentUser, session: Session) -> Any:
    """Create a task."""
    return await save(session, Task(user_id=user, **body.model_dump()))


@app.get("/api/{user_id}/tasks/{task_id}", response_model=TaskRead)
async def read_task(task: TheTask) -> Any:
    """One task."""
    return task


@app.put("/api/{user_id}/tasks/{task_id}", response_model=TaskRead)
async def update_task(body: TaskUpdate, task: TheTask, session: Session) -> Any:
    """Change a task."""
    task.sqlmodel_update({**body.model_dump(exclude_unset=True), "updated_at": now()})
    return await save(session, task)


@app.delete("/api/{user_id}/tasks/{task_id}", response_model=TaskRead)
async def delete_task(task: TheTask, session: Session) -> Any:
    """Delete a task."""
    await session.delete(task)
    await session.commit()
    return task


@app.patch("/api/{user_id}/tasks/{task_id}/complete", response_model=TaskRead)
async def complete_task(body: TaskComplete, task: TheTask, session: Session) -> Any:
    """Complete or reopen a task."""
    task.completed, task.updated_at = body.completed, now()
    return await save(session, task)
