//! How people sign in: the operations of passwords, links, providers, sessions.

use domain::org::{plan::Plan, session::Session, tenant::Tenant, user::User};
use serde_json::{Map, Value, json};

use super::{
    super::org::{hosts, links, me, plan, providers, sign_in},
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
    schemas::refer,
};

/// Where they stand in the document.
const TAG: &str = "sign_in";

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    document.tags.beside(TAG, "user");
    sign_in(document);
    with_links(document);
    with_provider(document);
    oneself(document);
    second_factor(document);
    administration(document);
}

fn example(value: Value) -> Map<String, Value> {
    Map::from_iter([("example1".to_owned(), json!({ "value": value }))])
}

/// An operation that anybody may ask for, with a body of plain fields.
fn open(id: &str, description: &str, schema: Value, like: Value) -> Operation {
    Operation::new(id, TAG, description)
        .open()
        .body(schema, true, example(like))
        .problems("Anybody", Code::of(&[problems::PARAMETERS, problems::BODY, problems::FOREIGN]))
}

/// An operation of whoever is signed in.
fn own(id: &str, description: &str, schema: Value, required: bool, like: Value) -> Operation {
    Operation::new(id, TAG, description)
        .body(schema, required, example(like))
        .problems("Own", Code::of(&[problems::PARAMETERS, problems::BODY, problems::SESSION]))
}

fn led(operation: Operation) -> Operation {
    let description = "To `next`, where a form of HTML (`application/x-www-form-urlencoded`, the same fields) names it. A browser \
     (`Accept: text/html`) whose form is refused is shown the page of the form again, with the status of the problem.";
    operation.answer_as(303, description, json!({}), &["Location"])
}

fn done(operation: Operation) -> Operation {
    led(operation).answer_as(204, "Done.", json!({}), &[])
}

fn sign_in(document: &mut Document) {
    let ways = document.schemas.of::<sign_in::Ways>("");
    let parameters = document.schemas.properties::<sign_in::At>("");
    Operation::new("sign_in_ways", TAG, "Tells how one can sign in at this host name.")
        .open()
        .query(parameters)
        .answer(200, "The ways.", ways, &[])
        .problems("Ways", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/sign_in");
    let progress = document.schemas.of::<sign_in::Progress>("");
    let schema = document.schemas.of::<sign_in::SignIn>("");
    let description = "Signs in by e-mail address and password. The session is in a cookie (`HttpOnly`, `SameSite=Lax`, behind \
        TLS `Secure` and named `__Host-deskfold`); every other operation takes it in place of a key. Where the answer says that \
        more is needed, `POST /v1/sign_in/continue` goes on. Whatever is wrong, the refusal is the same, and takes as long. \
        Who tries too often waits.";
    led(open("sign_in", description, schema, json!({ "email": "anna@example.com", "password": "seven tired otters" })))
        .answer(200, "How far it has come.", progress.clone(), &[])
        .problems("SignIn", [Code::of(&[problems::SIGN_IN]), Code::refusals::<Session>()].concat())
        .at(document, "post", "/v1/sign_in");
    let schema = document.schemas.of::<sign_in::Continue>("");
    let description = "Goes on where more was needed: with the tenant chosen, or with a code of the app or a recovery code. A \
        cookie that `POST /v1/sign_in` has set knows what was said before.";
    led(open("sign_in_continue", description, schema, json!({ "code": "123456" })))
        .answer(200, "How far it has come.", progress, &[])
        .problems("SignIn", [Code::of(&[problems::SIGN_IN]), Code::refusals::<Session>()].concat())
        .at(document, "post", "/v1/sign_in/continue");
    let schema = document.schemas.of::<sign_in::Forgotten>("");
    let description = "Asks for help with a forgotten password. The answer is the same whether or not there is such a user. The \
        event `user.password_forgotten` tells whoever may hand out links.";
    done(open("sign_in_forgotten", description, schema, json!({ "email": "anna@example.com" })))
        .problems("Forgotten", Code::of(&[problems::ATTEMPTS]))
        .at(document, "post", "/v1/sign_in/forgotten");
}

fn with_links(document: &mut Document) {
    let (schema, link) = (document.schemas.of::<sign_in::Look>(""), document.schemas.of::<sign_in::Link>(""));
    let like = "https://desk.example.com/link/3f9a";
    open(
        "link_look",
        "Tells what a link is for and whose it is, as long as it is good.",
        schema,
        json!({ "link": like }),
    )
    .answer(200, "What it is for.", link, &[])
    .problems("Link", Code::refusals::<User>())
    .at(document, "post", "/v1/links/look");
    let schema = document.schemas.of::<sign_in::Follow>("");
    let description = "Follows a link: sets the password and signs in, or confirms the address. A link is good once. A new \
        password ends all other sessions.";
    let like = json!({ "link": like, "password": "seven tired otters" });
    led(open("link_follow", description, schema, like))
        .answer(200, "How far it has come.", refer("SignInProgress"), &[])
        .problems("Link", Code::refusals::<User>())
        .problems("FollowLink", [Code::of(&[problems::PASSWORD]), Code::refusals::<Session>()].concat())
        .at(document, "post", "/v1/links/follow");
}

fn with_provider(document: &mut Document) {
    let parameters = document.schemas.properties::<sign_in::ToProvider>("");
    Operation::new(
        "sign_in_provider",
        TAG,
        "Leads to the tenant's OpenID provider, to sign in there (authorization code with PKCE).",
    )
    .open()
    .query(parameters)
    .answer_as(303, "To the provider.", json!({}), &["Location"])
    .problems("Provider", Code::of(&[problems::PARAMETERS, problems::PROVIDER]))
    .at(document, "get", "/v1/sign_in/provider");
    let parameters = document.schemas.properties::<sign_in::FromProvider>("");
    let refusals = [Code::refusals::<User>(), Code::refusals::<Session>()].concat();
    Operation::new(
        "sign_in_provider_callback",
        TAG,
        "Takes whoever comes back from the OpenID provider in: whom it has been known to be before, who has the address that it \
         has verified, or, where the tenant wants that, a new colleague.",
    )
    .open()
    .query(parameters)
    .answer_as(303, "To where one wanted to go.", json!({}), &["Location"])
    .problems("Provider", Code::of(&[problems::PARAMETERS, problems::PROVIDER]))
    .problems("FromProvider", refusals)
    .at(document, "get", "/v1/sign_in/provider/callback");
}

fn oneself(document: &mut Document) {
    let who = document.schemas.of::<me::Me>("");
    Operation::new("me", TAG, "Tells who asks, and what he or the key may do.")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "You.", who, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/me");
    let sessions = document.schemas.of::<me::Sessions>("");
    Operation::new("my_sessions", TAG, "Lists one's sessions that last, with device, address and times.")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The sessions.", sessions, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/me/sessions");
    let schema = document.schemas.of::<me::Which>("");
    let like = json!({ "session": "01K9Z3T8W0QX6V5N4M3K2J1H0G" });
    done(own("my_session_end", "Ends one of one's own sessions.", schema, true, like))
        .problems("EndSession", Code::refusals::<Session>())
        .at(document, "post", "/v1/me/end_session");
    let schema = document.schemas.of::<me::Plain>("");
    done(own("sign_out", "Signs out: ends the session that asks.", schema.clone(), false, json!({})))
        .problems("EndSession", Code::refusals::<Session>())
        .at(document, "post", "/v1/me/sign_out");
    done(own("sign_out_everywhere", "Ends all of one's sessions.", schema, false, json!({})))
        .problems("EndSession", Code::refusals::<Session>())
        .at(document, "post", "/v1/me/sign_out_everywhere");
    let schema = document.schemas.of::<me::ChangePassword>("");
    let description = "Sets another password: 12 to 256 characters of any kind, not one that attackers try first, without one's \
        name and address. All sessions end; whoever asks goes on in a new one.";
    let like = json!({ "current": "seven tired otters", "password": "eight happy otters" });
    led(own("my_password_change", description, schema, true, like))
        .answer(200, "In a new session.", refer("SignInProgress"), &[])
        .problems("Confirmed", [Code::of(&[problems::PASSWORD, problems::CONFIRM]), Code::refusals::<User>()].concat())
        .problems("ChangePassword", Code::refusals::<Session>())
        .at(document, "post", "/v1/me/change_password");
    let schema = document.schemas.of::<me::ChangeProfile>("");
    let description =
        "Changes one's own name, phone number, language and time zone: what is named changes, null clears.";
    done(own("my_profile_change", description, schema, true, json!({ "locale": "cs", "time_zone": "Europe/Prague" })))
        .problems("OfOneself", Code::refusals::<User>())
        .at(document, "post", "/v1/me/change_profile");
    let schema = document.schemas.of::<me::SetPresence>("");
    let description = "Says whether one is there to work.";
    done(own("my_presence_set", description, schema, true, json!({ "presence": "online" })))
        .problems("OfOneself", Code::refusals::<User>())
        .at(document, "post", "/v1/me/set_presence");
    let file = json!({ "type": "string", "format": "binary" });
    let binary = "application/octet-stream";
    let description = "Changes one's own picture: a file in JPEG, PNG or WebP of at most 10 MiB, in whatever media type. It is cut to a \
        square of 256 pixels, and nothing else of the file is kept.";
    Operation::new("my_picture_change", TAG, description)
        .body_as(&[binary], file.clone(), true, Map::new())
        .answer_as(204, "Done.", json!({}), &[])
        .problems("Picture", Code::of(&[problems::PICTURE, problems::SESSION, problems::FOREIGN]))
        .at(document, "put", "/v1/me/picture");
    Operation::new("my_picture_remove", TAG, "Removes one's own picture: colleagues see initials again.")
        .answer_as(204, "Done.", json!({}), &[])
        .problems("OwnPicture", Code::of(&[problems::SESSION, problems::FOREIGN]))
        .at(document, "delete", "/v1/me/picture");
    let id = id_of::<User>(document);
    let media_types = [binary, "image/jpeg", "image/png", "image/svg+xml"];
    let picture =
        media_types.map(|name| (name.to_owned(), json!({ "schema": file }))).into_iter().collect::<Map<_, _>>().into();
    let description = "The picture of a colleague, as JPEG or PNG; the initials as SVG of whoever has none. `ETag` and \
        `If-None-Match` spare sending it again.";
    Operation::new("user_picture", "users", description)
        .parameter(id)
        .shared(&["Deskfold-On-Behalf-Of"])
        // Generators of clients that know no pictures take the first for what it is: bytes.
        .answer_as(200, "The picture.", picture, &["ETag"])
        .answer_as(304, "It is the one that is known.", json!({}), &["ETag"])
        .problems("Unknown", [Code::of(&[problems::PARAMETERS]), Code::refusals::<User>()].concat())
        .at(document, "get", "/v1/users/{id}/picture");
    let schema = document.schemas.of::<me::RequestEmail>("");
    let description = "Asks for another address, which becomes one's own when a link is followed that is sent there. The event \
        `user.email_change_requested` tells whoever may hand out links.";
    let like = json!({ "email": "anna.bianchi@example.com", "password": "seven tired otters" });
    done(own("my_email_request", description, schema, true, like))
        .problems("Confirmed", [Code::of(&[problems::PASSWORD, problems::CONFIRM]), Code::refusals::<User>()].concat())
        .at(document, "post", "/v1/me/request_email");
}

fn second_factor(document: &mut Document) {
    let confirm = document.schemas.of::<me::Confirm>("");
    let like = || json!({ "password": "seven tired otters" });
    let codes = document.schemas.of::<me::Codes>("");
    let confirmed = || [Code::of(&[problems::PASSWORD, problems::CONFIRM]), Code::refusals::<User>()].concat();
    let prepared = document.schemas.of::<me::Prepared>("");
    let description = "Makes a secret for an app that makes codes (TOTP, RFC 6238: SHA-1, six digits, 30 seconds). It is in \
        force when a code of it was given to `enable_second_factor`.";
    own("my_second_factor_prepare", description, confirm.clone(), true, like())
        .answer(200, "The secret.", prepared, &[])
        .problems("Confirmed", confirmed())
        .at(document, "post", "/v1/me/prepare_second_factor");
    let schema = document.schemas.of::<me::WithCode>("");
    let description =
        "From now on a code of the app is needed to sign in. The answer has ten recovery codes, each good once.";
    own("my_second_factor_enable", description, schema, true, json!({ "code": "123456" }))
        .answer(200, "The recovery codes.", codes.clone(), &[])
        .problems("Confirmed", confirmed())
        .problems("EnableSecondFactor", Code::of(&[problems::CODE]))
        .at(document, "post", "/v1/me/enable_second_factor");
    done(own("my_second_factor_disable", "From now on the password is enough.", confirm.clone(), true, like()))
        .problems("Confirmed", confirmed())
        .at(document, "post", "/v1/me/disable_second_factor");
    own(
        "my_recovery_codes_replace",
        "Makes ten new recovery codes; the old ones are worthless.",
        confirm,
        true,
        like(),
    )
    .answer(200, "The recovery codes.", codes, &[])
    .problems("Confirmed", confirmed())
    .at(document, "post", "/v1/me/replace_recovery_codes");
}

fn administration(document: &mut Document) {
    let headers = ["ETag", "Deskfold-Position", "Idempotency-Replayed"];
    let schema = document.schemas.of::<links::New>("Link");
    let issued = json!({
        "allOf": [refer("Accepted"), {
            "type": "object",
            "properties": { "link": {
                "type": "string",
                "description": "The link itself; it is shown this once, and not again to a retry.",
            } },
        }],
    });
    let issued = document.schemas.add("IssuedLink", issued);
    let id = id_of::<User>(document);
    Operation::new(
        "user_issue_link",
        "users",
        "Makes a link to hand to a user: an invitation or help for a forgotten password (`password`), or to confirm the address \
         that the user wants (`email`), which must be sent to that address. Only the latest of each purpose is good, once, for a \
         while. Nobody gets a link of somebody who may do more than he.",
    )
    .permission("user.issue_link")
    .parameter(id)
    .write()
    .shared(&["Deskfold-On-Behalf-Of"])
    .body(schema, true, example(json!({ "purpose": "password" })))
    .answer(200, "The link.", issued, &headers)
    .problems("IssueLink", Code::refusals::<User>())
    .at(document, "post", "/v1/users/{id}/issue_link");
    let names = document.schemas.of::<hosts::HostNames>("");
    Operation::new("host_names_list", "tenants", "Lists the host names by which people come to the tenant.")
        .permission("tenant.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The names.", names, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/host_names");
    let schema = document.schemas.of::<hosts::HostName>("");
    for (path, id, description) in [
        ("/v1/host_names", "host_name_add", "Says that whoever comes by a host name signs in to this tenant alone."),
        ("/v1/host_names/remove", "host_name_remove", "Gives a host name back."),
    ] {
        Operation::new(id, "tenants", format!("{description} Only people of the first tenant of a deployment can."))
            .permission("tenant.operate")
            .write()
            .shared(&["Deskfold-On-Behalf-Of"])
            .body(schema.clone(), true, example(json!({ "host": "desk.example.com" })))
            .answer(200, "What was written.", refer("Accepted"), &headers)
            .problems("OwnTenant", Code::refusals::<Tenant>())
            .at(document, "post", path);
    }
    let shown = document.schemas.of::<providers::Shown>("");
    Operation::new("identity_provider_show", "tenants", "Tells by which OpenID provider people sign in.")
        .permission("tenant.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The provider, without its secret.", shown, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/identity_provider");
    let schema = document.schemas.of::<providers::New>("IdentityProvider");
    let like = json!({
        "name": "Example", "issuer": "https://id.example.com", "client_id": "deskfold", "client_secret": "secret",
        "first_sign_in": "match",
    });
    Operation::new(
        "identity_provider_set",
        "tenants",
        "Says by which OpenID provider people sign in. Register `/v1/sign_in/provider/callback` there as the place to come back \
         to. Only whoever can do everything names the provider: it says who gets in as whom.",
    )
    .permission("tenant.set_identity_provider")
    .write()
    .shared(&["Deskfold-On-Behalf-Of"])
    .body(schema, true, example(like))
    .answer(200, "What was written.", refer("Accepted"), &headers)
    .problems("OwnTenant", Code::refusals::<Tenant>())
    .at(document, "put", "/v1/identity_provider");
    Operation::new("identity_provider_remove", "tenants", "Nobody signs in by an OpenID provider any more.")
        .permission("tenant.set_identity_provider")
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "What was written.", refer("Accepted"), &headers)
        .problems("OwnTenant", Code::refusals::<Tenant>())
        .at(document, "delete", "/v1/identity_provider");
    let shown = document.schemas.of::<plan::Shown>("");
    Operation::new("plan_show", "tenants", "Tells the plan of the tenant, and how many of its seats are taken.")
        .permission("tenant.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The plan.", shown, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/plan");
    let seats = document.schemas.of::<plan::Seats>("");
    Operation::new("seats_show", "tenants", "Tells how many seats the tenant has, and how many are taken.")
        .permission("tenant.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The seats.", seats, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/tenants/me/seats");
    let schema = document.schemas.of::<plan::New>("");
    Operation::new(
        "plan_set",
        "tenants",
        "Says what is agreed with a tenant. Whoever is invited or active has a seat; where all are taken nobody else is invited \
         or let in again (409 `seats_taken`). Fewer seats than are taken shut nobody out. Only people of the first tenant of \
         a deployment can.",
    )
    .permission("tenant.operate")
    .write()
    .shared(&["Deskfold-On-Behalf-Of"])
    .body(schema, true, example(json!({ "plan": Plan::example() })))
    .answer(200, "What was written.", refer("Accepted"), &headers)
    .problems("OwnTenant", Code::refusals::<Tenant>())
    .at(document, "put", "/v1/plan");
}
