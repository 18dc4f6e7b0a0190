// Verifies calls of webhooks with the verifier of Standard Webhooks from npm; docs/webhooks.md shows the same.
const fs = require("fs");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

for (const call of JSON.parse(fs.readFileSync(process.argv[2], "utf8"))) {
  for (const secret of call.secrets) {
    const event = new Webhook(secret).verify(call.body, call.headers);
    if (event.position !== JSON.parse(call.body).position) throw new Error("another event");
  }
  try {
    new Webhook(call.secrets[0]).verify(call.body + " ", call.headers);
    throw new Error("a forged body is taken");
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
  }
  console.log("verified", JSON.parse(call.body).type);
}
