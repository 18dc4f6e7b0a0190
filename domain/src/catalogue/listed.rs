//! One vocabulary: the names by which lists are filtered, and rules, selectors and templates ask about records.
//!
//! The lists of `projections` are held to it by a test: a column that is filtered there has its name here, for the kinds
//! that rules see.

use crate::catalogue;
use crate::kernel::filter::FieldKind::{self, Bool, Decimal, Email, Id, Integer, Phone, Set, Tags, Text, Time, Word};
use crate::kernel::listing::{Listing, Name};

/// The fields by which the list of a kind is filtered.
struct Listed {
    kind: &'static str,
    fields: &'static [(FieldKind, &'static [&'static str])],
}

const LISTED: &[Listed] = &[
    Listed {
        kind: "call",
        fields: &[
            (Word, &["from_e164", "to_e164", "status"]),
            (Phone, &["from_number", "to_number"]),
            (Integer, &["duration_s"]),
            (Time, &["received_at", "answered_at", "ended_at", "updated_at"]),
            (Id, &["contact_id", "user_id", "id"]),
        ],
    },
    Listed {
        kind: "contact",
        fields: &[
            (Text, &["name", "source", "address", "city", "country", "locale", "time_zone", "description"]),
            (Word, &["kind", "phone_e164", "phone_extension"]),
            (Email, &["email"]),
            (Phone, &["phone"]),
            (Bool, &["archived"]),
            (Time, &["erasure_requested_at", "created_at", "updated_at"]),
            (Id, &["owner_id", "merged_into", "id"]),
            (Set, &["company_ids"]),
            (Tags, &["tags"]),
        ],
    },
    Listed {
        kind: "conversation",
        fields: &[
            (Text, &["identity.value", "visitor.name", "last_message"]),
            (Word, &["medium", "identity.kind", "visitor.country", "status"]),
            (Integer, &["unread_count", "message_count", "rating", "reopened_count"]),
            (Bool, &["unanswered", "unread", "handed_over", "bot_finished", "uncertain", "visitor_blocked"]),
            (Time, &["last_received_at", "last_sent_at", "active_at", "started_at", "closed_at", "updated_at"]),
            (Id, &["channel_id", "chatbot_id", "contact_id", "assignee_id", "id"]),
            (Set, &["label_ids", "read_by_ids", "ticket_ids"]),
        ],
    },
    Listed {
        kind: "offer",
        fields: &[
            (Text, &["text", "repeat_reason"]),
            (Word, &["status", "medium"]),
            (Time, &["drafted_at", "sent_at", "opened_at", "answered_at", "updated_at"]),
            (Id, &["enquiry_id", "contact_id", "sent_to_id", "id"]),
            (Set, &["property_ids", "accepted_property_ids"]),
        ],
    },
    Listed {
        kind: "order",
        fields: &[
            (Text, &["name", "city", "address", "comment"]),
            (Word, &["source", "external_number", "phone_e164", "phone_extension", "status", "total.currency"]),
            (Email, &["email"]),
            (Phone, &["phone"]),
            (Integer, &["number"]),
            (Decimal, &["total.amount", "paid.amount"]),
            (Bool, &["paid_in_full", "cancelled"]),
            (Time, &["placed_at", "paid_at", "cancelled_at", "updated_at"]),
            (Id, &["customer_id", "company_id", "conversation_id", "id"]),
        ],
    },
    Listed {
        kind: "rule_run",
        fields: &[
            (Text, &["error"]),
            (Word, &["status", "reason", "trigger_type", "trigger_event_id", "subject_kind"]),
            (Integer, &["rule_version", "trigger_position", "attempts"]),
            (Time, &["due_at", "asked_at", "executed_at", "updated_at"]),
            (Id, &["rule_id", "stopped_by", "subject_id", "contact_id", "id"]),
            (Set, &["chosen"]),
        ],
    },
    Listed {
        kind: "task",
        fields: &[
            (Text, &["title", "text", "outcome"]),
            (Word, &["status", "author_kind"]),
            (Integer, &["priority"]),
            (Bool, &["open", "overdue"]),
            (Time, &["due_at", "created_at", "started_at", "closed_at", "updated_at"]),
            (Id, &["project_id", "assignee_id", "rule_run_id", "author_id", "id"]),
            (Set, &["subject_ids"]),
        ],
    },
    Listed {
        kind: "ticket",
        fields: &[
            (Text, &["title", "category"]),
            (Word, &["status", "stage", "stage_means", "requester_kind", "channel", "origin"]),
            (Integer, &["number", "priority", "reopened_count", "message_count", "rating"]),
            (
                Time,
                &[
                    "opened_at",
                    "updated_at",
                    "first_reply_at",
                    "last_message_at",
                    "last_customer_message_at",
                    "resolved_at",
                    "closed_at",
                    "snoozed_until",
                ],
            ),
            (
                Id,
                &[
                    "requester_id",
                    "company_id",
                    "team_id",
                    "assignee_id",
                    "product_id",
                    "entitlement_id",
                    "merged_into",
                    "split_from",
                    "id",
                ],
            ),
            (Tags, &["tags"]),
        ],
    },
];

/// What rules called a field before they called it as lists do: kind, before, now.
const FORMER: &[(&str, &str, &str)] = &[
    ("call", "contact", "contact_id"),
    ("call", "from", "from_number"),
    ("call", "to", "to_number"),
    ("call", "user", "user_id"),
    ("contact", "companies", "company_ids"),
    ("contact", "owner", "owner_id"),
    ("conversation", "assignee", "assignee_id"),
    ("conversation", "channel", "channel_id"),
    ("conversation", "contact", "contact_id"),
    ("conversation", "labels", "label_ids"),
    ("conversation", "messages", "message_count"),
    ("offer", "contact", "contact_id"),
    ("offer", "enquiry", "enquiry_id"),
    ("offer", "properties", "property_ids"),
    ("order", "company", "company_id"),
    ("order", "conversation", "conversation_id"),
    ("order", "customer", "customer_id"),
    ("order", "paid", "paid.amount"),
    ("task", "assignee", "assignee_id"),
    ("task", "project", "project_id"),
    ("task", "rule_run", "rule_run_id"),
    ("ticket", "assignee", "assignee_id"),
    ("ticket", "company", "company_id"),
    ("ticket", "entitlement", "entitlement_id"),
    ("ticket", "product", "product_id"),
    ("ticket", "requester.id", "requester_id"),
    ("ticket", "requester.kind", "requester_kind"),
    ("ticket", "team", "team_id"),
];

/// The name of a record of one of these kinds.
const fn name(field: &'static str, column: &'static str, kinds: &'static [&'static str]) -> Name {
    Name { field, column, kinds, by: None, kind: Text }
}

/// Who is responsible for a ticket, a conversation or a task.
pub const ASSIGNEE: Name = name("assignee_name", "assignee_id", &["user"]);
/// The channel of a conversation.
pub const CHANNEL: Name = name("channel_name", "channel_id", &["channel"]);
/// A company.
pub const COMPANY: Name = name("company_name", "company_id", &["company"]);
/// A contact.
pub const CONTACT: Name = name("contact_name", "contact_id", &["contact"]);
/// The contact who ordered.
pub const CUSTOMER: Name = name("customer_name", "customer_id", &["contact"]);
/// An enquiry.
pub const ENQUIRY: Name = name("enquiry_name", "enquiry_id", &["enquiry"]);
/// Whoever holds an entitlement.
pub const HOLDER: Name =
    Name { by: Some("holder_kind"), ..name("holder_name", "holder_id", &["contact", "company", "user"]) };
/// The labels of a conversation.
pub const LABELS: Name = Name { kind: Tags, ..name("label_names", "label_ids", &["label"]) };
/// Who owns a record.
pub const OWNER: Name = name("owner_name", "owner_id", &["user"]);
/// A product.
pub const PRODUCT: Name = name("product_name", "product_id", &["product"]);
/// The project of a task.
pub const PROJECT: Name = name("project_name", "project_id", &["project"]);
/// Who asks in a ticket.
pub const REQUESTER: Name =
    Name { by: Some("requester_kind"), ..name("requester_name", "requester_id", &["contact", "user"]) };
/// The rule that runs.
pub const RULE: Name = name("rule_name", "rule_id", &["rule"]);
/// A team.
pub const TEAM: Name = name("team_name", "team_id", &["team"]);
/// A colleague.
pub const USER: Name = name("user_name", "user_id", &["user"]);

/// The names by which the lists of kinds that rules see are filtered.
const NAMES: &[(&str, &[Name])] = &[
    ("call", &[CONTACT, USER]),
    ("contact", &[OWNER]),
    ("conversation", &[CONTACT, ASSIGNEE, LABELS, CHANNEL]),
    ("offer", &[ENQUIRY, CONTACT]),
    ("order", &[CUSTOMER, COMPANY]),
    ("rule_run", &[RULE]),
    ("task", &[ASSIGNEE, PROJECT]),
    ("ticket", &[REQUESTER, COMPANY, TEAM, ASSIGNEE, PRODUCT]),
];

/// The fields of a kind that tell what other records are called.
pub fn names(kind: &str) -> &'static [Name] {
    if let Some(listing) = listing(kind) {
        return &listing.names;
    }
    NAMES.iter().find(|(of, _)| *of == kind).map_or(&[], |(_, names)| *names)
}

/// The fields by which the list of a kind is filtered; none for kinds that rules do not see.
pub fn fields(kind: &str) -> impl Iterator<Item = (&'static str, FieldKind)> + use<> {
    let listed = LISTED.iter().find(|listed| listed.kind == kind);
    let fields = listed.map(|listed| listed.fields).unwrap_or_default();
    let fields = fields.iter().flat_map(|(kind, names)| names.iter().map(|name| (*name, *kind)));
    let described = listing(kind).into_iter().flat_map(|listing| &listing.columns).filter(|column| !column.hidden);
    let described = described.flat_map(|column| &column.filtered).map(|field| (field.name.as_str(), field.kind));
    let id = listing(kind).map(|_| ("id", Id));
    let names = names(kind).iter().map(|name| (name.field, name.kind));
    fields.chain(described).chain(id).chain(names)
}

/// The list that follows from the description of a kind.
fn listing(kind: &str) -> Option<&'static Listing> {
    catalogue::kind(kind)?.listing
}

/// The kind of values of one of them.
pub fn kind_of(kind: &str, field: &str) -> Option<FieldKind> {
    fields(kind).find(|(name, _)| *name == field).map(|(_, kind)| kind)
}

/// What a field of a kind is called now, if it was called so before.
pub fn present(kind: &str, field: &str) -> Option<&'static str> {
    let known = FORMER.iter().find(|(of, before, _)| *of == kind && *before == field).map(|(_, _, now)| *now);
    known.or_else(|| listing(kind)?.renamed(field))
}

/// What a field of a kind was called before.
pub fn former(kind: &str, field: &str) -> Option<&'static str> {
    former_names(kind).find(|(_, now)| *now == field).map(|(before, _)| before)
}

/// Every name of a kind's fields that is no longer used, with what is used instead.
pub fn former_names(kind: &str) -> impl Iterator<Item = (&'static str, &'static str)> + use<'_> {
    let known = FORMER.iter().filter(move |(of, _, _)| *of == kind).map(|(_, before, now)| (*before, *now));
    known.chain(listing(kind).into_iter().flat_map(Listing::renamings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_rules_see_has_its_fields_and_every_former_name_a_present_one() {
        for kind in catalogue::kinds().filter(|kind| kind.document.is_some()) {
            assert!(fields(kind.name).count() > 3, "{}", kind.name);
        }
        for (kind, before, now) in FORMER {
            assert!(kind_of(kind, now).is_some(), "{kind}.{now}");
            assert!(kind_of(kind, before).is_none(), "{kind}.{before} is a field now");
        }
    }
}
