"""Works with Deskfold through a client that openapi-python-client made of its document, as anybody would.

usage: client.py DIRECTORY URL KEY AGENT

DIRECTORY holds the package `deskfold_client`. Opens, assigns, finds and closes a ticket, then reads every list, with the first
record of each and its history. Prints what it found as JSON.
"""

import importlib
import json
import pkgutil
import sys

directory, url, key, agent = sys.argv[1:]
sys.path.insert(0, directory)

import deskfold_client
from deskfold_client import AuthenticatedClient
from deskfold_client.api.tickets import (
    ticket_assign,
    ticket_close,
    ticket_history,
    ticket_open,
    tickets_read,
    tickets_search,
)
from deskfold_client.models import Filter, NewTicket, Op, Problem, Search, TicketAssignCommand, TicketStatus

client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)


def good(answer):
    """What was answered, unless it was nothing or a problem."""
    assert answer is not None and not isinstance(answer, Problem), answer
    return answer


# One ticket's life.
opened = good(
    ticket_open.sync(
        client=client,
        body=NewTicket(title="Printer on fire", priority=2, tags=["vip"]),
        idempotency_key="order-4711",
        deskfold_occurred_at="2026-11-20T09:00:00Z",
    )
)
assigned = good(ticket_assign.sync(opened.id, client=client, body=TicketAssignCommand(assignee=agent)))
wanted = Filter(
    all_=[
        Filter(field="priority", op=Op.GTE, value=2),
        Filter(field="assignee_id", op=Op.EQ, value=agent),
        Filter(not_=Filter(field="status", op=Op.IN, value=["closed", "merged"])),
    ]
)
search = Search(filter_=wanted, sort="number", limit=10)
found = good(tickets_search.sync(client=client, body=search, deskfold_min_position=assigned.position))
closed = good(ticket_close.sync(opened.id, client=client, if_match=f'"{assigned.version}"'))
gone = good(tickets_search.sync(client=client, body=search, deskfold_min_position=closed.position))
ticket = good(tickets_read.sync(opened.id, client=client))
assert ticket.status == TicketStatus.CLOSED and ticket.assignee_id == agent and ticket.tags == ["vip"], ticket
refused = tickets_search.sync(client=client, body=Search(filter_=Filter(field="nothing", op=Op.EQ, value=1)))
assert isinstance(refused, Problem), refused

# Everything there is to import, and everything there is to list.
modules = [module.name for module in pkgutil.walk_packages(deskfold_client.__path__, "deskfold_client.")]
imported = {name: importlib.import_module(name) for name in modules}
listed = {}
for name, module in imported.items():
    tag, _, operation = name.removeprefix("deskfold_client.api.").partition(".")
    if operation != f"{tag}_list":
        continue
    page = good(module.sync(client=client))
    rows = getattr(page, "data", [])
    listed[tag] = len(rows)
    read = imported.get(f"deskfold_client.api.{tag}.{tag}_read")
    for row in rows if read else []:
        good(read.sync(row.id, client=client))

print(
    json.dumps(
        {
            "id": opened.id,
            "found": [row.id for row in found.data],
            "gone": [row.id for row in gone.data],
            "history": [event.type_ for event in good(ticket_history.sync(opened.id, client=client)).data],
            "refused": refused.code,
            "listed": listed,
        }
    )
)
