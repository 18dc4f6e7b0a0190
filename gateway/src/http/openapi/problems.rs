//! Every code of a problem: what it means, and where it can occur.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Aggregate, catalogue};

use crate::problem::status_of;

/// A code that Deskfold answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code itself.
    pub code: String,
    /// The HTTP status it comes with.
    pub status: u16,
    /// What it means, in a sentence.
    pub meaning: String,
}

/// Codes with their status and meaning.
pub(super) type Codes = &'static [(&'static str, u16, &'static str)];

/// The codes that any request may meet.
pub(super) const ANY: Codes = &[
    ("internal_error", 500, "Something broke; the server's log knows the trace id."),
    ("timeout", 503, "The request took too long."),
    ("log_unavailable", 503, "The log cannot be reached now."),
    ("database_unavailable", 503, "The database cannot be reached now."),
];

/// The codes that any request with a key may meet.
pub(super) const KEYED: Codes = &[
    ("key_missing", 401, "Neither an API key (`Authorization: Bearer dfk_...`) nor a session's cookie was sent."),
    ("key_invalid", 401, "The API key is unknown, revoked or expired."),
    ("user_inactive", 401, "The user of the API key is deactivated."),
    ("session_ended", 401, "The session of the cookie is over: sign in again."),
    (
        "csrf_refused",
        403,
        "Another site may have sent it: with a cookie, what changes something must come from a page of this server.",
    ),
    ("feature_disabled", 403, "It is part of a feature that the tenant has switched off; the detail names it."),
    ("permission_denied", 403, "The key lacks a permission; the detail names it."),
    ("on_behalf_of_unknown", 422, "`Deskfold-On-Behalf-Of` names no active user and no contact."),
    ("rate_limited", 429, "The key has made too many requests; `Retry-After` says when to come back."),
    ("header_invalid", 400, "A header is not plain text."),
    ("storage_full", 507, "The database's disk is almost full: nothing is written until there is room."),
];

/// The codes that may be met by what another site makes a browser send.
pub(super) const FOREIGN: Codes = &[("csrf_refused", 403, "Another site has sent it.")];

/// The codes of those who try too often.
pub(super) const ATTEMPTS: Codes = &[(
    "too_many_attempts",
    429,
    "Too many attempts for this account or from this address; `Retry-After` says when to come back.",
)];

/// The codes that signing in may meet. Whatever is wrong, it is the same one.
pub(super) const SIGN_IN: Codes = &[
    (
        "sign_in_failed",
        401,
        "The address, the password or the code is wrong, or the user is shut out; nobody says which.",
    ),
    (
        "too_many_attempts",
        429,
        "Too many attempts for this account or from this address; `Retry-After` says when to come back.",
    ),
    ("sign_in_busy", 503, "Too many people are signing in at this moment."),
];

/// The codes that only whoever is signed in can do away with.
pub(super) const SESSION: Codes = &[("session_needed", 403, "Only whoever is signed in does this, for himself.")];

/// The codes that a picture may meet.
pub(super) const PICTURE: Codes = &[
    (
        "picture_unreadable",
        422,
        "This is no picture in JPEG, PNG or WebP, or it unfolds to more than 12,000 pixels each way.",
    ),
    ("body_too_large", 413, "The file is larger than 10 MiB."),
];

/// The codes that a new password may meet.
pub(super) const PASSWORD: Codes = &[
    (
        "password_unfit",
        422,
        "The password is too short or too long, one that attackers try first, or has one's name in it.",
    ),
    ("sign_in_busy", 503, "Too many people are signing in at this moment."),
];

/// The codes that asking for one's password again may meet.
pub(super) const CONFIRM: Codes = &[
    ("password_wrong", 422, "That is not one's password."),
    ("password_missing", 409, "One has no password yet: an administrator hands out a link by which to set one."),
    (
        "too_many_attempts",
        429,
        "Too many attempts for this account or from this address; `Retry-After` says when to come back.",
    ),
];

/// The codes that giving the first code of a second factor may meet.
pub(super) const CODE: Codes = &[
    ("code_wrong", 422, "That is not the code that the app shows now."),
    ("second_factor_unprepared", 409, "No second factor was prepared."),
];

/// The codes that signing in by an OpenID provider may meet.
pub(super) const PROVIDER: Codes = &[
    ("provider_answer_invalid", 400, "It is no answer to a question that this browser asked of the provider."),
    ("provider_refused", 400, "The provider did not say who it is."),
    ("identity_unknown", 403, "The provider knows the person, and nobody here has what it says."),
    ("provider_missing", 404, "The tenant has no OpenID provider."),
    ("provider_unavailable", 502, "The provider does not answer as it should."),
];

/// The codes that parameters in an address may meet.
pub(super) const PARAMETERS: Codes = &[
    ("parameter_invalid", 422, "A query parameter is unknown or has no value that fits; `errors` names it."),
    ("text_invalid", 422, "A text holds the character U+0000, or is not UTF-8."),
];

/// The codes that a request with a JSON body may meet.
pub(super) const BODY: Codes = &[
    ("body_unreadable", 400, "The body could not be received."),
    ("body_malformed", 400, "The body is no JSON."),
    ("body_too_large", 413, "The body is larger than this server takes."),
    ("media_type_unsupported", 415, "The body is sent as something else than JSON."),
    ("body_invalid", 422, "The body does not fit the schema; `errors` points at the places."),
];

/// The codes that any command may meet, besides its kind's refusals.
pub(super) const COMMAND: Codes = &[
    ("idempotency_key_invalid", 400, "An `Idempotency-Key` has 1 to 255 characters."),
    ("if_match_invalid", 400, "`If-Match` takes one ETag as this API gives it, such as `\"7\"`, or `*`."),
    ("if_none_match_invalid", 400, "`If-None-Match` takes `*` on a write."),
    ("occurred_at_invalid", 400, "`Deskfold-Occurred-At` is an RFC 3339 instant, not in the future."),
    ("command_unknown", 404, "The kind of record has no such command; the detail lists what there is."),
    ("idempotency_key_in_flight", 409, "The first request with this `Idempotency-Key` is still being carried out."),
    ("version_mismatch", 412, "The record is not at the version that `If-Match` names."),
    ("already_exists", 412, "`If-None-Match: *` was sent and a record with this id exists."),
    ("not_storable", 422, "The log cannot hold what would be written; the detail says why."),
    ("length_invalid", 422, "A text is longer or shorter than its field takes."),
    ("out_of_range", 422, "A number is beyond the range of its field."),
    ("too_large", 422, "A list, or a value of any shape, is larger than its field takes."),
    ("idempotency_key_reused", 422, "The `Idempotency-Key` was used for a different request."),
    ("busy", 503, "Too many others are changing the record."),
];

/// The codes that a query may meet.
pub(super) const QUERY: Codes = &[
    ("min_position_invalid", 400, "`Deskfold-Min-Position` is a position in the log."),
    ("position_ahead", 422, "The log has not come to this position; it will not by waiting."),
    ("position_not_reached", 503, "The read model has not reached the position that was asked for."),
    (
        "read_model_building",
        503,
        "After an upgrade the read model is being filled from the log; it cannot be read yet.",
    ),
];

/// The codes that a single read may meet.
pub(super) const MOMENT: Codes = &[(
    "as_of_invalid",
    422,
    "`as_of` is an instant, a day or a position, `known_at` an instant or a day; only one of them is given.",
)];

/// The codes that a list of the past may meet besides.
pub(super) const PAST: Codes =
    &[("past_busy", 503, "As many lists of the past are being read as there may be at once.")];

/// The codes that pages may meet.
pub(super) const PAGE: Codes = &[("limit_invalid", 422, "The page size is out of range.")];

/// The codes that reading a thread may meet.
pub(super) const THREAD: Codes = &[("cursor_invalid", 422, "`after` is no cursor of this thread.")];

/// The codes that reading a feed may meet.
pub(super) const FEED: Codes = &[
    ("cursor_invalid", 422, "`after` or `before` is no cursor of a feed, or both are given."),
    ("feed_type_unknown", 422, "`types` names neither a kind of record nor a type of event that feeds show."),
];

/// The codes that whoever asks who calls may meet.
pub(super) const CALLERS: Codes = &[("phone_invalid", 422, "This is no phone number.")];

/// The codes that a search may meet.
pub(super) const SEARCH: Codes = &[
    ("search_empty", 422, "`q` asks for nothing: it has no word, number or field."),
    ("search_too_long", 422, "`q` has too many letters or terms."),
    ("search_kind_unknown", 422, "There is no such kind to search among; the detail lists those there are."),
    ("search_field_unknown", 422, "No kind of record that is searched has that field."),
    ("search_value_invalid", 422, "A field does not take the value it is compared with."),
];

/// The codes that a list may meet.
pub(super) const LIST: Codes = &[
    ("filter_malformed", 422, "The filter is no filter tree; `errors` points at the place."),
    ("filter_field_unknown", 422, "The filter names a field that there is not; the detail lists those there are."),
    ("filter_op_unknown", 422, "The field does not take that op; the detail lists those it takes."),
    ("filter_value_invalid", 422, "The value does not fit the field."),
    ("sort_field_unknown", 422, "There is no such field to sort by; the detail lists those there are."),
    ("group_field_unknown", 422, "There is no such field to group by; the detail lists those there are."),
    ("sum_field_unknown", 422, "There is no such field of whole numbers to add up; the detail lists those there are."),
    ("cursor_invalid", 422, "`after` is no cursor of this list."),
    ("cursor_mismatch", 422, "The cursor belongs to another filter or order."),
];

/// The codes that an export of a list may meet.
pub(super) const EXPORT: Codes = &[
    ("column_unknown", 422, "The list has no such column; the detail names those there are."),
    ("exports_busy", 503, "As many exports are being made as there may be at once."),
];

/// The codes that an archive may meet.
pub(super) const ARCHIVE: Codes = &[("exports_busy", 503, "As many exports are being made as there may be at once.")];

/// The codes that asking for a report's numbers may meet, besides what may be wrong with its definition.
pub(super) const REPORT: Codes = &[
    ("report_range_invalid", 422, "The range ends before it begins, is no range, or has too many periods."),
    ("time_zone_invalid", 422, "There is no such time zone."),
    ("as_of_invalid", 422, "A moment of the past is an instant, a day or a position, and given once."),
];

/// The codes that a page of a report's records may meet.
pub(super) const REPORT_PAGE: Codes = &[
    ("limit_invalid", 422, "The page size is out of range."),
    ("cursor_invalid", 422, "`after` is no cursor of these records."),
    ("cursor_mismatch", 422, "The cursor belongs to another filter or order."),
];

/// The codes that asking for the records behind a number may meet.
/// The codes that a dashboard may meet, besides those of reports.
pub(super) const BOARD: Codes = &[("dashboard_page_unknown", 422, "The dashboard has no such page.")];
/// The codes that a picture of a widget may meet.
pub(super) const BOARD_IMAGE: Codes = &[
    ("dashboard_widget_unknown", 404, "The dashboard has no such widget."),
    ("widget_shape_invalid", 422, "Only charts and numbers are drawn as pictures."),
    ("widget_unavailable", 422, "The widget cannot be told; the detail says why."),
];
pub(super) const REPORT_CELL: Codes = &[("report_cell_invalid", 422, "`cell` is no key of a number of this report.")];

/// The codes that an address of a picture may meet.
pub(super) const PICTURE_ADDRESS: Codes =
    &[("picture_unknown", 404, "There is no such picture, or its address is good no longer.")];

/// The codes that looking through a view may meet.
pub(super) const VIEW: Codes = &[(
    "view_unfit",
    409,
    "The list no longer takes the filter of the view, which would show more without it; `errors` points at the places.",
)];

/// The codes that a list of events may meet.
pub(super) const EVENTS: Codes = &[
    ("event_type_unknown", 422, "There is no such event type."),
    ("category_unknown", 422, "There is no such category."),
];

/// From where nothing can be sent again.
pub(super) const WEBHOOK_REPLAY: Codes =
    &[("position_ahead", 422, "The log has not come to this position; it will not by waiting.")];

/// What a delivery to a webhook may be missing for.
pub(super) const WEBHOOK_DELIVERY: Codes =
    &[("webhook_delivery_unknown", 404, "There is no such delivery, or it is kept no longer.")];

/// The codes that marking notifications may meet.
pub(super) const NOTIFICATIONS: Codes =
    &[("notifications_many", 422, "At most 500 notifications are marked at once, or all that there are.")];

/// The codes that setting up how one is reached may meet.
pub(super) const NOTIFICATION_WAYS: Codes = &[
    ("url_invalid", 422, "A URL is of http or https, and of no private network."),
    ("push_keys_invalid", 422, "The keys are those that the browser tells, in base64url."),
    (
        "notification_medium_unfit",
        422,
        "By this medium nobody is called, or nothing is set up by which one is reached.",
    ),
];

/// The codes that asking about one event may meet.
pub(super) const EVENT: Codes = &[("event_unknown", 404, "There is no event at this position.")];

/// The codes that rehearsing a rule may meet, besides the refusals of rules.
pub(super) const REHEARSAL: Codes =
    &[("rule_event_unfit", 422, "The event is of another type than the draft's trigger.")];

/// The codes that rehearsing a script may meet, besides the refusals of chatbots.
pub(super) const CHATBOT_REHEARSAL: Codes =
    &[("chatbot_rehearsal_unclear", 422, "Either a script is sent, or the id of a chatbot.")];

/// The codes that following the log may meet.
pub(super) const STREAM: Codes =
    &[("last_event_id_invalid", 400, "`Last-Event-ID` is the position of the last event you have seen.")];

/// The codes that naming records as another system does may meet.
pub(super) const EXTERNAL: Codes = &[
    ("external_id_invalid", 422, "A source has 1 to 64 characters, an external id 1 to 200."),
    ("product_unknown", 422, "The body names a product that there is not."),
    ("product_ambiguous", 422, "The body names a product by a name that several have."),
    ("holder_unknown", 422, "The body names a holder that there is not."),
    ("status_invalid", 422, "A status is `active` or `revoked`."),
];

/// The codes that an entitlement as another system tells of it may meet.
pub(super) const UPSERT_ENTITLEMENT: Codes = &[
    ("entitlement_product_differs", 409, "An entitlement keeps its product."),
    ("entitlement_product_missing", 422, "A new entitlement names its product."),
    ("entitlement_holder_missing", 422, "A new entitlement names its holder."),
];

/// The codes that creating a tenant may meet.
pub(super) const TENANT: Codes =
    &[("header_unfit", 400, "`Deskfold-On-Behalf-Of` is sent with what nobody can do for others.")];

/// The codes that a file may meet on its way in.
pub(super) const FILE: Codes = &[
    ("upload_too_large", 413, "The file is larger than the tenant or this server takes."),
    ("upload_empty", 422, "A file has at least one byte."),
    ("upload_type_refused", 422, "The setting `upload_types` has no such type of file."),
    (
        "picture_unreadable",
        422,
        "The file says that it is a picture and cannot be read as one, or unfolds to more than 12,000 pixels each way.",
    ),
    ("files_unavailable", 503, "The place where files are kept cannot be reached now."),
];

/// The codes that a raw mail may meet.
pub(super) const EMAIL: Codes = &[
    ("body_too_large", 413, "A mail has at most 50 MiB."),
    ("email_unavailable", 503, "The mail cannot be kept now."),
];

/// The codes that asking after a mailbox may meet.
pub(super) const MAILBOX: Codes = &[
    ("channel_unknown", 404, "There is no such channel."),
    ("mailbox_unknown", 404, "The channel has no mailbox that mail is fetched from."),
];

/// The codes that asking after a messenger may meet.
pub(super) const MESSENGER: Codes = &[
    ("channel_unknown", 404, "There is no such channel."),
    ("messenger_unknown", 404, "The channel is no messenger's."),
];

/// The codes that what messengers and programs bring may meet.
pub(super) const HOOK: Codes = &[
    ("channel_unknown", 404, "There is no such channel, or nothing is brought to it."),
    ("hook_signature_invalid", 401, "It is not signed as it must be."),
    ("hook_unreadable", 422, "What was brought cannot be read."),
];

/// The codes that what a mail says may meet.
pub(super) const EMAIL_CONTENT: Codes = &[
    ("email_gone", 404, "What came is not kept any more."),
    ("email_unreadable", 409, "The mail cannot be read; it is kept as it came."),
    ("files_unavailable", 503, "The place where files are kept cannot be reached now."),
];

/// The codes that a file in several requests may meet.
pub(super) const TUS: Codes = &[
    ("body_unreadable", 400, "The body broke off."),
    ("tus_header_invalid", 400, "A header of tus is missing or makes no sense; the detail says which."),
    ("upload_unknown", 404, "There is no such upload."),
    ("upload_offset_mismatch", 409, "Another number of bytes has come; `HEAD` tells how many."),
    ("tus_version_unsupported", 412, "`Tus-Resumable` is not `1.0.0`."),
    ("media_type_unsupported", 415, "The bytes are not sent as `application/offset+octet-stream`."),
];

/// The codes that reading a file may meet.
pub(super) const FILE_READ: Codes = &[
    ("thumbnail_missing", 404, "There is no small picture of this file."),
    ("upload_deleted", 410, "The file was deleted."),
    ("range_unsatisfiable", 416, "The file has no such stretch."),
    ("files_unavailable", 503, "The place where files are kept cannot be reached now."),
];

/// The codes that a signed address may meet.
pub(super) const FILE_SIGNED: Codes = &[
    ("file_unknown", 404, "There is no such file, or its address has expired."),
    ("thumbnail_missing", 404, "There is no small picture of this file."),
    ("range_unsatisfiable", 416, "The file has no such stretch."),
    ("files_unavailable", 503, "The place where files are kept cannot be reached now."),
];

/// The codes that an upload may meet.
pub(super) const UPLOAD: Codes = &[
    ("body_unreadable", 400, "The form could not be received."),
    ("body_too_large", 413, "The file, or another field of the form, is larger than this server takes."),
    ("body_invalid", 422, "The form has a field that there is not."),
    ("required", 422, "A field of the form is missing."),
    ("kind_invalid", 422, "A kind is `history`, `entitlements` or `records`."),
    ("dry_run_invalid", 422, "`dry_run` is `true` or `false`."),
    ("file_twice", 422, "An import brings in one file."),
    ("file_invalid", 422, "The file cannot be read, or lacks a column that is needed."),
    ("mapping_invalid", 422, "The mapping makes no sense; `errors` says where."),
    ("external_id_invalid", 422, "A source has 1 to 64 characters, an external id 1 to 200."),
];

/// The codes that a bulk may meet before it begins.
pub(super) const BULK: Codes = &[
    ("bulk_kind_unknown", 422, "There is no kind of record of this name."),
    ("bulk_command_unknown", 422, "The kind has no such command for records that are there."),
    ("bulk_which", 422, "Either ids or a filter say which records."),
    ("bulk_too_many", 422, "So many records are not named one by one; a filter finds any number."),
    ("bulk_filter_unfit", 422, "The kind has no list that could be filtered."),
];

/// The codes that taking up an import again may meet.
pub(super) const RESUME: Codes = &[("import_file_gone", 410, "The file is no longer kept: import it again.")];

/// The codes of what an agency's own site asks.
pub(super) const SITE: Codes = &[
    ("property_unpublished", 422, "The enquiry is about a property that is not published on the site."),
    ("property_unknown", 404, "No such property is published on the site."),
    ("currency_missing", 422, "A price is compared in one currency, and none is said."),
    ("enquiry_unreachable", 422, "Whoever asks has neither an e-mail address nor a number."),
    ("enquiry_too_long", 422, "An enquiry has more words than are taken."),
    ("limit_invalid", 422, "A page has 1 to 100 properties."),
    ("feature_disabled", 403, "The tenant keeps no properties."),
];

/// The codes of what visitors of pages ask, beside those of messages and conversations.
pub(super) const VISITOR: Codes = &[
    ("rate_limited", 429, "Too much at once from this visitor or address; `Retry-After` says when to come back."),
    ("external_id_invalid", 422, "What a page calls a message or a file has 1 to 200 characters."),
    ("limit_invalid", 422, "A page has 1 to 200 messages."),
    ("storage_full", 507, "The database's disk is almost full: nothing is written until there is room."),
    ("busy", 503, "Too many others are changing the conversation."),
    ("header_invalid", 400, "A header is not plain text."),
    ("visitor_token_invalid", 401, "The visitor's token is no token, or another visitor's."),
    ("origin_not_allowed", 403, "Pages of this origin may not speak to the channel."),
    ("files_too_many", 422, "A message has at most 10 files."),
    ("visitor_file_unknown", 422, "This visitor has sent no file of that name, or it was deleted."),
    ("visitor_hash_invalid", 403, "The site does not vouch for this user."),
    ("visitor_unknown", 404, "Nothing was written with this token, or it was given up."),
    ("receipts_invalid", 422, "Too many messages are named at once."),
    ("streams_limited", 429, "An address or a visitor has as many streams open as the server lets them."),
    (
        "visitor_unproven",
        403,
        "Before a chat begins a page shows what the channel wants shown: GET challenge, POST proof.",
    ),
    ("challenge_invalid", 422, "This is no challenge, or not one of this channel's."),
    ("challenge_outdated", 422, "The challenge is too old, or easier than the channel wants it by now."),
    ("challenge_unsolved", 422, "The digest does not begin with so many zeros."),
    ("challenge_spent", 409, "Another visitor has shown this challenge already."),
    ("captcha_missing", 422, "The channel has a captcha, and what it gave the page was not sent."),
    ("captcha_refused", 422, "The service behind the captcha does not say that it was a person."),
    (
        "captcha_unavailable",
        503,
        "The service behind the captcha does not answer, or the channel has no secret for it.",
    ),
];

/// The codes of what only Deskfold itself does.
const OWN: Codes = &[("done_before", 409, "This has been done before.")];

/// The codes of addresses that nothing answers.
pub(super) const NOWHERE: Codes = &[
    ("route_unknown", 404, "There is nothing at this address."),
    ("method_not_allowed", 405, "The address does not take this method."),
];

/// Codes of single faults in `errors`, which also occur alone.
pub const FAULTS: &[(&str, &str)] = &[
    ("required", "A field that must be there is missing."),
    ("unknown_field", "There is no such field."),
    ("unknown_name", "There is no such variant."),
    ("invalid", "The value does not fit; the detail says what would."),
];

impl Code {
    /// What the tables say, in their order.
    pub(super) fn of(tables: &[Codes]) -> Vec<Code> {
        let rows = tables.iter().flat_map(|table| table.iter());
        rows.map(|&(code, status, meaning)| Code { code: code.into(), status, meaning: meaning.into() }).collect()
    }

    /// There is no such record of a kind.
    pub(super) fn unknown(kind: &str) -> Vec<Code> {
        let meaning = format!("There is no such {}.", kind.replace('_', " "));
        vec![Code { code: format!("{kind}_unknown"), status: 404, meaning }]
    }

    /// The refusals of a kind of record.
    pub(super) fn refusals<A: Aggregate>() -> Vec<Code> {
        let refusals = A::refusals().into_iter().map(|refusal| Code {
            code: refusal.code.into_owned(),
            status: status_of(refusal.class).as_u16(),
            meaning: refusal.detail.into_owned(),
        });
        refusals.collect()
    }
}

/// Every code there is with its status, and the kinds of record whose refusal it is; codes of the API itself name none.
pub fn catalogue() -> BTreeMap<(String, u16), (Code, BTreeSet<&'static str>)> {
    struct Refusals(BTreeMap<(String, u16), (Code, BTreeSet<&'static str>)>);
    impl catalogue::Visitor for Refusals {
        fn visit<A: Aggregate>(&mut self) {
            for code in Code::refusals::<A>() {
                let key = (code.code.clone(), code.status);
                self.0.entry(key).or_insert_with(|| (code, BTreeSet::new())).1.insert(A::KIND);
            }
        }
    }
    let mut all = Refusals(BTreeMap::new());
    let api = Code::of(&[
        ANY,
        KEYED,
        SIGN_IN,
        SESSION,
        PICTURE,
        PASSWORD,
        CONFIRM,
        CODE,
        PROVIDER,
        PARAMETERS,
        BODY,
        COMMAND,
        QUERY,
        MOMENT,
        PAST,
        PAGE,
        CALLERS,
        SEARCH,
        LIST,
        EXPORT,
        ARCHIVE,
        VIEW,
        FEED,
        REPORT,
        REPORT_PAGE,
        REPORT_CELL,
        BOARD,
        BOARD_IMAGE,
        PICTURE_ADDRESS,
        EVENTS,
        WEBHOOK_DELIVERY,
        NOTIFICATIONS,
        NOTIFICATION_WAYS,
        EVENT,
        REHEARSAL,
        CHATBOT_REHEARSAL,
        STREAM,
        EXTERNAL,
        UPSERT_ENTITLEMENT,
        TENANT,
        UPLOAD,
        FILE,
        TUS,
        FILE_READ,
        EMAIL,
        EMAIL_CONTENT,
        MAILBOX,
        MESSENGER,
        HOOK,
        FILE_SIGNED,
        BULK,
        RESUME,
        VISITOR,
        SITE,
        OWN,
        NOWHERE,
    ]);
    for code in api {
        all.0.entry((code.code.clone(), code.status)).or_insert_with(|| (code, BTreeSet::new()));
    }
    catalogue::visit_all(&mut all);
    all.0
}
