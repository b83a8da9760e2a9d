"""Multiplies the first deployment of a stopped server's database: `seed.py DATABASE MODELS DEPLOYMENTS [PREFIX]`."""

import json
import sqlite3
import sys

database, models, deployments = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
prefix = sys.argv[4] if len(sys.argv) > 4 else ""
connection = sqlite3.connect(database)
connection.row_factory = sqlite3.Row


def insert(table, row, document, **changed):
    values = {**dict(row), **changed, "document": json.dumps(document)}
    marks = ", ".join("?" for _ in values)
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))


model = connection.execute("SELECT * FROM model").fetchone()
environment = connection.execute("SELECT * FROM environment").fetchone()
deployment = connection.execute("SELECT * FROM deployment").fetchone()
for m in range(models):
    model_id = f"{prefix}bench{m:03}"
    name = f"{prefix}model {m:03}"
    insert("model", model, {**json.loads(model["document"]), "id": model_id, "name": name}, id=model_id, name=name)
    slot = {**json.loads(environment["document"]), "model": model_id, "current": f"{prefix}d{m:03}x0000"}
    insert("environment", environment, slot, model=model_id)
    for d in range(deployments):
        # A minute apart, and all before now, as pushes are.
        created_at = deployment["created_at"] - (deployments - d) * 60_000
        copy = {
            **json.loads(deployment["document"]),
            "created_at": created_at,
            "id": f"{prefix}d{m:03}x{d:04}",
            "model": model_id,
            "name": f"deployment-{d + 1}",
            # At rest: what is measured is the pages, not a thousand processes.
            "lifecycle": "inactive",
            "environment": "production" if d == 0 else None,
        }
        insert("deployment", deployment, copy, id=copy["id"], model=model_id, name=copy["name"], created_at=created_at)
connection.commit()
