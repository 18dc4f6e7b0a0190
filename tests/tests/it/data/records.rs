//! Records of every kind from files of other systems: brought up to date by what identifies them, and never merged in silence.

use deskfold_tests::{Client, Reply, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::imports::{counts, ended, events, report};

/// Sends a file of any bytes with the fields of a form.
pub(crate) async fn upload(client: &Client, path: &str, fields: &[(&str, &str)], name: &str, file: &[u8]) -> Reply {
    let mut body = Vec::new();
    for (field, value) in fields {
        body.extend(format!("--X\r\ncontent-disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n").bytes());
    }
    body.extend(format!("--X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n").bytes());
    body.extend(file);
    body.extend(b"\r\n--X--\r\n");
    let request = client.request(Method::POST, path);
    client.send(request.header("content-type", "multipart/form-data; boundary=X").body(body)).await
}

/// Brings records in; how far the import is at its end.
async fn records(client: &Client, mapping: &str, file: &str) -> Value {
    rows(client, &[("mapping", mapping)], file.as_bytes()).await
}

async fn rows(client: &Client, fields: &[(&str, &str)], file: &[u8]) -> Value {
    let fields = [&[("kind", "records")], fields].concat();
    let started = upload(client, "/v1/imports", &fields, "rows.csv", file).await.expect(StatusCode::ACCEPTED);
    let done = ended(client, started["links"]["progress"].as_str().unwrap()).await;
    assert_eq!(done["status"], "completed", "{done}");
    done
}

async fn duplicates(client: &Client, progress: &Value) -> Vec<Value> {
    let found = client.read(progress["links"]["duplicates"].as_str().unwrap()).await;
    found["data"].as_array().unwrap().clone()
}

/// The codes and reasons of refused rows.
async fn refused(client: &Client, progress: &Value) -> Vec<(String, String)> {
    let report = report(client, progress).await;
    report.into_iter().skip(1).map(|row| (row[2].clone(), row[3].clone())).collect()
}

const CONTACTS: &str = r#"
record = "contact"
source = "crm"
key = "{Id}"
[fields]
name = "{First} {Last}"
email = "{E-mail}"
phone = "{Phone}"
company = { column = "Company", missing = "create" }
city = "{City}"
tags = "{Tags}"
[custom]
size = "{Size}"
"#;
const HEADER: &str = "Id,First,Last,E-mail,Phone,Company,City,Tags,Size";

async fn contacts(client: &Client) {
    let field = json!({ "entity": "contact", "key": "size", "type": "number" });
    client.post("/v1/fields", field).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn contacts_come_in_once_and_are_brought_up_to_date() {
    let server = Server::start().await;
    let admin = &server.admin;
    contacts(admin).await;
    let file = format!(
        "{HEADER}\n\
         1,Anna,Rossi,anna@rossi.example.com,+39 06 5550 101,Rossi,Roma,\"vip, buyer\",40\n\
         2,Bruno,,bruno@rossi.example.com,,Rossi,,,\n\
         3,,,nobody@example.com,,,,,\n\
         4,Carla,Verdi,not an address,,,,,\n\
         5,Dario,Neri,,,,,,many\n"
    );
    let done = records(admin, CONTACTS, &file).await;
    assert_eq!(counts(&done), (5, 2, 0, 3), "{:?}", refused(admin, &done).await);
    let codes: Vec<String> = refused(admin, &done).await.into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["value_missing", "email_invalid", "number_invalid"]);
    server.settle().await;

    let anna = admin.read("/v1/contacts/by/external/crm/1").await;
    assert_eq!(
        (&anna["name"], &anna["city"], &anna["custom"]["size"]),
        (&json!("Anna Rossi"), &json!("Roma"), &json!(40))
    );
    let listed = admin.read(&format!("/v1/contacts/{}", anna["id"].as_str().unwrap())).await;
    assert_eq!((&listed["tags"], &listed["company_names"]), (&json!(["buyer", "vip"]), &json!(["Rossi"])), "{listed}");
    assert_eq!(admin.read("/v1/companies?count=exact").await["total"], 1, "one company, made on the way");

    // The same file again says what is so already.
    let before = events(&server.database.pool).await;
    let again = records(admin, CONTACTS, &file).await;
    assert_eq!(counts(&again), (5, 0, 2, 3));
    assert_eq!(events(&server.database.pool).await, before);

    // What is blank takes nothing away, what is new is added.
    let file = format!("{HEADER}\n1,Anna,Bianchi,,,,Milano,\"vip, seller\",\n");
    assert_eq!(counts(&records(admin, CONTACTS, &file).await), (1, 1, 0, 0));
    let anna = admin.read("/v1/contacts/by/external/crm/1").await;
    let told = (&anna["name"], &anna["email"], &anna["city"], &anna["custom"]["size"]);
    assert_eq!(told, (&json!("Anna Bianchi"), &json!("anna@rossi.example.com"), &json!("Milano"), &json!(40)));
    server.settle().await;
    let listed = admin.read(&format!("/v1/contacts/{}", anna["id"].as_str().unwrap())).await;
    assert_eq!(listed["tags"], json!(["buyer", "seller", "vip"]));

    // Everything of it belongs to one story: the import's.
    let history = admin.read(&format!("/v1/contacts/{}/history", anna["id"].as_str().unwrap())).await;
    let imports = admin.read("/v1/imports?sort=started_at").await;
    let stories: Vec<&Value> =
        history["data"].as_array().unwrap().iter().map(|event| &event["correlation_id"]).collect();
    assert!(stories.windows(2).any(|pair| pair[0] != pair[1]), "two imports, two stories: {stories:?}");
    assert_eq!(imports["data"].as_array().unwrap().len(), 3);

    // What is there may be left alone, or only be filled in.
    let more = format!("{HEADER}\n1,Anna,Neri,,+39 06 5550 102,,Torino,,\n2,Bruno,Neri,,,,Torino,,\n");
    let keep = CONTACTS.replacen("record", "existing = \"keep\"\nrecord", 1);
    assert_eq!(counts(&records(admin, &keep, &more).await), (2, 0, 2, 0));
    let fill = CONTACTS.replacen("record", "existing = \"fill\"\nrecord", 1);
    assert_eq!(counts(&records(admin, &fill, &more).await), (2, 1, 1, 0));
    let bruno = admin.read("/v1/contacts/by/external/crm/2").await;
    assert_eq!((&bruno["name"], &bruno["city"]), (&json!("Bruno"), &json!("Torino")));
}

#[tokio::test]
async fn people_are_known_by_their_addresses_and_never_merged_in_silence() {
    let server = Server::start().await;
    let admin = &server.admin;
    let anna = json!({ "name": "Anna Rossi", "email": "anna@rossi.example.com", "phone": "+39 06 5550 101" });
    let anna = admin.create("/v1/contacts", anna).await;
    let mapping = "record = \"contact\"\nsource = \"fair\"\n[fields]\nname = \"{Name}\"\nemail = \"{Mail}\"\n\
                   phone = \"{Phone}\"\ncity = \"{City}\"";
    let file = "Name,Mail,Phone,City\n\
                Anna Rossi,ANNA@rossi.example.com,,Roma\n\
                Bruno Neri,bruno@rossi.example.com,+390655 50101,Bari\n\
                Anna Rossi,anna@home.example.com,+39065550101,\n\
                Anna Rossi,,+39 065550101,Lodi\n\
                Someone,,,\n";
    let done = records(admin, mapping, file).await;
    assert_eq!(counts(&done), (5, 5, 0, 0), "{:?}", refused(admin, &done).await);
    assert_eq!(done["duplicates"], 2);
    server.settle().await;
    assert_eq!(admin.read("/v1/contacts?count=exact").await["total"], 4);
    assert_eq!(admin.read(&format!("/v1/contacts/{anna}")).await["city"], "Lodi", "by e-mail, then by number and name");

    // Who shares a telephone is told, and the number stays where it is.
    let found = duplicates(admin, &done).await;
    let rows: Vec<&Value> = found.iter().map(|row| &row["row"]).collect();
    assert_eq!(rows, [&json!(2), &json!(3)]);
    assert_eq!(found[0]["record"]["name"], "Bruno Neri");
    assert_eq!((&found[0]["candidates"][0]["id"], &found[0]["candidates"][0]["by"]), (&json!(anna), &json!(["phone"])));
    let bruno = found[0]["record"]["id"].as_str().unwrap();
    assert_eq!(admin.read(&format!("/v1/contacts/{bruno}")).await["phone"], Value::Null);

    // A person decides, and there is one duplicate less.
    let other = found[1]["record"]["links"]["merge"].as_str().unwrap().trim_start_matches("/v1");
    admin.run(&format!("/v1{other}"), json!({ "into": anna })).await;
    assert_eq!(duplicates(admin, &done).await.len(), 1);
    let again = records(admin, mapping, file).await;
    assert_eq!((counts(&again).3, &again["duplicates"]), (0, &json!(1)));
    server.settle().await;
    assert_eq!(admin.read("/v1/contacts?count=exact").await["total"], 3);

    // Who sees no contacts is told of none.
    let role = admin.create("/v1/roles", json!({ "name": "clerk", "permissions": ["import.read"] })).await;
    let key = admin.post("/v1/api_keys", json!({ "name": "c", "role": role })).await.expect(StatusCode::CREATED);
    let clerk = server.client(key["key"].as_str().unwrap());
    assert_eq!(duplicates(&clerk, &done).await, Vec::<Value>::new());
    let import = done["links"]["duplicates"].as_str().unwrap();
    server.another_tenant("Other").await.get(import).await.problem(404, "import_unknown");
}

#[tokio::test]
async fn companies_of_one_name_are_one_unless_their_source_says_otherwise() {
    let server = Server::start().await;
    let admin = &server.admin;
    let known = admin.create("/v1/companies", json!({ "name": "Rossi  S.r.l.", "city": "Roma" })).await;
    let mapping =
        "record = \"company\"\nsource = \"erp\"\nkey = \"{No}\"\n[fields]\nname = \"{Name}\"\ncountry = \"{Country}\"";
    let file = "No;Name;Country\n7;rossi s.r.l.;Italy\n8;Rossi S.r.l.;Italy\n9;Verdi;Atlantis\n";
    let done = records(admin, mapping, file).await;
    assert_eq!(counts(&done), (3, 2, 0, 1));
    assert_eq!(refused(admin, &done).await[0].0, "country_unknown");
    // The first is the one that was there; the second has another number there, and is another until somebody says otherwise.
    let first = admin.read("/v1/companies/by/external/erp/7").await;
    assert_eq!((&first["id"], &first["country"], &first["city"]), (&json!(known), &json!("IT"), &json!("Roma")));
    let found = duplicates(admin, &done).await;
    assert_eq!((found.len(), &found[0]["row"], &found[0]["candidates"][0]["by"]), (1, &json!(2), &json!(["name"])));
    let second = admin.read("/v1/companies/by/external/erp/8").await;
    assert_ne!(second["id"], first["id"]);
    assert_eq!(counts(&records(admin, mapping, file).await), (3, 0, 2, 1));

    // Without a number a name that two have means neither.
    let by_name = "record = \"company\"\nsource = \"list\"\n[fields]\nname = \"{Name}\"\nindustry = \"{Industry}\"";
    let done = records(admin, by_name, "Name,Industry\nRossi S.r.l.,Wine\nBianchi,Oil\nbianchi,Olives\n").await;
    assert_eq!(counts(&done), (3, 2, 0, 1));
    assert_eq!(refused(admin, &done).await[0].0, "company_ambiguous");
    server.settle().await;
    assert_eq!(admin.read("/v1/companies?count=exact").await["total"], 3);

    // A rehearsal tells the same and writes nothing.
    let before = events(&server.database.pool).await;
    let other = mapping.replace("erp", "shop");
    let rehearsed =
        rows(admin, &[("mapping", &other), ("dry_run", "true")], "No,Name,Country\n1,Neri,\n2,Neri,\n".as_bytes())
            .await;
    assert_eq!((counts(&rehearsed), &rehearsed["duplicates"]), ((2, 2, 0, 0), &json!(1)));
    assert_eq!(events(&server.database.pool).await, before);
}
