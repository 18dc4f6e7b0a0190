"""Counts a help desk's log with pandas, from the CSV file alone, and compares with what Deskfold's reports say.

    python3 tests/reports.py <directory with log.csv and answers.json>

What happened to each ticket is played again by the rules that docs/import.md and deploy/import/italian-helpdesk.toml tell.
Everything after that is pandas: which values held when, what counts, when, and by what.
"""

import json
import pathlib
import sys

import pandas as pd

ZONE = "Europe/Rome"
FROM, TO = pd.Timestamp("2009-01-01", tz=ZONE), pd.Timestamp("2016-01-01", tz=ZONE)
BARS = [60, 300, 900, 3600, 14400, 28800, 86400, 172800, 604800, 2592000]
PRIORITY = {"Value 1": 1, "Value 2": 0, "Value 3": 3, "Value 4": 2}
ENDED = ("resolved", "closed")
TAGS = {
    "Require upgrade": "upgrade-required", "Create SW anomaly": "software-anomaly",
    "Resolve SW anomaly": "software-anomaly-resolved", "Schedule intervention": "intervention-scheduled",
    "VERIFIED": "verified", "INVALID": "invalid", "DUPLICATE": "duplicate",
}
# Reopens from these statuses, assigns whoever acted, moves to this stage (only from these statuses), and ends.
STEPS = {
    "Assign seriousness": dict(reopen=ENDED, stage="in_progress", when=ENDED),
    "Take in charge ticket": dict(reopen=ENDED, assign=True, stage="in_progress"),
    "Wait": dict(reopen=ENDED, stage="waiting"),
    "Require upgrade": dict(reopen=ENDED, stage="waiting"),
    "Create SW anomaly": dict(reopen=ENDED, stage="in_progress", when=ENDED),
    "Resolve SW anomaly": dict(reopen=ENDED, stage="in_progress", when=ENDED),
    "Schedule intervention": dict(reopen=ENDED, stage="in_progress"),
    "Resolve ticket": dict(reopen=("closed",), resolve=True),
    "RESOLVED": dict(reopen=("closed",), resolve=True),
    "Closed": dict(close=True),
}


class Case:
    """A ticket as its rows make it; writes down what happens."""

    def __init__(self, name, moments, values, tags):
        self.name, self.moments, self.values, self.tagged = name, moments, values, tags
        self.now, self.tags, self.open_stage, self.opened = {}, set(), "new", False

    def happens(self, moment):
        self.moments.append((self.name, self.at, moment))

    def set(self, **changes):
        for dimension, value in changes.items():
            if self.now.get(dimension) != value:
                self.now[dimension] = value
                self.values.append((self.name, self.at, dimension, value))

    def to_stage(self, stage):
        self.set(stage=stage)
        if stage in ("new", "in_progress"):
            self.open_stage = stage

    def reopen(self):
        self.happens("reopened")
        self.set(status="open")
        if self.now["stage"] not in ("new", "in_progress"):
            self.to_stage(self.open_stage)

    def resolve(self):
        if self.now["status"] != "resolved":
            self.happens("resolved")
            self.set(status="resolved")

    def close(self):
        if self.now["status"] != "closed":
            self.happens("closed")
            self.set(status="closed")
            self.to_stage("solved")

    def row(self, row):
        self.at = row.at
        steps = STEPS.get(row.activity, {})
        said = dict(
            team_id=f"Workgroup {row.workgroup}", company_id=f"Customer {row.customer}", product_id=f"Product {row.product}",
            priority=PRIORITY[row.seriousness],
        )
        said["custom.service_type"] = row.service_type
        others = (row.service_level, row.responsible_section, row.support_section)
        if not self.opened:
            self.opened, status = True, "open"
            self.happens("opened")
            self.set(status="open", stage="new", **said)
            reopens = False
        else:
            status = self.now["status"]
            reopens = status in steps.get("reopen", ())
            if reopens:
                self.reopen()
            changes = others != self.others or any(self.now[name] != value for name, value in said.items())
            aside = status == "closed" and not reopens and changes
            if aside:
                self.reopen()
            self.set(**said)
            if aside:
                self.close()
        self.others = others
        if steps.get("assign") and self.now.get("assignee_id") != f"Agent {row.resource}":
            self.happens("assigned")
            self.set(assignee_id=f"Agent {row.resource}")
        if row.activity in TAGS and TAGS[row.activity] not in self.tags:
            self.tags.add(TAGS[row.activity])
            self.tagged.append((self.name, self.at, TAGS[row.activity]))
        if "stage" in steps and status in steps.get("when", (status,)):
            self.to_stage(steps["stage"])
        if steps.get("resolve"):
            self.to_stage("solved")
            self.resolve()
        if steps.get("close"):
            self.close()


def played(log):
    """Moments, values and tags of all tickets, in the order in which they happened."""
    moments, values, tags = [], [], []
    for name, rows in log.groupby("case_id", sort=False):
        case = Case(name, moments, values, tags)
        for row in rows.itertuples():
            case.row(row)
    frame = lambda rows, last: pd.DataFrame(rows, columns=["case", "at", *last])
    return frame(moments, ["moment"]), frame(values, ["dimension", "value"]), frame(tags, ["tag"])


log = pd.read_csv(pathlib.Path(sys.argv[1]) / "log.csv", dtype=str, keep_default_na=False)
log["at"] = pd.to_datetime(log.timestamp, format="%Y/%m/%d %H:%M:%S.%f").dt.tz_localize("UTC")
MOMENTS, VALUES, TAGGED = played(log)
MOMENTS["seq"] = range(len(MOMENTS))


def told(dimension):
    """What a dimension was said to be: of one instant the last."""
    own = VALUES[VALUES.dimension == dimension]
    return own.drop_duplicates(["case", "at"], keep="last")[["case", "at", "value"]]


def stretches(dimension):
    """What it was from when to when; what is said again goes on."""
    own = told(dimension).sort_values(["case", "at"], kind="stable")
    own = own[(own.case != own.case.shift()) | (own.value != own.value.shift())].copy()
    own["until"] = own.groupby("case")["at"].shift(-1)
    return own


def then(items, dimension):
    """What it was when each item counts; `before` says that the instant itself does not count."""
    right = told(dimension).sort_values("at", kind="stable")
    left = items.reset_index(drop=True)
    left["order"] = left.index
    left = left.sort_values("at", kind="stable")
    exact = not bool(items.attrs.get("before"))
    found = pd.merge_asof(left, right, on="at", by="case", allow_exact_matches=exact).sort_values("order")
    return found["value"].astype(object).where(found["value"].notna(), None).tolist()


def of(*names):
    return MOMENTS[MOMENTS.moment.isin(names)]


def each(moment):
    return of(moment)[["case", "at"]].copy()


def last(moment):
    """Each case at the last such moment, unless it was reopened since."""
    end = of(moment, "reopened").sort_values(["case", "at", "seq"]).groupby("case").tail(1)
    return end[end.moment == moment][["case", "at"]].copy()


def since_opening(ends):
    begun = each("opened").set_index("case")["at"]
    ends = ends[["case", "at"]].copy()
    ends["length"] = ends["at"] - ends["case"].map(begun)
    return ends


def first_resolution():
    return since_opening(of(*ENDED).sort_values(["case", "at", "seq"]).groupby("case").head(1))


def resolution():
    ordered = of(*ENDED, "reopened").sort_values(["case", "at", "seq"])
    back = (ordered.moment == "reopened").astype(int)
    later = back[::-1].groupby(ordered["case"][::-1]).cumsum()[::-1]
    return since_opening(ordered[(later == 0) & (ordered.moment != "reopened")].groupby("case").head(1))


def over(found, begun, until):
    items = pd.DataFrame({"case": found["case"], "at": until, "length": until - begun})
    items.attrs["before"] = True
    return items


def time_in_stage():
    found = stretches("stage")
    found = found[found.until.notna()]
    return over(found, found["at"], found["until"])


def time_with_assignee():
    both = stretches("assignee_id").merge(stretches("status").query("value == 'open'"), on="case")
    far = pd.Timestamp("2100-01-01", tz="UTC")
    begun = both[["at_x", "at_y"]].max(axis=1)
    until = both[["until_x", "until_y"]].fillna(far).min(axis=1)
    real = (begun < until) & (until < far)
    return over(both[real], begun[real], until[real])


def backlog():
    open_ones = stretches("status").query("value == 'open'")
    parts = []
    for month in pd.date_range(FROM, TO, freq="MS", tz=ZONE)[1:]:
        there = open_ones[(open_ones["at"] < month) & (open_ones["until"].isna() | (open_ones["until"] >= month))]
        parts.append(pd.DataFrame({"case": there["case"], "at": (month - pd.Timedelta(1, "us")).tz_convert("UTC")}))
    return pd.concat(parts, ignore_index=True)


ITEMS = {
    **{name: (lambda moment=moment: each(moment)) for name, moment in {
        "opened": "opened", "closings": "closed", "resolutions": "resolved", "reopened": "reopened", "assigned": "assigned",
    }.items()},
    "closed": lambda: last("closed"), "resolved": lambda: last("resolved"), "backlog": backlog,
    "first_resolution": first_resolution, "resolution": resolution, "time_in_stage": time_in_stage,
    "time_with_assignee": time_with_assignee,
}
PERIODS = {
    "month": lambda at: at.dt.strftime("%Y-%m"), "year": lambda at: at.dt.strftime("%Y"),
    "day": lambda at: at.dt.strftime("%Y-%m-%d"), "weekday": lambda at: at.dt.day_of_week + 1, "hour_of_day": lambda at: at.dt.hour,
}


def keyed(items, dimensions):
    """The items with the key of each dimension; one with several values is there for each of them."""
    before = items.attrs.get("before")
    items = items.reset_index(drop=True)
    items.attrs["before"] = before
    keys = []
    for place, dimension in enumerate(dimensions):
        key = f"k{place}"
        keys.append(key)
        if dimension in PERIODS:
            items[key] = PERIODS[dimension](items["at"].dt.tz_convert(ZONE))
        elif dimension == "tags":
            pairs = items.reset_index().merge(TAGGED, on="case", suffixes=("", "_tagged"))
            pairs = pairs[pairs["at_tagged"] <= pairs["at"]][["index", "tag"]].drop_duplicates()
            items = items.reset_index().merge(pairs, on="index", how="left")
            items[key] = items["tag"].astype(object).where(items["tag"].notna(), None)
            items = items.drop(columns=["index", "tag"])
        else:
            items[key] = pd.Series(then(items, dimension), index=items.index, dtype=object)
        items.attrs["before"] = before
    return items, keys


def spread(lengths):
    seconds = lengths.dt.total_seconds()
    bars = [0, *BARS]
    counts = [int(((seconds >= low) & (seconds < high)).sum()) for low, high in zip(bars, BARS)]
    counts.append(int((seconds >= BARS[-1]).sum()))
    exact = {
        "sum": seconds.sum(), "mean": seconds.mean(), "min": seconds.min(), "median": seconds.median(),
        "p90": seconds.quantile(0.9), "max": seconds.max(),
    }
    return {"count": len(seconds), "histogram": counts, **{name: round(float(value), 6) for name, value in exact.items()}}


def answer(measure, definition):
    items = ITEMS[measure]()
    items = items[(items["at"] >= FROM) & (items["at"] < TO)]
    items.attrs["before"] = measure.startswith("time_")
    if "filter" in definition:
        assert definition["filter"] == {"field": "priority", "op": "gte", "value": 2}
        items = items[[value is not None and value >= 2 for value in then(items, "priority")]]
    items, keys = keyed(items, definition["dimensions"])
    found = {}
    for key, group in items.groupby(keys, dropna=False, sort=False):
        key = tuple(None if pd.isna(part) else part.item() if hasattr(part, "item") else part for part in key)
        found[key] = spread(group["length"]) if "length" in group else len(group)
    return found


checked = 0
for asked in json.loads((pathlib.Path(sys.argv[1]) / "answers.json").read_text()):
    for measure in asked["definition"]["measures"]:
        ours = answer(measure, asked["definition"])
        theirs = {tuple(row["key"]): row["values"][measure] for row in asked["rows"] if measure in row["values"]}
        differ = [(key, ours.get(key), theirs.get(key)) for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)]
        assert not differ, f"{asked['name']}, {measure}: {len(differ)} of {len(ours)} differ (pandas, Deskfold): {differ[:5]}"
        checked += len(ours)
# Of the extract alone there are 922, of the whole log many more.
assert checked > 900, f"only {checked} numbers were compared"
print(f"{checked} numbers agree")
