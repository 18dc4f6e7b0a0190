"""What an analyst does with a help desk: reflects the schema `analytics` with SQLAlchemy, counts with pandas, and compares with
what Deskfold's own report says.

    python3 tests/analysts.py <URL of the login> <directory with answers.json>
"""

import json
import pathlib
import sys

import pandas as pd
import sqlalchemy as sa

ZONE = "Europe/Rome"
engine = sa.create_engine(sys.argv[1])
metadata = sa.MetaData(schema="analytics")
metadata.reflect(engine, views=True)
assert len(metadata.tables) > 30, sorted(metadata.tables)
told = sa.inspect(engine)
for table in metadata.tables.values():
    columns = told.get_columns(table.name, schema="analytics")
    assert columns and all(column["comment"] for column in columns), table.name

intervals = metadata.tables["analytics.fact_intervals"]
names = metadata.tables["analytics.names"]
query = sa.select(intervals.c["dimension", "record_id", "value_text", "from_at", "until_at"]).where(
    intervals.c.kind == "ticket", intervals.c.dimension.in_(["status", "assignee_id"])
)
with engine.connect() as connection:
    facts = pd.read_sql(query, connection)
    called = pd.read_sql(sa.select(names.c["id", "name"]).where(names.c.kind == "user"), connection)
called = dict(zip(called["id"], called["name"]))
for column in ("from_at", "until_at"):
    facts[column] = pd.to_datetime(facts[column], utc=True)


def at(dimension, instant):
    """The values of a dimension just before an instant, by ticket."""
    found = facts[(facts.dimension == dimension) & (facts.from_at < instant)]
    found = found[found.until_at.isna() | (found.until_at >= instant)]
    return found.set_index("record_id")["value_text"]


asked = {tuple(asked["definition"]["dimensions"]): asked for asked in json.loads((pathlib.Path(sys.argv[2]) / "answers.json").read_text())}
theirs = {tuple(row["key"]): row["values"]["backlog"] for row in asked["month", "assignee_id"]["rows"]}
ours = {}
for month in pd.date_range("2009-02-01", "2016-01-01", freq="MS", tz=ZONE):
    status = at("status", month)
    open_ones = status[~status.isin(["resolved", "closed"])].index
    held = at("assignee_id", month).reindex(open_ones).map(called)
    for name, count in held.fillna("nobody").value_counts().items():
        key = (month - pd.Timedelta(1, "us")).strftime("%Y-%m")
        ours[key, None if name == "nobody" else name] = count
differ = [(key, ours.get(key), theirs.get(key)) for key in {*ours, *theirs} if ours.get(key, 0) != theirs.get(key, 0)]
assert not differ, f"{len(differ)} of {len(ours)} differ (pandas, Deskfold): {differ[:5]}"
# Of the extract alone there are 45, of the whole log many more.
assert len(ours) > 40, ours
print(f"{len(ours)} numbers agree in {len(metadata.tables)} views")
