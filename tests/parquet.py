"""Reads Parquet files with Apache Arrow and compares them with what Deskfold tells as text.

    python3 tests/parquet.py <directory>

Beside each NAME.parquet lies NAME.jsonl, the same rows by the same columns, or NAME.csv; types.json says which types some of the
columns must have.
"""

import csv
import datetime
import decimal
import json
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def typed(value, kind):
    """A value of JSON, or the text of one, as Arrow has it."""
    if value is None:
        return None
    if pa.types.is_decimal(kind):
        return decimal.Decimal(str(value))
    if pa.types.is_timestamp(kind):
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if pa.types.is_date(kind):
        return datetime.date.fromisoformat(value)
    if pa.types.is_integer(kind):
        return int(value)
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_boolean(kind):
        return value if isinstance(value, bool) else {"true": True, "false": False}[value]
    return value


def told(value, wanted):
    """What a text column says: several values, and what has members, are JSON."""
    return json.loads(value) if value is not None and not isinstance(wanted, str) else value


def main(directory):
    types = json.loads((directory / "types.json").read_text())
    files, values, seen = 0, 0, set()
    for path in sorted(directory.glob("*.parquet")):
        table = pq.read_table(path)
        lines = path.with_suffix(".jsonl")
        if lines.exists():
            rows = [json.loads(line) for line in lines.read_text().splitlines()]
        else:
            cells = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
            rows = [{name: cell or None for name, cell in row.items()} for row in cells]
        assert table.num_rows == len(rows), (path.name, table.num_rows, len(rows))
        if rows:
            assert table.column_names == list(rows[0]), (path.name, table.column_names, list(rows[0]))
        for name in table.column_names:
            kind = table.schema.field(name).type
            seen.add(str(kind))
            for found, row in zip(table[name].to_pylist(), rows):
                wanted = row[name]
                if pa.types.is_string(kind) and lines.exists():
                    found = told(found, wanted)
                assert found == typed(wanted, kind), (path.name, name, found, wanted)
                values += found is not None
        for name, kind in types.get(path.stem, {}).items():
            assert str(table.schema.field(name).type) == kind, (path.name, name, table.schema.field(name).type)
        files += 1
    assert set(types) <= {path.stem for path in directory.glob("*.parquet")}
    print(f"{files} files, {values} values, of {', '.join(sorted(seen))}")


main(pathlib.Path(sys.argv[1]))
