"""Has Apache Superset draw a chart of a help desk from the schema `analytics`, and tells what the chart's data say.

    python tests/superset.py <URL of the login> <directory for the picture> <chromium>

Superset is started on a free port of this machine, with a database of its own in a temporary directory, and stopped at the end.
Prints one JSON object: the number of tickets by status, as Superset has them.
"""

import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time

import requests

url, artefacts, chromium = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
home = pathlib.Path(tempfile.mkdtemp(prefix="superset-"))
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
password = secrets.token_hex(16)
(home / "superset_config.py").write_text(
    f"""
SECRET_KEY = {secrets.token_hex(32)!r}
SQLALCHEMY_DATABASE_URI = 'sqlite:///{home}/superset.db'
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
"""
)
environment = {
    **os.environ, "SUPERSET_CONFIG_PATH": str(home / "superset_config.py"), "SUPERSET_HOME": str(home), "FLASK_APP": "superset",
}
program = str(pathlib.Path(sys.executable).parent / "superset")
log = open(home / "log", "w")


def superset(*arguments):
    subprocess.run([program, *arguments], env=environment, check=True, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def step(what):
    print(f"{time.monotonic() - begun:.0f} s: {what}", file=sys.stderr)


begun = time.monotonic()
superset("db", "upgrade")
step("its own database is there")
superset("fab", "create-admin", "--username", "admin", "--firstname", "A", "--lastname", "A", "--email", "a@a.example", "--password", password)
superset("init")
step("roles are there")
server = subprocess.Popen(
    [program, "run", "-h", "127.0.0.1", "-p", str(port), "--with-threads"], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
)
try:
    base = f"http://127.0.0.1:{port}"
    session = requests.Session()
    session.trust_env = False
    while True:
        assert server.poll() is None, (home / "log").read_text()[-3000:]
        try:
            if session.get(f"{base}/health", timeout=5).ok:
                break
        except requests.ConnectionError:
            time.sleep(0.5)
    step("it answers")

    def post(path, **body):
        reply = session.post(f"{base}/api/v1/{path}", json=body, timeout=120)
        assert reply.ok, f"{path}: {reply.status_code} {reply.text}"
        return reply.json()

    token = post("security/login", username="admin", password=password, provider="db")["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"
    database = post("database/", database_name="Desk", sqlalchemy_uri=url)["id"]
    dataset = post("dataset/", database=database, schema="analytics", table_name="tickets")["id"]
    step("the database and the view are known")
    columns = session.get(f"{base}/api/v1/dataset/{dataset}", timeout=60).json()["result"]["columns"]
    assert {"status", "priority", "opened_at"} <= {column["column_name"] for column in columns}
    count = {"expressionType": "SQL", "sqlExpression": "count(*)", "label": "tickets"}
    form = {
        "datasource": f"{dataset}__table", "viz_type": "pie", "groupby": ["status"], "metric": count, "row_limit": 100,
        "show_legend": True, "label_type": "key_value", "color_scheme": "supersetColors", "adhoc_filters": [],
    }
    chart = post(
        "chart/", slice_name="Tickets by status", viz_type="pie", datasource_id=dataset, datasource_type="table", params=json.dumps(form)
    )["id"]
    asked = {"columns": ["status"], "metrics": [count], "row_limit": 100, "filters": []}
    data = post("chart/data", datasource={"id": dataset, "type": "table"}, queries=[asked], result_format="json", result_type="full")
    counts = {row["status"]: row["tickets"] for row in data["result"][0]["data"]}
    step("the chart has its data")
    picture = artefacts / "superset.png"
    # Signs the browser in, and leads it to the chart.
    (home / "enter.html").write_text(
        f"""<body onload="document.forms[0].submit()">
        <form method="post" action="{base}/login/?next={base}/explore/?slice_id={chart}%26standalone=1">
        <input name="username" value="admin"><input name="password" value="{password}"></form>"""
    )
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--window-size=1000,700",
            f"--user-data-dir={home}/browser", "--virtual-time-budget=60000", f"--screenshot={picture}",
            f"file://{home}/enter.html",
        ],
        check=True, stdout=log, stderr=log, stdin=subprocess.DEVNULL, timeout=240,
    )
    step("the chart is drawn")
finally:
    server.terminate()
    server.wait()
print(json.dumps(counts))
