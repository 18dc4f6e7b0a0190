// Whom the chat is with: who that is, labels, notes, orders and tickets.

import { announce, ask, show, text } from "./api.js";
import { amounts, times } from "./times.js";
import { at, attempt, attemptIn, called, dialog, field, filtered, glyph, make, may, newId, open, pictured, say, tag, through } from "./inbox-parts.js";
import { does, opened } from "./inbox-thread.js";
import { ticket } from "./inbox-writing.js";
import { suggesting } from "./suggest.js";

/** @typedef {import("./inbox-parts.js").Values} Values */

/** So many orders are shown at first. */
const ORDERS = 20;

const place = at("client-parts");
let turn = 0;
/** What the parts show: those of the same are left as they are. */
let shownFor = "";
let shownParts = "";

/**
 * Another chat is open, or something has happened to it.
 * @param {Values | undefined} chat
 * @param {boolean} isNew
 */
export function changed(chat, isNew) {
  at("client").hidden = !chat;
  if (!chat) {
    shownFor = "";
    place.replaceChildren();
    return;
  }
  const for_ = `${chat.id} ${chat.contact_id}`;
  if (isNew || for_ !== shownFor) {
    shownFor = for_;
    turn++;
    place.replaceChildren(part("who", say("client")), part("labels", say("labels")), part("notes", say("notes")), part("orders", say("orders")), part("tickets", say("tickets")), part("facts", say("facts")), part("door", say("door")));
    who(chat).catch(show);
    notesAndOrders(chat);
    facts(chat);
    labelling(chat);
  }
  // What is the same stays where it is: somebody may be about to press it.
  const shown = JSON.stringify([for_, chat.labels, chat.ticket_ids, chat.visitor_blocked, chat.transcripts]);
  if (!isNew && shown === shownParts) return;
  shownParts = shown;
  labels(chat);
  tickets(chat).catch(show);
  door(chat);
}

/** @param {string} id @param {string} title */
function part(id, title) {
  return make("section", { class: "client-part", id: `client-${id}`, "aria-labelledby": `client-${id}-title` }, make("h2", { id: `client-${id}-title` }, title), make("div", { class: "content" }));
}

/** @param {string} id @returns {HTMLElement} */
const content = (id) => /** @type {HTMLElement} */ (place.querySelector(`#client-${id} .content`));
/** @param {string} id @param {boolean} shown */
const showPart = (id, shown) => at(`client-${id}`).toggleAttribute("hidden", !shown);

/* Who it is. */

/** @param {Values} chat */
async function who(chat) {
  const mine = turn;
  const parts = content("who");
  if (!chat.contact_id) {
    parts.replaceChildren(...unknown(chat));
    return;
  }
  const head = make("p", { class: "linked" }, make("a", { href: `/records/contacts/${chat.contact_id}`, dir: "auto" }, chat.contact_name ?? called(chat)));
  if (may("conversation.unlink_contact")) head.append(pictured("unlink", say("unlink"), () => does("unlink_contact")));
  parts.replaceChildren(head);
  if (!may("contact.read")) return;
  const contact = await ask("GET", `/v1/contacts/${chat.contact_id}`).catch(() => undefined);
  if (mine !== turn || !contact) return;
  const told = /** @type {[string, Node | string | null][]} */ ([
    ["phone", contact.phone && make("a", { href: `tel:${contact.phone_e164 ?? contact.phone}` }, contact.phone)],
    ["email", contact.email && make("a", { href: `mailto:${contact.email}` }, contact.email)],
    ["city", [contact.address, contact.city].filter(Boolean).join(", ")],
    ["companies", contact.companies.map((/** @type {Values} */ one) => one.name).join(", ")],
    ["owner", contact.owner_name],
    ["tags", contact.tags.join(", ")],
    ["description", contact.description],
  ]).filter(([, value]) => value);
  parts.append(rows(told));
  notes(contact);
}

/** @param {[string, Node | string | null][]} told */
const rows = (told) => make("dl", { class: "told" }, ...told.map(([name, value]) => make("div", {}, make("dt", {}, say(`field-${name}`)), make("dd", { dir: "auto" }, value))));

/** The ways to say who it is. @param {Values} chat */
function unknown(chat) {
  const parts = [make("p", { class: "hint" }, say("client-unknown"))];
  if (may("conversation.link_contact") && may("contact.read")) {
    const seek = /** @type {HTMLInputElement} */ (make("input", { id: "link-text", type: "text", autocomplete: "off", placeholder: say("link-hint") }));
    const list = make("div", { id: "link-options", class: "options", role: "listbox", "aria-label": say("link"), hidden: true });
    parts.push(make("div", { class: "field seeks-client" }, make("label", { for: "link-text" }, say("link")), seek, list));
    suggesting(seek, list, {
      find: (typed) => contacts(typed.trim()),
      choose: ({ value, label }) => {
        seek.value = label;
        does("link_contact", { contact: value.id, matched_by: value.by });
      },
      none: say("link-none"),
      pause: 200,
    });
  }
  if (may("conversation.link_contact") && may("contact.create")) parts.push(byHand(chat));
  return parts;
}

/** The contacts whom this may mean: by a phone number in any spelling, an address, or a name. @param {string} typed */
async function contacts(typed) {
  if (typed.length < 2) return [];
  const by = typed.includes("@") ? "email" : /^[\d\s()+.\-/]+$/.test(typed) ? "phone" : "name";
  const like = ["name", "email", "phone"].map((name) => ({ field: name, op: "contains", value: typed }));
  /** @type {Values[]} */
  const any = by === "name" ? like.slice(0, 1) : by === "email" ? [like[1] ?? {}] : [like[2] ?? {}];
  if (may("search.read")) {
    const found = await ask("GET", `/v1/search?kind=contact&limit=20&q=${encodeURIComponent(typed)}`);
    const ids = found.data.flatMap((/** @type {Values} */ group) => group.hits.map((/** @type {Values} */ hit) => hit.id));
    if (ids.length) any.push({ field: "id", op: "in", value: ids });
  }
  const found = await ask("GET", `/v1/contacts?limit=12&${filtered({ any })}`);
  return found.data.map((/** @type {Values} */ one) => ({ value: { id: one.id, by }, label: one.name, hint: [one.phone, one.email, one.city].filter(Boolean).join(" · ") }));
}

/** @param {Values} chat */
function byHand(chat) {
  const given = (/** @type {string} */ type, /** @type {string[]} */ kinds) =>
    kinds.includes(chat.identity?.kind) ? chat.identity.value : (chat.answers?.find((/** @type {Values} */ one) => one.type === type)?.answer ?? "");
  const fields = /** @type {[string, string, string][]} */ ([["name", "text", chat.visitor?.name ?? ""], ["phone", "tel", given("phone", ["phone", "whatsapp"])], ["email", "email", given("email", ["email"])]]);
  const inputs = fields.map(([name, type, value]) => {
    const id = `hand-${name}`;
    return make("div", { class: "field" }, make("label", { for: id }, say(`field-${name}`)), make("input", { id, name, type, value, autocomplete: "off", dir: "auto", required: name === "name" }));
  });
  const fault = make("p", { class: "fault", role: "alert" });
  const form = make("form", {}, ...inputs, fault, make("p", { class: "actions" }, make("button", { type: "submit" }, say("hand-save"))));
  // Made once, however often the same is sent.
  let key = crypto.randomUUID();
  form.addEventListener("input", () => (key = crypto.randomUUID()));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = Object.fromEntries(inputs.map((one) => one.querySelector("input")).map((input) => [input?.name, input?.value.trim()]).filter(([, value]) => value));
    fault.textContent = "";
    let made;
    try {
      made = await ask("POST", "/v1/contacts", body, key);
    } catch (error) {
      if (!(error instanceof Error && "problem" in error)) throw error;
      const problem = /** @type {import("./api.js").Problem} */ (error.problem);
      const told = problem.errors?.length ? problem.errors : [problem];
      fault.textContent = told.map((one) => text(`problem-${one.code}`) ?? one.detail).join(" ");
      return;
    }
    does("link_contact", { contact: made.id, matched_by: "manual" });
  });
  return make("details", {}, make("summary", {}, say("hand")), form);
}

/* Labels. */

/** @param {Values} chat */
function labels(chat) {
  const list = content("labels").querySelector("ul");
  const made = chat.labels.map((/** @type {Values} */ label) => {
    const remove = may("conversation.unlabel") && pictured("cross", `${say("label-remove")}: ${label.name}`, () => does("unlabel", { label: label.id }));
    return make("li", {}, tag(label), remove);
  });
  list?.replaceChildren(...made);
}

/** @param {Values} chat */
function labelling(chat) {
  const parts = [make("ul", { class: "tags" })];
  if (may("conversation.label")) {
    const typed = /** @type {HTMLInputElement} */ (make("input", { id: "label-text", type: "text", maxlength: "100", autocomplete: "off", placeholder: say("label-hint"), "aria-label": say("label-hint") }));
    const list = make("div", { id: "label-options", class: "options", role: "listbox", "aria-label": say("labels"), hidden: true });
    const put = (/** @type {Values} */ body) => {
      typed.value = "";
      does("label", body);
    };
    parts.push(make("div", { class: "labelled" }, typed, list));
    const offers = suggesting(typed, list, {
      find: async (words) => {
        if (!may("label.read")) return [];
        const filter = words.trim() ? `&${filtered({ field: "name", op: "contains", value: words.trim() })}` : "";
        const found = await ask("GET", `/v1/labels?limit=20${filter}`);
        const borne = new Set(opened()?.label_ids ?? chat.label_ids);
        return found.data.filter((/** @type {Values} */ one) => !borne.has(one.id)).map((/** @type {Values} */ one) => ({ value: one.id, label: one.name, hint: String(one.conversation_count) }));
      },
      choose: ({ value }) => put({ label: value }),
      typed: (words) => put({ name: words.trim() }),
    });
    typed.addEventListener("focus", () => offers.look());
  }
  content("labels").replaceChildren(...parts);
}

/* Notes and orders of whom it is with. */

/** @param {Values} chat */
function notesAndOrders(chat) {
  showPart("notes", Boolean(chat.contact_id) && may("contact.read"));
  showPart("orders", Boolean(chat.contact_id) && may("order.read"));
  if (!chat.contact_id) return;
  if (may("contact.add_note")) noting(chat.contact_id);
  if (may("order.read")) orders(chat.contact_id).catch(show);
}

/** @param {Values} contact */
function notes(contact) {
  const list = make("ul", { class: "notes" });
  for (const note of contact.notes.toReversed()) {
    const by = contact.note_author_names?.[note.author_id] ?? "";
    list.append(make("li", {}, make("p", { dir: "auto" }, note.text), make("p", { class: "foot" }, by, " ", make("time", { datetime: note.written_at ?? note.at ?? note.created_at }))));
  }
  times(list);
  content("notes").querySelector("ul")?.remove();
  content("notes").append(list);
}

/** @param {string} contact */
function noting(contact) {
  const words = /** @type {HTMLTextAreaElement} */ (make("textarea", { id: "note-text", rows: "2", dir: "auto", "aria-label": say("note"), placeholder: say("note") }));
  const form = make("form", { class: "noting" }, words, make("button", { type: "submit", class: "secondary" }, say("note-add")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = words.value.trim();
    if (!body) return;
    const mine = turn;
    const done = await attempt(() => ask("POST", `/v1/contacts/${contact}/add_note`, { note_id: newId(), text: body }));
    if (!done || mine !== turn) return;
    words.value = "";
    const now = await attempt(() => ask("GET", `/v1/contacts/${contact}`));
    if (now && mine === turn) notes(now);
  });
  content("notes").prepend(form);
}

/** @param {Values | null | undefined} money */
const amount = (money) => (money ? make("data", { class: "money", value: money.amount, "data-currency": money.currency }, `${money.amount} ${money.currency}`) : "–");

/** @param {string} contact */
async function orders(contact) {
  const mine = turn;
  const filter = filtered({ field: "customer_id", op: "eq", value: contact });
  const found = await ask("GET", `/v1/orders?limit=${ORDERS}&count=exact&${filter}`);
  if (mine !== turn) return;
  const list = make("ul", { class: "orders" });
  for (const order of found.data) {
    const lines = order.items.map((/** @type {Values} */ item) => make("tr", {}, make("th", { scope: "row", dir: "auto" }, item.name), make("td", { "data-label": "×" }, item.quantity), make("td", {}, amount(item.price))));
    const sums = [["discount", order.discount], ["shipping", order.shipping], ["total", order.total], ["paid", order.paid]].filter(([, money]) => money);
    const status = make("span", { class: "badge" }, order.cancelled ? say("cancelled") : (text(`state-${order.status}`) ?? order.status.replaceAll("_", " ")));
    list.append(
      make("li", {}, make("details", {}, make("summary", {}, `№ ${order.number} `, status, " ", amount(order.total)),
        make("table", {}, make("tbody", {}, ...lines)),
        make("dl", { class: "told" }, ...sums.map(([name, money]) => make("div", {}, make("dt", {}, say(String(name))), make("dd", {}, amount(money))))),
        make("p", {}, make("time", { datetime: order.placed_at }), " ", make("a", { href: `/records/orders/${order.id}` }, say("order-open"))))),
    );
  }
  if (!found.data.length) list.append(make("li", { class: "hint" }, say("orders-none")));
  const rest = found.total > found.data.length && make("p", { class: "hint" }, `+ ${found.total - found.data.length}`);
  const parts = content("orders");
  parts.replaceChildren(list, rest || "");
  if (may("order.place")) {
    const button = make("button", { type: "button", class: "secondary" }, glyph("basket"), say("order-new"));
    button.addEventListener("click", ordering);
    parts.prepend(make("p", {}, button));
  }
  times(parts);
  amounts(parts);
}

/* A new order. */

/** How many lines the form has had: ids of its fields. */
let lines = 0;
/** Under this key the order that is being filled in is placed once, however often it is sent. */
let key = "";

function ordering() {
  key = crypto.randomUUID();
  at("order-items").replaceChildren();
  field("order-comment").value = "";
  another();
  reckon();
  open(dialog("order-asked"));
}

function another() {
  const number = ++lines;
  const input = (/** @type {string} */ name, /** @type {Record<string, string | boolean>} */ rest) =>
    make("div", { class: "field" }, make("label", { for: `item-${name}-${number}` }, say(`item-${name}`)), make("input", { id: `item-${name}-${number}`, "data-item": name, autocomplete: "off", required: true, ...rest }));
  const line = make("div", { class: "item" }, input("name", { dir: "auto" }), input("quantity", { value: "1", inputmode: "decimal" }), input("price", { inputmode: "decimal" }));
  line.append(pictured("cross", say("remove"), () => {
    line.remove();
    reckon();
  }));
  at("order-items").append(line);
}

/** @param {string | undefined} typed */
const decimal = (typed) => (typed ?? "").trim().replace(/\s/g, "").replace(",", ".");

function items() {
  return [...at("order-items").querySelectorAll(".item")].map((line) => {
    const said = (/** @type {string} */ name) => /** @type {HTMLInputElement | null} */ (line.querySelector(`[data-item="${name}"]`))?.value ?? "";
    return { name: said("name").trim(), quantity: decimal(said("quantity")), price: { amount: decimal(said("price")), currency: field("order-currency").value.trim().toUpperCase() } };
  });
}

/** What it will come to, for the eye: the API reckons by itself. */
function reckon() {
  const sum = items().reduce((sum, { quantity, price }) => sum + Number(quantity) * Number(price.amount), 0);
  const currency = field("order-currency").value.trim().toUpperCase();
  const total = at("order-total");
  if (!Number.isFinite(sum)) total.textContent = "–";
  else total.replaceChildren(amount({ amount: String(Math.round(sum * 100) / 100), currency }));
  if (/^[A-Z]{3}$/.test(currency)) amounts(total);
}

/** Begins. */
export function begin() {
  const place = dialog("order-asked");
  at("order-more").addEventListener("click", another);
  place.addEventListener("input", () => {
    key = crypto.randomUUID();
    reckon();
  });
  place.querySelector("form")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const chat = opened();
    if (!chat?.contact_id) return;
    const comment = field("order-comment").value.trim();
    const body = { source: "chat", customer: chat.contact_id, conversation: chat.id, items: items(), ...(comment ? { comment } : {}) };
    attemptIn(place, async () => {
      await ask("POST", "/v1/orders", body, key);
      announce("saved");
      if (opened()?.contact_id === chat.contact_id) await orders(chat.contact_id);
    }).catch(show);
  });
}

/* Tickets of the chat, and what else is known of it. */

/** @param {Values} chat */
async function tickets(chat) {
  const ids = chat.ticket_ids ?? [];
  const parts = content("tickets");
  const makes = may("conversation.convert_to_ticket") && may("ticket.open");
  showPart("tickets", makes || ids.length > 0);
  const list = make("ul", { class: "tickets" });
  if (ids.length && may("ticket.read")) {
    const mine = turn;
    const filter = filtered({ field: "id", op: "in", value: ids });
    const found = await ask("GET", `/v1/tickets?limit=50&${filter}`);
    if (mine !== turn) return;
    for (const one of found.data) {
      list.append(make("li", {}, make("a", { href: `/records/tickets/${one.id}`, dir: "auto" }, `№ ${one.number} ${one.title}`), " ", make("span", { class: "badge" }, text(`state-${one.status}`) ?? one.status)));
    }
  }
  const button = makes && make("button", { type: "button", class: "secondary" }, glyph("ticket"), say("ticket-make"));
  if (button) button.addEventListener("click", () => ticket());
  parts.replaceChildren(list, button || "");
}

/** @param {Values} chat */
function facts(chat) {
  const told = /** @type {[string, Node | string | null][]} */ ([
    ["channel", through(chat)],
    ["address", chat.identity?.value],
    ["page", chat.visitor?.path],
    ["country", chat.visitor?.country && country(chat.visitor.country)],
    ["language", chat.visitor?.language],
    ["started", make("time", { datetime: chat.started_at })],
    ["answers", Object.values(chat.bot_answers ?? {}).join(" · ")],
    ["rating", chat.rating && `${"★".repeat(chat.rating)} ${chat.rating_text ?? ""}`],
  ]).filter(([, value]) => value);
  content("facts").replaceChildren(rows(told));
  times(content("facts"));
}

/* Who is let in, and what was asked for by mail. */

/** @param {Values} chat */
function door(chat) {
  const parts = content("door");
  const mails = (chat.transcripts ?? []).map((/** @type {Values} */ one) => make("li", {}, say("transcript"), " ", make("span", { dir: "auto" }, one.email), " ", make("span", { class: "badge" }, say(one.state === "queued" ? "transcript-queued" : `delivery-${one.state}`))));
  const blocks = chat.visitor_blocked ? "unblock" : "block";
  const keeps = chat.channel_id && may(`conversation.${blocks}_visitor`) && acting(blocks, () => does(`${blocks}_visitor`));
  const ends = chat.medium === "live_chat" && may("conversation.revoke_visitor") && acting("revoke", () => does("revoke_visitor"));
  showPart("door", Boolean(keeps || ends || chat.visitor_blocked || mails.length));
  parts.replaceChildren(
    ...(chat.visitor_blocked ? [make("p", { class: "hint" }, say("blocked"))] : []),
    ...(mails.length ? [make("ul", { class: "mails" }, ...mails)] : []),
    make("p", { class: "actions" }, keeps, ends),
  );
}

/** @param {string} name @param {() => void} does */
function acting(name, does) {
  const button = make("button", { type: "button", class: "secondary", title: say(`${name}-hint`) }, say(name));
  button.addEventListener("click", does);
  return button;
}

/** @param {string} code */
function country(code) {
  try {
    return new Intl.DisplayNames(document.documentElement.lang, { type: "region" }).of(code) ?? code;
  } catch {
    return code;
  }
}
