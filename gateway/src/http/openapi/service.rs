//! The operations that belong to no kind of record in particular: keys, tenants, the service itself.

use serde_json::{Map, Value, json};

use super::{
    super::{
        kernel::health,
        org::{keys, settings, tenants},
    },
    Document,
    operation::Operation,
    problems::{self, Code},
    schemas::refer,
};

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    api_keys(document);
    tenants(document);
    health(document);
    pages(document);
}

fn example(value: Value) -> Map<String, Value> {
    Map::from_iter([("example1".to_owned(), json!({ "value": value }))])
}

fn api_keys(document: &mut Document) {
    let new = document.schemas.of::<keys::New>("ApiKey");
    let issued = json!({
        "allOf": [refer("Accepted"), {
            "type": "object",
            "properties": { "key": {
                "type": "string",
                "description": "The key itself; it is shown this once, and not again to a retry.",
            } },
        }],
    });
    let issued = document.schemas.add("IssuedApiKey", issued);
    let headers = ["Location", "ETag", "Deskfold-Position", "Idempotency-Replayed"];
    Operation::new(
        "api_key_issue",
        "api_keys",
        "Issues an API key. Its secret is shown this once: only a digest is kept. A retry with the same `Idempotency-Key` is \
         answered without it and makes no second key: if the answer was lost, revoke the key and issue another.",
    )
    .permission("api_key.issue")
    .write()
    .shared(&["Deskfold-On-Behalf-Of"])
    .body(new, true, example(json!({ "name": "Mail gateway", "expires_at": "2027-01-01T00:00:00Z" })))
    .answer(201, "The key.", issued, &headers)
    .answer(200, "What a rehearsal would write; there is no key then.", refer("Accepted"), &headers[1..])
    .problems("IssueApiKey", Code::refusals::<domain::org::api_key::ApiKey>())
    .at(document, "post", "/v1/api_keys");
    let permissions = document.schemas.of::<keys::Permissions>("");
    Operation::new("permissions_list", "roles", "Lists everything that a role can permit.")
        .permission("role.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "Permissions by name.", permissions, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/permissions");
}

fn tenants(document: &mut Document) {
    let new = document.schemas.of::<tenants::New>("Tenant");
    let created = json!({
        "allOf": [refer("Accepted"), {
            "type": "object",
            "required": ["admin"],
            "properties": {
                "admin": refer("Id"),
                "key": {
                    "type": "string",
                    "description": "The admin's API key; it is shown this once, and not again to a retry.",
                },
            },
        }],
    });
    let created = document.schemas.add("CreatedTenant", created);
    let headers = ["Location", "ETag", "Deskfold-Position", "Idempotency-Replayed"];
    let mut codes = Code::refusals::<domain::org::tenant::Tenant>();
    codes.extend(Code::refusals::<domain::org::user::User>().into_iter().filter(|code| code.status == 422));
    codes.extend(Code::of(&[problems::TENANT]));
    Operation::new(
        "tenant_create",
        "tenants",
        "Creates a tenant with its roles and its first admin. Only people of the first tenant of a deployment can. A retry \
         with the same `Idempotency-Key` finds the tenant that was made, and makes what is missing of it; the admin's key \
         is shown once. If that answer was lost, `deskfold key issue` makes another.",
    )
    .permission("tenant.operate")
    .write()
    .body(new, true, example(json!({ "name": "Acme", "admin_email": "ada@acme.example" })))
    .answer(201, "The tenant, and its admin's key.", created.clone(), &headers)
    .answer(200, "What a rehearsal would write; there is no key then.", created, &headers[1..])
    .problems("CreateTenant", codes)
    .at(document, "post", "/v1/tenants");
    let settings = document.schemas.of::<settings::Settings>("");
    Operation::new("settings_list", "tenants", "Lists everything that can be set, with its value and its default.")
        .permission("tenant.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The settings.", settings, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/settings");
    let features = document.schemas.of::<settings::Features>("");
    Operation::new("features_list", "tenants", "Lists the features, and which of them are on.")
        .permission("tenant.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The features.", features, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/features");
}

fn health(document: &mut Document) {
    let alive = document.schemas.of::<health::Alive>("");
    Operation::new("alive", "service", "Tells that the process lives.")
        .open()
        .answer(200, "It does.", alive, &[])
        .at(document, "get", "/healthz");
    let ready = document.schemas.of::<health::Ready>("");
    Operation::new("ready", "service", "Tells whether the process can work.")
        .open()
        .answer(200, "It can.", ready.clone(), &[])
        .answer(503, "It cannot, and what is missing.", ready, &[])
        .at(document, "get", "/readyz");
    let content = json!({ "text/plain": { "schema": { "type": "string" } } });
    Operation::new("metrics", "service", "Tells what the process counts, as Prometheus reads it.")
        .open()
        .answer_as(200, "Metrics in Prometheus' text format.", content, &[])
        .at(document, "get", "/metrics");
}

fn pages(document: &mut Document) {
    let itself = json!({ "type": "object", "description": "An OpenAPI 3.1 document." });
    let itself = document.schemas.add("OpenApiDocument", itself);
    let content = json!({ "application/json": { "schema": itself } });
    let description = "Answers with this document. Asked with a key or by whoever is signed in, it also tells the custom fields of \
        that tenant, and leaves out what belongs to features that are switched off.";
    Operation::new("openapi", "service", description)
        .open()
        .shared(&["If-None-Match"])
        .answer_as(200, "An OpenAPI 3.1 document.", content, &["ETag"])
        .answer_as(304, "It is still what `If-None-Match` names.", json!({}), &["ETag"])
        .problems("Document", Code::of(&[problems::KEYED]).into_iter().filter(|code| code.status == 401).collect())
        .at(document, "get", "/v1/openapi.json");
    let html = || json!({ "text/html": { "schema": { "type": "string" } } });
    Operation::new("docs", "service", "Shows this document in a browser.")
        .open()
        .shared(&["If-None-Match"])
        .answer_as(200, "A page.", html(), &["ETag"])
        .answer_as(304, "It is still what `If-None-Match` names.", json!({}), &["ETag"])
        .at(document, "get", "/docs");
    let text = json!({ "schema": { "type": "string" } });
    let any = json!({ "text/javascript": text, "text/css": text, "text/plain": text });
    let files =
        json!({ "type": "string", "enum": super::pages::FILES, "description": "A file of the documentation page." });
    let files = document.schemas.add("DocsFile", files);
    let asset = super::operation::in_path("file", "Its name.", files);
    Operation::new("docs_file", "service", "Answers with a file that the documentation page needs.")
        .open()
        .parameter(asset)
        .shared(&["If-None-Match"])
        .answer_as(200, "The file.", any, &["ETag"])
        .answer_as(304, "It is still what `If-None-Match` names.", json!({}), &["ETag"])
        .problems("DocsFile", Code::of(&[problems::NOWHERE]).into_iter().filter(|code| code.status == 404).collect())
        .at(document, "get", "/docs/{file}");
}
