// What a client in TypeScript may say with the types that openapi-typescript made of Deskfold's document, and what it may not.
import type { components, operations, paths } from "./deskfold";

type Schema<Name extends keyof components["schemas"]> = components["schemas"][Name];
type Json<T> = T extends { content: { "application/json": infer Body } } ? Body : never;
type Body<Id extends keyof operations> = Json<NonNullable<operations[Id]["requestBody"]>>;
type Answer<Id extends keyof operations> = operations[Id]["responses"] extends { 200: infer Good } ? Json<Good> : never;

export const open: Body<"ticket_open"> = { title: "Printer on fire", priority: 2, tags: ["vip"] };
export const assign: Body<"ticket_assign"> = { assignee: "01KAE4T0000000000000000005", method: "manual" };
export const search: Body<"roles_search"> = {
  filter: { all: [{ field: "name", op: "starts_with", value: "A" }, { not: { field: "id", op: "eq", value: "1" } }] },
  count: "exact",
};
export const close: paths["/v1/tickets/{id}/close"]["post"]["parameters"]["header"] = { "If-Match": '"1"' };

export function subjects(page: Answer<"tickets_search">): string[] {
  return page.data.filter((ticket) => ticket.status === "open").map((ticket) => ticket.title);
}
export function past(history: Answer<"ticket_history">): Schema<"TicketEvent">["type"][] {
  return history.data.map((event) => event.type);
}
export const done = (answer: Answer<"ticket_close">): number => answer.position;
export const where = (ticket: Answer<"tickets_read">): string => ticket.links.history;

// @ts-expect-error A ticket has a title.
export const untitled: Body<"ticket_open"> = { priority: 2 };
// @ts-expect-error There is no such method.
export const odd: Body<"ticket_assign"> = { assignee: "01KAE4T0000000000000000005", method: "dice" };
// @ts-expect-error There is no such field.
export const nothing: Body<"roles_search"> = { filter: { field: "nothing", op: "eq", value: 1 } };
