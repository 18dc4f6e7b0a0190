"""Counts every kind of record from the events alone, with pandas, and compares with what Deskfold's reports say.

    python3 tests/facts.py <directory with events.json and answers.json>

Nothing here knows Deskfold's tables or statements: records are played again from what the API shows of the log, and what
docs/reports.md says of each measure is done to them one by one.
"""

import json
import pathlib
import sys
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pandas as pd

HERE = pathlib.Path(sys.argv[1])
BARS = [60, 300, 900, 3600, 14400, 28800, 86400, 172800, 604800, 2592000]
TICK = pd.Timedelta(1, "us")
FAR = pd.Timestamp("2200-01-01", tz="UTC")
ATTRIBUTES = {
    "deal": ["pipeline", "contact_id", "company_id", "property_id", "enquiry_id", "amount"],
    "lead": ["source", "city", "contact_id", "amount"],
    "enquiry": ["source", "contact_id"],
}
SETS = {"tags", "label_ids"}


def described(kind, event, data, first_stage):
    """What an event that every descriptive record knows says: moments and values."""
    says = {}

    def attribute(name, value):
        for known in ATTRIBUTES[kind]:
            if name in (known, known.removesuffix("_id")):
                says[known] = value

    if event == "created":
        says = {"archived": False, "status": "open", "stage": data.get("stage", first_stage), "owner_id": data.get("owner")}
        for name, value in data.items():
            attribute(name, value)
        says["tags"] = [("+", tag) for tag in data.get("tags", [])]
        says.update({f"custom.{key}": value for key, value in data.get("custom", {}).items()})
        return ["created"], says
    if event == "details_changed":
        for name, change in data["changes"].items():
            attribute(name, change["to"])
    elif event == "custom_changed":
        says = {f"custom.{key}": change["to"] for key, change in data["changes"].items()}
    elif event == "stage_changed":
        says = {"stage": data["to"]}
    elif event == "owner_changed":
        says = {"owner_id": data["to"]}
    elif event in ("tagged", "untagged"):
        says = {"tags": [("+" if event == "tagged" else "-", data["tag"])]}
    elif event in ("archived", "restored"):
        says = {"archived": event == "archived"}
    else:
        return None
    return [], says


def task(event, data):
    if event == "created":
        return ["created"], {
            "status": "open", "open": True, "overdue": False, "priority": data["priority"], "project_id": data.get("project"),
            "rule_run_id": data.get("rule_run"),
        }
    if event == "details_changed":
        names = {"priority": "priority", "project": "project_id"}
        return [], {names[name]: change["to"] for name, change in data["changes"].items() if name in names}
    if event == "assigned":
        return ["assigned"], {"assignee_id": data["to"]}
    if event == "unassigned":
        return [], {"assignee_id": None}
    if event == "due_changed":
        return [], {"overdue": False}
    if event == "became_overdue":
        return ["overdue"], {"overdue": True}
    states = {"started": ("started", True), "completed": ("completed", False), "cancelled": ("cancelled", False), "reopened": ("open", True)}
    status, is_open = states[event]
    return [event], {"status": status, "open": is_open}


def order(event, data):
    if event == "placed":
        names = {"source": "source", "city": "city", "customer": "customer_id", "company": "company_id", "total": "total"}
        says = {name: data.get(key) for key, name in names.items()}
        return [("placed", data.get("total"))], {"status": "new", "cancelled": False, **says}
    if event == "amended":
        names = {"source": "source", "city": "city", "customer": "customer_id", "company": "company_id", "total": "total"}
        return [], {names[key]: change["to"] for key, change in data["changes"].items() if key in names}
    if event == "status_changed":
        return [], {"status": data["to"]}
    if event == "paid":
        return [("paid", data["amount"])] + (["settled"] if data["in_full"] else []), {}
    if event == "cancelled":
        return ["cancelled"], {"cancelled": True}


def deal(event, data):
    if event == "amount_changed":
        return [], {"amount": data["to"]}
    if event == "recorded":
        return [("sold", data["price"])], {}
    return [event], {"status": {"won": "won", "lost": "lost", "reopened": "open"}[event]}


def lead(event, data):
    return [event], {"status": {"converted": "converted", "lost": "lost", "reopened": "open"}[event]}


def enquiry(event, data):
    if event == "offer_sent":
        return ["offered"], {}
    if event == "external_offer_noted":
        return ["noted"], {}
    if event == "closed":
        return ["closed"], {"status": "closed", "outcome": data.get("outcome")}
    if event == "reopened":
        return ["reopened"], {"status": "open", "outcome": None}
    return [], {}


def offer(event, data):
    if event == "drafted":
        return ["drafted"], {"status": "draft", "contact_id": data["contact"], "enquiry_id": data.get("enquiry")}
    if event == "sent":
        return ["sent"], {"status": "sent", "medium": data["medium"], "contact_id": data["to"]}
    return ([], {}) if event == "revised" else ([event], {"status": event})


def call(event, data):
    if event == "received":
        return ["received"], {"status": "ringing", "to_e164": data.get("to_e164"), "contact_id": data.get("contact")}
    if event == "contact_linked":
        return [], {"contact_id": data["contact"]}
    if event == "answered":
        return ["answered"], {"status": "answered", "user_id": data["user"]}
    if event == "ended":
        return [("ended", data["duration_s"])], {"status": "ended"}
    return ["missed"], {"status": "missed"}


def conversation(event, data):
    if event == "started":
        return ["started"], {
            "status": "open", "medium": data["medium"], "channel_id": data.get("channel"), "contact_id": data.get("contact"),
        }
    if event == "message_queued":
        return ([] if data.get("again") else ["replied"]), {}
    if event == "rated":
        return [("rated", data["score"])], {}
    known = {"message_received": "received", "message_sent": "sent", "handed_over": "handed_over"}
    if event in known:
        return [known[event]], {}
    if event == "assigned":
        return ["assigned"], {"assignee_id": data["to"]}
    if event == "unassigned":
        return [], {"assignee_id": None}
    if event == "contact_linked":
        return [], {"contact_id": data["contact"]}
    if event == "contact_unlinked":
        return [], {"contact_id": None}
    if event in ("labelled", "unlabelled"):
        return [], {"label_ids": [("+" if event == "labelled" else "-", data["label"])]}
    if event in ("closed", "reopened"):
        return [event], {"status": "closed" if event == "closed" else "open"}
    return [], {}


def rule_run(event, data):
    if event in ("matched", "skipped"):
        asked = data if event == "matched" else data["asked"]
        return [event], {
            "status": "pending" if event == "matched" else "skipped", "rule_id": asked["rule"], "rule_version": asked["version"],
            "trigger_type": asked["trigger"]["type"], "subject_kind": asked["trigger"]["subject"]["kind"],
            "reason": data.get("reason") if event == "skipped" else None,
        }
    if event == "cancelled":
        return ["cancelled"], {"status": "cancelled", "reason": data["reason"]}
    if event in ("executed", "parked"):
        return [event], {"status": event}
    if event == "failed":
        return ["failed"], {}
    return ([], {"status": "pending"}) if event == "retried" else ([], {})


PLAY = {
    "task": task, "order": order, "deal": deal, "lead": lead, "enquiry": enquiry, "offer": offer, "call": call,
    "conversation": conversation, "rule_run": rule_run,
}
STAGES = {"deal": "new", "lead": "new", "enquiry": "new"}
# A dimension whose value is another record's.
VIA = {("task", "rule_id"): ("rule_run_id", "rule_run", "rule_id")}


class Record:
    """What happened to a record and what was said of it, in the order in which it happened."""

    def __init__(self):
        self.moments, self.values = [], {}

    def sort(self):
        self.moments.sort(key=lambda moment: moment[:2])
        for said in self.values.values():
            said.sort(key=lambda value: value[:2])

    def of(self, *names):
        return [moment for moment in self.moments if moment[2] in names]

    def at(self, name, instant):
        """A value at an instant, all that happened then included."""
        found = None
        for at, _, value in self.values.get(name, ()):
            if at > instant:
                break
            found = value
        return found

    def parts(self, name, instant):
        found = set()
        for at, _, (sign, part) in self.values.get(name, ()):
            if at > instant:
                break
            (found.add if sign == "+" else found.discard)(part)
        return sorted(found)

    def stretches(self, name):
        """From when to when it had one value: of one instant the last, and what is said again goes on."""
        last = {}
        for at, _, value in self.values.get(name, ()):
            last[at] = value
        turns = []
        for at, value in sorted(last.items()):
            if not turns or turns[-1][1] != value:
                turns.append((at, value))
        ends = [at for at, _ in turns[1:]] + [FAR]
        return [(at, until, value) for (at, value), until in zip(turns, ends)]

    def held(self, name, within=None):
        for begun, until, value in self.stretches(name):
            if within is None:
                yield begun, until, value
                continue
            for other_begun, other_until, other in self.stretches(within[0]):
                low, high = max(begun, other_begun), min(until, other_until)
                if other == within[1] and low < high:
                    yield low, high, value


def played(events, known, as_of):
    kinds = {kind: {} for kind in PLAY}
    merged = {}
    for event in events:
        at = pd.Timestamp(event["occurred_at"]).tz_convert("UTC").floor("us")
        if event["position"] > known or as_of is not None and at > as_of:
            continue
        kind, name = event["type"].split(".", 1)
        data = event["data"] or {}
        if event["type"] == "contact.merged":
            merged[event["key"]] = data["into"]
        if kind not in PLAY:
            continue
        says = described(kind, name, data, STAGES[kind]) if kind in STAGES else None
        says = says or PLAY[kind](name, data)
        if says is None:
            continue
        record = kinds[kind].setdefault(event["key"], Record())
        for moment in says[0]:
            moment, value = moment if isinstance(moment, tuple) else (moment, None)
            record.moments.append((at, event["position"], moment, value))
        for dimension, value in says[1].items():
            # What a record begins without is not said, and leaves what is told late of the time before.
            if value is None and event["version"] == 0:
                continue
            for one in value if dimension in SETS else [value]:
                record.values.setdefault(dimension, []).append((at, event["position"], one))
    for records in kinds.values():
        for record in records.values():
            record.sort()
    return kinds, merged


# Each measure as docs/reports.md says it: what counts of a record, as (instant, the instant whose values count, value).
def each(*names, told=False, scale=1):
    return lambda record, _: [(m[0], m[0], m[3] * scale if told and scale != 1 else m[3] if told else None) for m in record.of(*names)]


def last(name, undone="reopened"):
    def items(record, _):
        ended = record.of(name, undone)
        return [(ended[-1][0], ended[-1][0], None)] if ended and ended[-1][2] == name else []
    return items


def first(begin, *ends):
    def items(record, context):
        begun, ended = record.of(begin), record.of(*ends)
        return [(ended[0][0], ended[0][0], context.length(begun[0][0], ended[0][0]))] if begun and ended else []
    return items


def whole(begin, *ends, undone="reopened"):
    def items(record, context):
        begun, rest = record.of(begin), record.of(*ends, undone)
        while any(moment[2] == undone for moment in rest):
            rest = rest[1:]
        return [(rest[0][0], rest[0][0], context.length(begun[0][0], rest[0][0]))] if begun and rest else []
    return items


def turns(waits, answers):
    def items(record, context):
        found, since, answered = [], None, 0
        for at, _, moment, _ in record.of(waits, answers):
            if moment == waits:
                since = since if since is not None else at
            else:
                if answered and since is not None:
                    found.append((at, at, context.length(since, at)))
                answered, since = answered + 1, None
        return found
    return items


def stays(name, within=None):
    def items(record, context):
        found = []
        for begun, until, value in record.held(name, within):
            if value is not None and until < FAR:
                found.append((until, until - TICK, context.length(begun, until)))
        return found
    return items


def level(name, value, within=None):
    def items(record, context):
        found = []
        for begun, until, held in record.held(name, within):
            found += [(end - TICK, end - TICK, None) for end in context.ends if held == value and begun < end <= until]
        return found
    return items


def outcome(hoped, *others, begin=None, undone=None):
    def items(record, _):
        ends = record.of(hoped, *others, *([undone] if undone else []))
        won = bool(ends) and ends[-1][2] == hoped
        if begin:
            return [(at, at, int(won)) for at, *_ in record.of(begin)]
        return [(ends[-1][0], ends[-1][0], int(won))] if ends and ends[-1][2] != undone else []
    return items


def times(begin, name):
    return lambda record, _: [(at, at, len(record.of(name))) for at, *_ in record.of(begin)]


def worth(items, dimension):
    def priced(record, context):
        return [(at, seen, record.at(dimension, seen)) for at, seen, _ in items(record, context)]
    return priced


COUNT, SPREAD, LENGTH, MONEY = "count", "spread", "length", "money"
OPEN = ("status", "open")
KEPT = ("archived", False)
MEASURES = {
    "task": {
        "created": (COUNT, each("created")), "completed": (COUNT, last("completed")), "cancelled": (COUNT, last("cancelled")),
        "completions": (COUNT, each("completed")), "reopened": (COUNT, each("reopened")), "assigned": (COUNT, each("assigned")),
        "overdue": (COUNT, each("overdue")), "backlog": (COUNT, level("open", True)),
        "time_to_start": (LENGTH, first("created", "started")), "first_completion": (LENGTH, first("created", "completed")),
        "time_to_complete": (LENGTH, whole("created", "completed")),
        "time_with_assignee": (LENGTH, stays("assignee_id", ("open", True))),
        "completion_rate": (SPREAD, outcome("completed", "cancelled", begin="created", undone="reopened")),
    },
    "order": {
        "placed": (COUNT, each("placed")), "cancelled": (COUNT, each("cancelled")), "payments": (COUNT, each("paid")),
        "revenue": (MONEY, each("placed", told=True)), "paid": (MONEY, each("paid", told=True)),
        "time_to_payment": (LENGTH, first("placed", "paid")), "time_to_settlement": (LENGTH, first("placed", "settled")),
        "cancelled_value": (MONEY, worth(each("cancelled"), "total")),
        "time_in_status": (LENGTH, stays("status", ("cancelled", False))),
    },
    "deal": {
        "created": (COUNT, each("created")), "won": (COUNT, last("won")), "lost": (COUNT, last("lost")),
        "reopened": (COUNT, each("reopened")), "backlog": (COUNT, level("status", "open", KEPT)),
        "won_value": (MONEY, worth(last("won"), "amount")), "lost_value": (MONEY, worth(last("lost"), "amount")),
        "open_value": (MONEY, worth(level("status", "open", KEPT), "amount")), "sold": (MONEY, each("sold", told=True)),
        "win_rate": (SPREAD, outcome("won", "lost", undone="reopened")), "time_to_win": (LENGTH, whole("created", "won")),
        "time_to_end": (LENGTH, whole("created", "won", "lost")), "time_in_stage": (LENGTH, stays("stage", OPEN)),
        "time_with_owner": (LENGTH, stays("owner_id", OPEN)),
    },
    "lead": {
        "created": (COUNT, each("created")), "converted": (COUNT, last("converted")), "lost": (COUNT, last("lost")),
        "reopened": (COUNT, each("reopened")), "backlog": (COUNT, level("status", "open", KEPT)),
        "converted_value": (MONEY, worth(last("converted"), "amount")),
        "conversion": (SPREAD, outcome("converted", "lost", begin="created", undone="reopened")),
        "success_rate": (SPREAD, outcome("converted", "lost", undone="reopened")),
        "time_to_conversion": (LENGTH, whole("created", "converted")), "time_in_stage": (LENGTH, stays("stage", OPEN)),
        "time_with_owner": (LENGTH, stays("owner_id", OPEN)),
    },
    "enquiry": {
        "created": (COUNT, each("created")), "closed": (COUNT, last("closed")), "reopened": (COUNT, each("reopened")),
        "backlog": (COUNT, level("status", "open", KEPT)), "offers": (COUNT, each("offered")), "external_offers": (COUNT, each("noted")),
        "offers_per_enquiry": (SPREAD, times("created", "offered")), "first_offer": (LENGTH, first("created", "offered")),
        "resolution": (LENGTH, whole("created", "closed")), "time_in_stage": (LENGTH, stays("stage", OPEN)),
    },
    "offer": {
        "drafted": (COUNT, each("drafted")), "offers": (COUNT, each("sent")), "seen": (COUNT, each("opened")),
        "accepted": (COUNT, each("accepted")), "declined": (COUNT, each("declined")),
        "acceptance": (SPREAD, outcome("accepted", "declined", begin="sent")),
        "time_to_answer": (LENGTH, first("sent", "accepted", "declined")),
    },
    "call": {
        "calls": (COUNT, each("received")), "answered": (COUNT, each("answered")), "missed": (COUNT, each("missed")),
        "answer_rate": (SPREAD, outcome("answered", "missed")), "time_to_answer": (LENGTH, first("received", "answered")),
        "talk_time": (LENGTH, each("ended", told=True, scale=1_000_000)),
    },
    "conversation": {
        "started": (COUNT, each("started")), "closed": (COUNT, last("closed")), "closings": (COUNT, each("closed")),
        "reopened": (COUNT, each("reopened")), "assigned": (COUNT, each("assigned")), "handed_over": (COUNT, each("handed_over")),
        "received": (COUNT, each("received")), "replied": (COUNT, each("replied")), "sent": (COUNT, each("sent")),
        "backlog": (COUNT, level("status", "open")), "first_reply": (LENGTH, first("started", "sent")),
        "next_reply": (LENGTH, turns("received", "sent")), "resolution": (LENGTH, whole("started", "closed")),
        "time_with_assignee": (LENGTH, stays("assignee_id", OPEN)), "rating": (SPREAD, each("rated", told=True)),
    },
    "rule_run": {
        "runs": (COUNT, each("matched", "skipped")), "matched": (COUNT, each("matched")), "skipped": (COUNT, each("skipped")),
        "executed": (COUNT, each("executed")), "cancelled": (COUNT, each("cancelled")), "failures": (COUNT, each("failed")),
        "parked": (COUNT, each("parked")), "backlog": (COUNT, level("status", "pending")),
        "match_rate": (SPREAD, outcome("matched", "skipped")), "time_to_execution": (LENGTH, first("matched", "executed")),
    },
}


class Context:
    """What a report is asked: over what, in which zone, by which hours of work."""

    def __init__(self, asked, minutes):
        self.definition = asked["definition"]
        self.start, self.stop = pd.Timestamp(asked["from"]), pd.Timestamp(asked["to"])
        self.zone = self.definition["time_zone"]
        self.worked = minutes.get(json.dumps(self.definition.get("calendar"), sort_keys=True))
        period = next((name for name in self.definition["dimensions"] if name in ("month", "week")), None)
        self.ends = [self.stop]
        if period:
            freq = {"month": "MS", "week": "W-MON"}[period]
            marks = pd.date_range(self.start.tz_convert(self.zone), self.stop.tz_convert(self.zone), freq=freq, normalize=True)
            inner = [mark.tz_convert("UTC") for mark in marks if self.start < mark < self.stop]
            self.ends = inner + [self.stop]

    def length(self, begun, until):
        """In microseconds: elapsed, or the minutes of work in between and the seconds of those that were begun."""
        if self.worked is None:
            return (until - begun) // TICK
        return self.before(until) - self.before(begun)

    def before(self, instant):
        first_minute, sums, flags = self.worked
        passed = (instant - first_minute) // TICK
        minute, rest = divmod(passed, 60_000_000)
        return int(sums[minute]) * 60_000_000 + (rest if flags[minute] else 0)

    def period(self, name, at):
        local = at.tz_convert(self.zone)
        if name == "month":
            return local.strftime("%Y-%m")
        if name == "week":
            return (local.tz_localize(None).normalize() - pd.Timedelta(local.day_of_week, "D")).strftime("%Y-%m-%d")
        return local.day_of_week + 1


def minutes_of(calendar, zone):
    """Every minute of the years around, whether the clock on the wall says that it is worked, and how many were before."""
    every = pd.date_range("2025-01-01", "2027-06-01", freq="min", tz="UTC")
    wall = every.tz_convert(calendar.get("time_zone") or zone)
    of_day = wall.hour * 60 + wall.minute
    flags = pd.Series(False, index=range(len(every)))
    for hours in calendar["hours"]:
        low, high = [int(text[:2]) * 60 + int(text[3:]) for text in (hours["from"], hours["to"])]
        flags |= pd.Series((of_day >= low) & (of_day < high) & (wall.day_of_week + 1).isin(hours["weekdays"]))
    flags &= ~pd.Series(wall.strftime("%Y-%m-%d").isin(calendar.get("holidays", [])))
    sums = flags.astype("int64").cumsum() - flags.astype("int64")
    return every[0], sums.tolist(), flags.tolist()


def rounded(value, scale):
    """Exact to the end, and only then six digits after the point; half of the last one goes away from zero."""
    with localcontext(prec=60):
        return float((Decimal(value.numerator) / value.denominator / scale).quantize(Decimal("0.000001"), ROUND_HALF_UP))


def ranked(ordered, share):
    """The value at rank p (n - 1), counted from 0, between two neighbours in proportion."""
    rank = share * (len(ordered) - 1)
    low, rest = int(rank), rank - int(rank)
    return ordered[low] + rest * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def spread(values, scale, histogram):
    ordered = sorted(Fraction(value) for value in values)
    exact = {
        "sum": sum(ordered), "mean": sum(ordered) / len(ordered), "min": ordered[0], "median": ranked(ordered, Fraction(1, 2)),
        "p90": ranked(ordered, Fraction(9, 10)), "max": ordered[-1],
    }
    told = {"count": len(ordered), **{name: rounded(value, scale) for name, value in exact.items()}}
    if histogram:
        bars = pd.cut(pd.Series([float(value) / scale for value in ordered]), [float("-inf"), *BARS, float("inf")], right=False)
        told["histogram"] = bars.value_counts(sort=False).tolist()
    return told


def figure(unit, values):
    if unit == COUNT:
        return len(values)
    if unit == MONEY:
        sums = {}
        for money in values:
            sums.setdefault(money["currency"], []).append(Decimal(money["amount"]))
        return {currency: str(sum(amounts, Decimal(0))) for currency, amounts in sums.items()}
    return spread(values, 1_000_000 if unit == LENGTH else 1, unit == LENGTH)


def survivor(value, merged):
    while value in merged:
        value = merged[value]
    return value


def counted(kinds, merged, context, kind, measure):
    """All items of a measure within the range, each with its keys: one for each combination of values of sets."""
    unit, how = MEASURES[kind][measure]
    definition = context.definition
    rows = []
    for record in kinds[kind].values():
        for at, seen, value in how(record, context):
            if not context.start <= at < context.stop or unit == MONEY and value is None:
                continue
            seen = FAR if definition.get("values") == "now" else seen
            keys = [[]]
            for name in definition["dimensions"]:
                if name in ("month", "week", "weekday"):
                    values = [context.period(name, at)]
                elif name in SETS:
                    values = record.parts(name, seen) or [None]
                elif (kind, name) in VIA:
                    by, other, inner = VIA[kind, name]
                    whose = kinds[other].get(record.at(by, seen))
                    values = [whose.at(inner, seen) if whose else None]
                else:
                    values = [record.at(name, seen)]
                    if name in ("contact_id", "customer_id"):
                        values = [survivor(values[0], merged)]
                keys = [key + [value] for key in keys for value in values]
            rows.append((keys, value))
    return unit, rows


def answers(rows, unit, dimensions):
    """By key, as a set of pairs: each combination, each value by itself, and everything, where an item counts once."""
    found = {}
    for keys, value in rows:
        told = set()
        for key in keys:
            for places in range(2 ** len(dimensions)):
                part = tuple((name, one) for place, (name, one) in enumerate(zip(dimensions, key)) if places >> place & 1)
                told.add(part)
        for part in told:
            found.setdefault(part, []).append(value)
    return {part: figure(unit, values) for part, values in found.items()}


def numbered(value):
    """Numbers of JSON as they compare: whole ones and others alike."""
    if isinstance(value, dict):
        return {name: numbered(inner) for name, inner in value.items()}
    return round(float(value), 6) if isinstance(value, float) else value


events = json.loads((HERE / "events.json").read_text())
for event in events:
    event["key"] = event["stream"].split("-", 1)[1]
asked_all = json.loads((HERE / "answers.json").read_text())
minutes = {"null": None}
for asked in asked_all:
    calendar = asked["definition"].get("calendar")
    text = json.dumps(calendar, sort_keys=True)
    if text not in minutes:
        minutes[text] = minutes_of(calendar, asked["definition"]["time_zone"])
pasts, checked, seen = {}, 0, {}
for asked in asked_all:
    definition = asked["definition"]
    kind, dimensions = definition["of"], definition["dimensions"]
    as_of = pd.Timestamp(asked["as_of"]) if asked["as_of"] else None
    past = (asked["known"], asked["as_of"])
    if past not in pasts:
        pasts[past] = played(events, asked["known"], as_of)
    context = Context(asked, minutes)
    for measure in definition["measures"]:
        unit, rows = counted(*pasts[past], context, kind, measure)
        ours = answers(rows, unit, dimensions)
        if measure in ("backlog", "open_value"):
            whole_periods = {name for name in dimensions if name in ("month", "week")}
            ours = {part: value for part, value in ours.items() if whole_periods <= {name for name, _ in part}}
        theirs = {}
        for row in asked["rows"] + asked["totals"]:
            if measure in row["values"]:
                part = tuple((name, row["key"][name]) for name in dimensions if name in row["key"])
                theirs[part] = row["values"][measure]
        if not rows:
            empty = lambda value: not value or isinstance(value, dict) and value.get("count") == 0
            theirs = {part: value for part, value in theirs.items() if not empty(value)}
        differ = [
            (part, ours.get(part), theirs.get(part)) for part in {*ours, *theirs}
            if numbered(ours.get(part)) != numbered(theirs.get(part))
        ]
        about = f"{kind} by {dimensions}, {measure} ({asked['known']}, {asked['as_of']}, {bool(definition.get('calendar'))})"
        assert not differ, f"{about}: {len(differ)} of {len(ours)} differ (by hand, Deskfold): {differ[:4]}"
        checked += len(ours)
        seen[kind, measure] = seen.get((kind, measure), 0) + len(rows)
idle = [name for name, count in seen.items() if count == 0]
named = {(kind, measure) for kind, measures in MEASURES.items() for measure in measures}
assert named == set(seen), f"measured by one and not by the other: {named ^ set(seen)}"
assert checked > 3000, f"only {checked} numbers were compared"
rare = {("rule_run", "failures"), ("rule_run", "parked")}
assert set(idle) <= rare, f"nothing was counted of {idle}"
print(f"{checked} numbers agree")
