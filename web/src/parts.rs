//! Small parts of pages: fields, buttons, and the texts that scripts show.

use maud::{Markup, html};

use crate::{charts, frame::View, icons};

/// Texts that come in families: of each name there is one, `kind-ticket` and so on.
pub(crate) const FAMILIES: &[(&str, &[&str])] = &[
    ("theme", &["auto", "light", "dark"]),
    ("presence", PRESENCES),
    ("method", &["password", "link", "openid_connect"]),
    ("status", STATUSES),
    ("kind", KINDS),
    ("period", PERIODS),
    ("context", &["desk", "chat", "crm", "sales", "work", "insight", "org", "data"]),
    ("level", LEVELS),
    ("by", &["role", "open", "share", "team", "colleague", "about"]),
    ("holds", &["owner", "assignee", "requester", "creator", "oneself"]),
    ("actor", &["user", "customer", "visitor", "rule", "bot", "integration", "system"]),
    ("problem", PROBLEMS),
    ("setting", SETTINGS),
    ("about", SETTINGS),
    ("feature", FEATURES),
    ("text", SPOKEN),
    ("export", EXPORTS),
    ("outcome", OUTCOMES),
    ("row", &["create", "update", "unchanged", "reject", "applied", "rejected"]),
    ("job", &["running", "paused", "completed", "failed", "cancelled"]),
];

/// Texts that come in families and are written by the server alone.
#[cfg(test)]
pub(crate) const DRAWN: &[(&str, &[&str])] = &[
    ("inbox", INBOX),
    ("told", TOLD),
    ("medium", MEDIA),
    ("notice", NOTICES),
    ("why", WHY),
    ("hook", HOOKS),
    ("portal-fault", &["address", "code", "often", "mail"]),
    ("portal-state", &["open", "resolved", "closed"]),
    ("unit", &["day", "hour", "minute", "second", "thousand", "million", "billion"]),
    ("month", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]),
    ("weekday", WEEKDAYS),
    ("weekday-short", WEEKDAYS),
    ("priority", &["0", "1", "2", "3"]),
    ("division", &["hour", "day", "week", "month", "quarter", "year", "weekday", "hour_of_day"]),
    ("statistic", STATISTICS),
    ("measure", MEASURES),
    ("range", RANGES),
    ("widget", WIDGETS),
    ("shipped", &["desk", "products", "chats", "sales", "rules", "team"]),
    ("dashboards", &["mine", "others", "shipped"]),
    (
        "place",
        &[
            "move",
            "size",
            "configure",
            "left",
            "right",
            "up",
            "down",
            "wider",
            "narrower",
            "taller",
            "shorter",
            "remove",
        ],
    ),
    ("op", OPS),
    // Said by a name that is put together from values.
    ("date", &["short", "full", "month"]),
];
/// From Monday on.
#[cfg(test)]
const WEEKDAYS: &[&str] = &["1", "2", "3", "4", "5", "6", "7"];
/// The ranges that one chooses from.
pub(crate) const RANGES: &[&str] = &[
    "today",
    "yesterday",
    "last_7_days",
    "last_30_days",
    "last_90_days",
    "this_week",
    "this_month",
    "last_month",
    "this_quarter",
    "this_year",
    "last_12_months",
    "all",
];
/// How widgets show what they do.
pub(crate) const WIDGETS: &[&str] =
    &["number", "line", "bar", "stacked_bar", "heat_map", "table", "list", "pending_work", "feed", "text"];
/// What reports measure.
#[cfg(test)]
const MEASURES: &[&str] = &[
    "opened",
    "resolved",
    "closed",
    "resolutions",
    "closings",
    "reopened",
    "assigned",
    "received",
    "replied",
    "sent",
    "backlog",
    "one_touch",
    "first_reply",
    "next_reply",
    "first_resolution",
    "resolution",
    "time_in_stage",
    "time_with_assignee",
    "rating",
    "started",
    "handed_over",
    "placed",
    "cancelled",
    "payments",
    "revenue",
    "paid",
    "time_to_payment",
    "acceptance",
    "accepted",
    "answer_rate",
    "answered",
    "calls",
    "cancelled_value",
    "completed",
    "completion_rate",
    "completions",
    "conversion",
    "converted",
    "converted_value",
    "created",
    "declined",
    "drafted",
    "executed",
    "external_offers",
    "failures",
    "first_completion",
    "first_offer",
    "lost",
    "lost_value",
    "match_rate",
    "matched",
    "missed",
    "offers",
    "offers_per_enquiry",
    "open_value",
    "overdue",
    "parked",
    "runs",
    "seen",
    "skipped",
    "sold",
    "success_rate",
    "talk_time",
    "time_in_status",
    "time_to_answer",
    "time_to_complete",
    "time_to_conversion",
    "time_to_end",
    "time_to_execution",
    "time_to_settlement",
    "time_to_start",
    "time_to_win",
    "time_with_owner",
    "win_rate",
    "won",
    "won_value",
];

/// Whether somebody is there.
pub(crate) const PRESENCES: &[&str] = &["online", "away", "offline"];
/// How far a record is shared.
pub(crate) const LEVELS: &[&str] = &["read", "write"];
/// Where a colleague stands.
pub(crate) const STATUSES: &[&str] = &["invited", "active", "deactivated"];
/// As what a list is downloaded.
pub(crate) const EXPORTS: &[&str] = &["csv", "jsonl", "parquet"];
/// How a field is compared, as far as one chooses it; what is compared otherwise is written as JSON.
pub(crate) const OPS: &[&str] = &["eq", "ne", "contains", "in", "gte", "lte", "is_null"];
/// Which number of lengths and scores is drawn.
pub(crate) const STATISTICS: &[&str] = &["median", "mean", "p90", "min", "max", "sum", "count"];
/// What becomes of a record that is one of many.
pub(crate) const OUTCOMES: &[&str] = &["applied", "unchanged", "refused"];
/// How often a plan is paid.
const PERIODS: &[&str] = &["month", "year"];
/// The kinds of record that roles speak of. One that is not here goes by its own name.
pub(crate) const KINDS: &[&str] = &[
    "ticket",
    "channel",
    "conversation",
    "label",
    "quick_reply",
    "chatbot",
    "contact",
    "company",
    "lead",
    "deal",
    "property",
    "enquiry",
    "offer",
    "order",
    "call",
    "product",
    "product_category",
    "article",
    "article_category",
    "entitlement",
    "email",
    "form",
    "form_submission",
    "task",
    "project",
    "view",
    "rule",
    "rule_run",
    "webhook",
    "notification",
    "comment",
    "activity",
    "relation",
    "import",
    "bulk",
    "intake_source",
    "delivery",
    "system_notice",
    "upload",
    "field",
    "team",
    "user",
    "role",
    "api_key",
    "session",
    "tenant",
    "event",
    "search",
    "report",
    "dashboard",
    "export",
];
/// Refusals that people meet on these pages. What is not here is told as the API tells it.
const PROBLEMS: &[&str] = &[
    "unreachable",
    "notification_time_invalid",
    "notification_quiet_hours_invalid",
    "notification_media_invalid",
    "sign_in_failed",
    "too_many_attempts",
    "password_unfit",
    "password_wrong",
    "password_missing",
    "code_wrong",
    "user_link_invalid",
    "user_email_taken",
    "user_successor_unfit",
    "role_name_taken",
    "setting_invalid",
    "csrf_refused",
    "permission_denied",
    "seats_taken",
    "picture_unreadable",
    "body_too_large",
    "body_invalid",
    "media_type_unsupported",
    "required",
    "name_invalid",
    "email_invalid",
    "phone_invalid",
    "url_invalid",
    "form_value_missing",
    "form_value_invalid",
    "form_value_too_long",
    "upload_too_large",
    "upload_type_refused",
    "upload_empty",
    "time_zone_invalid",
    "locale_invalid",
    "session_unknown",
    "provider_refused",
    "provider_unavailable",
    "provider_answer_invalid",
    "provider_missing",
    "identity_unknown",
    "search_field_unknown",
    "search_value_invalid",
    "search_kind_unknown",
    "search_too_long",
];
/// The settings that pages know by name.
const SETTINGS: &[&str] = &[
    "default_country",
    "language",
    "time_zone",
    "automatic_order_distribution",
    "portals",
    "media",
    "away_after_minutes",
    "upload_max_mebibytes",
    "upload_types",
    "upload_retention_days",
];
/// The features that pages know by name.
const FEATURES: &[&str] =
    &["tickets", "products", "chats", "orders", "leads", "properties", "deals", "calls", "tasks", "rules", "imports"];
/// What scripts say.
const SPOKEN: &[&str] = &[
    "saved",
    "copied",
    "empty",
    "unfound",
    "noted",
    "everything",
    "all",
    "team",
    "own",
    "nothing",
    "yes",
    "no",
    "for",
    "of_others",
    "but",
    "seek_nothing",
    "seek_similar",
    "seek_all",
    "chosen",
    "chosen_none",
    "takes_back",
    "taken_back",
    "see_it",
    "address_made",
    "recognised",
    "lacks",
    "twice",
];

/// What notices are about, and what their page says; kept in it.
pub(crate) const NOTICES: &[&str] = &[
    "delivery_refused",
    "email_refused",
    "message_failed",
    "message_uncertain",
    "webhook_disabled",
    "webhook_event_given_up",
    "waiting",
    "none",
    "later",
];
/// Of what colleagues are told; kept in their page.
pub(crate) const TOLD: &[&str] = &["assigned", "rule_task", "mentioned", "replied", "due_soon", "overdue", "test"];
/// By what media; kept in their page.
pub(crate) const MEDIA: &[&str] = &["in_app", "email", "digest", "push", "chat"];
/// How webhooks fare and what came of what was sent to them; kept in their page.
pub(crate) const HOOKS: &[&str] =
    &["enabled", "disabled", "failing", "unreachable", "gone", "rights_ended", "delivered", "failed", "given_up"];
/// Why something could not be taken, for people. What is not here is told as the API tells it.
pub(crate) const WHY: &[&str] = &[
    "required",
    "value_missing",
    "unknown_field",
    "value_invalid",
    "value_unmapped",
    "number_invalid",
    "time_invalid",
    "mapping_invalid",
    "delivery_no_object",
    "order_empty",
    "order_total_wrong",
    "order_item_invalid",
    "order_cancelled",
    "call_over",
    "feature_disabled",
    "message_failed",
    "message_uncertain",
    "unreachable",
    "gone",
    "rights_ended",
    "webhook_event_given_up",
];

/// What the inbox says, its scripts too; kept in its page.
pub(crate) const INBOX: &[&str] = &[
    "chats",
    "find",
    "find-hint",
    "by-label",
    "filters",
    "filters-clear",
    "responsible",
    "channel",
    "client",
    "state",
    "state-open",
    "state-closed",
    "state-all",
    "unread",
    "unanswered",
    "mine",
    "nobody",
    "uncertain",
    "none",
    "none-fits",
    "thread",
    "choose",
    "back-chats",
    "back-thread",
    "take",
    "assign",
    "assign-other",
    "assign-to",
    "eligible",
    "none-eligible",
    "close",
    "closed-now",
    "closed",
    "reopen",
    "lost",
    "messages",
    "older",
    "drop-here",
    "message",
    "write",
    "write-keys",
    "files",
    "files-asked",
    "files-words",
    "files-none",
    "files-large",
    "remove",
    "replies",
    "replies-find",
    "replies-none",
    "reply-new",
    "reply-change",
    "reply-delete",
    "reply-text",
    "reply-label",
    "reply-label-hint",
    "shortcut",
    "label",
    "emoji",
    "left",
    "send",
    "send-again",
    "edited",
    "deleted",
    "react",
    "not-reacted",
    "delivery-queued",
    "delivery-sent",
    "delivery-delivered",
    "delivery-read",
    "delivery-failed",
    "delivery-uncertain",
    "by-bot",
    "by-program",
    "take-first",
    "answers",
    "given",
    "is-closed",
    "no-answers",
    "gone",
    "types",
    "looks",
    "me",
    "visitor",
    "colleague",
    "anybody",
    "any-channel",
    "any-client",
    "linked",
    "unlinked",
    "client-unknown",
    "link",
    "link-hint",
    "link-none",
    "unlink",
    "hand",
    "hand-save",
    "labels",
    "labels-none",
    "label-hint",
    "label-remove",
    "door",
    "block",
    "block-hint",
    "unblock",
    "unblock-hint",
    "blocked",
    "revoke",
    "revoke-hint",
    "transcript",
    "transcript-queued",
    "notes",
    "note",
    "note-add",
    "orders",
    "orders-none",
    "order-new",
    "order-more",
    "order-place",
    "order-open",
    "item-name",
    "item-quantity",
    "item-price",
    "currency",
    "comment",
    "total",
    "discount",
    "shipping",
    "paid",
    "cancelled",
    "tickets",
    "ticket-make",
    "ticket-nothing",
    "facts",
    "done",
    "keys",
    "keys-on",
    "key-next",
    "key-previous",
    "key-find",
    "key-reply",
    "key-client",
    "key-line",
    "key-shortcut",
    "key-leave",
    "field-name",
    "field-phone",
    "field-email",
    "field-city",
    "field-companies",
    "field-owner",
    "field-tags",
    "field-description",
    "field-channel",
    "field-address",
    "field-page",
    "field-country",
    "field-language",
    "field-started",
    "field-answers",
    "field-rating",
    "medium-live_chat",
    "medium-email",
    "medium-telegram",
    "medium-whatsapp",
    "medium-instagram",
    "medium-facebook",
    "medium-api",
];

/// The texts that scripts look up, kept in the page: a script has none of its own.
pub(crate) fn spoken(view: &View) -> Markup {
    html! {
        template #texts {
            @for (family, names) in FAMILIES {
                @for name in *names {
                    p data-text={ (family) "-" (name) } { (view.say_of(family, name)) }
                }
            }
        }
        p.toast #toast role="status" {}
    }
}

/// The API's own words of these families, as people say them: kept in the page beside the texts. In English they are words already.
pub(crate) fn words(view: &View, families: &[&str]) -> Markup {
    html! {
        template #words {
            @for family in families {
                @for (name, text) in view.language.words_of(family) { p data-text=(name) { (text) } }
            }
        }
    }
}

/// A value that a form sends along.
pub(crate) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// A field of a form.
#[derive(Default)]
pub(crate) struct Field<'a> {
    /// Which form it is in; with the name it makes its id.
    pub(crate) form: &'a str,
    pub(crate) name: &'a str,
    pub(crate) label: String,
    /// Its type: `email`, `password`, ...; `text` when empty.
    pub(crate) kind: &'a str,
    /// What a browser may fill in; `off` when empty.
    pub(crate) autocomplete: &'a str,
    pub(crate) value: &'a str,
    /// What is good to know.
    pub(crate) hint: Option<String>,
    pub(crate) required: bool,
    pub(crate) autofocus: bool,
    /// The list of what is offered.
    pub(crate) list: Option<&'a str>,
}

impl Field<'_> {
    /// The same to be read only, and not sent along.
    pub(crate) fn shown(&self) -> Markup {
        let id = format!("{}-shown", self.form);
        html! {
            div.field {
                label for=(id) { (self.label) }
                input id=(id) type=(self.kind) value=(self.value) autocomplete=(self.autocomplete) readonly;
            }
        }
    }

    /// A label, the field, and room for what is wrong with it.
    pub(crate) fn show(&self) -> Markup {
        let id = format!("{}-{}", self.form, self.name);
        let described = self.hint.as_ref().map(|_| format!("{id}-hint"));
        let kind = if self.kind.is_empty() { "text" } else { self.kind };
        let autocomplete = if self.autocomplete.is_empty() { "off" } else { self.autocomplete };
        let minimum = (autocomplete == "new-password").then_some("12");
        let code = autocomplete == "one-time-code";
        html! {
            div.field {
                label for=(id) { (self.label) }
                input id=(id) name=(self.name) type=(kind) value=(self.value) autocomplete=(autocomplete)
                    required[self.required] autofocus[self.autofocus] minlength=[minimum] list=[self.list] aria-describedby=[described]
                    autocapitalize=[code.then_some("off")] spellcheck=[(code || kind != "text").then_some("false")];
                @if let Some(hint) = &self.hint { p.hint id={ (id) "-hint" } { (hint) } }
            }
        }
    }
}

/// A choice of a form: values with their names, and the one that is chosen.
pub(crate) fn choice(form: &str, name: &str, label: &str, options: &[(&str, String)], chosen: &str) -> Markup {
    let id = format!("{form}-{name}");
    html! {
        div.field {
            label for=(id) { (label) }
            select id=(id) name=(name) autocomplete="off" {
                @for (value, shown) in options {
                    option value=(value) selected[*value == chosen] { (shown) }
                }
            }
        }
    }
}

/// What a form does, with room for what is wrong with all of it.
pub(crate) fn submit(label: &str) -> Markup {
    html! {
        p.fault role="alert" {}
        p.actions { button type="submit" { (label) } }
    }
}

/// Somebody's picture, beside the name: it says nothing that the name does not.
pub(crate) fn face(id: &str, class: &str) -> Markup {
    html! { img.face.(class) src={ "/v1/users/" (id) "/picture" } alt="" width="40" height="40" loading="lazy"; }
}

/// The badge of a product: its icon upon its colour.
pub(crate) fn badge(icon: &str, color: Option<&str>) -> Markup {
    let color = color.unwrap_or("#6b7278");
    html! {
        svg.mark-of viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" {
            rect width="24" height="24" rx="5" fill=(color) {}
            path d=(icons::lines(icon)) transform="translate(3.4 3.4) scale(.72)" fill="none" stroke=(charts::upon(color))
                stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

/// The icons, for scripts: each a picture of its own.
pub(crate) fn icons() -> Markup {
    html! {
        template #icons {
            @for (name, _) in icons::all() { span data-icon=(name) { (badge(name, None)) } }
        }
    }
}

/// A moment, as the browser's own script writes it.
pub(crate) fn moment(at: &str) -> Markup {
    html! { time datetime=(at) { (at) } }
}

/// Said to whoever has scripts switched off.
pub(crate) fn needs_script(view: &View) -> Markup {
    html! { noscript { p.notice { (view.say("needs-script")) } } }
}
