"""Verifies calls of webhooks with the verifier of Standard Webhooks from PyPI; docs/webhooks.md shows the same."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for call in json.load(open(sys.argv[1])):
    body = call["body"].encode()
    for secret in call["secrets"]:
        event = Webhook(secret).verify(body, call["headers"])
        assert event == json.loads(call["body"]), call
    for forged in (body + b" ", body.replace(b"position", b"pasition")):
        try:
            Webhook(call["secrets"][0]).verify(forged, call["headers"])
        except WebhookVerificationError:
            continue
        sys.exit("a forged body is taken")
    print("verified", event["type"])
