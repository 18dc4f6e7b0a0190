"""Reads Deskfold's events as an outside consumer does, with NATS' official client for Python.

usage: consumer.py URL SUBJECT FIRST COUNT

Prints COUNT messages of SUBJECT from position FIRST on, one JSON object a line. Only docs/events-contract.md is used.
"""

import asyncio
import json
import sys

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy


async def main(url, subject, first, count):
    connection = await nats.connect(url)
    start = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
    messages = await connection.jetstream().subscribe(subject, stream="DESKFOLD", ordered_consumer=True, config=start)
    for _ in range(count):
        message = await messages.next_msg(timeout=60)
        # Positions rise; a consumer that keeps the last one knows what it has seen.
        sequence = message.metadata.sequence.stream
        line = {
            "sequence": sequence,
            "subject": message.subject,
            "headers": message.headers,
            "event": json.loads(message.data),
        }
        print(json.dumps(line))
    await connection.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
