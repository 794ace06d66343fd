"""The lists as a FastAPI service over SQLite has them, in the style of the published Jobs API: pydantic models, COUNT and
OFFSET, a connection for each thread. It asks nobody who they are; tokens were made beforehand.

Started by `npm run bench -- --peers` with the database in ASSAY_PEER_DATABASE.
"""

import json
import os
import sqlite3
import threading
from datetime import datetime, timezone

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel

app = FastAPI()
local = threading.local()


def connection() -> sqlite3.Connection:
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(os.environ["ASSAY_PEER_DATABASE"])
        local.connection.row_factory = sqlite3.Row
    return local.connection


class Step(BaseModel):
    benchmark_id: str
    config: dict | None


class Job(BaseModel):
    id: str
    name: str
    token: str
    description: str | None
    state: str
    node_count: int
    current_nodes: int
    benchmark_sequence: list[Step]
    tags: list[str]
    provider: str | None
    region: str | None
    order: str | None
    created_at: str
    started_at: str | None
    expires_at: str
    ended_at: str | None
    spec_check: str | None
    gpu_models: list[str] | None = None
    quickmark_aggregate_results: dict | None = None
    performance: dict | None = None
    performance_nodes: list[dict] | None = None
    benchmarks: list[str]


class Pagination(BaseModel):
    total: int
    page: int
    per_page: int
    total_pages: int
    has_next: bool
    has_prev: bool


class JobList(BaseModel):
    results: list[Job]
    pagination: Pagination


class Spec(BaseModel):
    uuid: str
    slug: str
    name: str
    os: str
    architecture: str
    cpu: int
    memory: int
    disk: int
    network: bool
    created: str
    modified: str
    archived: str | None = None


def time_of(ms: int | None) -> str | None:
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_of(row: sqlite3.Row) -> Job:
    fields = dict(row)
    steps = json.loads(fields.pop("sequence"))
    times = {name: time_of(fields.pop(name)) for name in ("created_at", "started_at", "expires_at", "ended_at")}
    return Job(
        **{**fields, "id": str(fields["id"]), "tags": json.loads(fields["tags"])},
        **times,
        benchmark_sequence=steps,
        benchmarks=[step["benchmark_id"] for step in steps],
    )


@app.get("/jobs", response_model=JobList)
def list_jobs(page: int = Query(1, ge=1), per_page: int = Query(20, ge=1, le=300)):
    db = connection()
    total = db.execute("SELECT COUNT(*) FROM textbook_jobs").fetchone()[0]
    rows = db.execute(
        "SELECT * FROM textbook_jobs ORDER BY created_at DESC LIMIT ? OFFSET ?",
        (per_page, (page - 1) * per_page),
    ).fetchall()
    pages = -(-total // per_page)
    return JobList(
        results=[job_of(row) for row in rows],
        pagination=Pagination(
            total=total,
            page=page,
            per_page=per_page,
            total_pages=pages,
            has_next=page < pages,
            has_prev=page > 1,
        ),
    )


@app.get("/specs", response_model=list[Spec])
def list_specs(page: int = Query(1, ge=1), per_page: int = Query(20, ge=1, le=300)):
    db = connection()
    db.execute("SELECT COUNT(*) FROM textbook_specs").fetchone()
    rows = db.execute(
        "SELECT * FROM textbook_specs ORDER BY name LIMIT ? OFFSET ?",
        (per_page, (page - 1) * per_page),
    ).fetchall()
    return [
        Spec(**{**dict(row), "created": time_of(row["created_at"]), "modified": time_of(row["modified_at"])})
        for row in rows
    ]


@app.get("/current", response_model=Job)
def current_job(id: int):
    row = connection().execute("SELECT * FROM textbook_jobs WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise HTTPException(404)
    return job_of(row)
