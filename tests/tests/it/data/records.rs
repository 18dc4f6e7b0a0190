//! Records of every kind from files of other systems: brought up to date by what identifies them, and never merged in silence.

use clap::Parser;
use deskfold_tests::{Client, Reply, Server, config, database, root};
use encoding_rs::Encoding;
use gateway::{App, config::Cli};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    bulk::undone,
    imports::{counts, ended, events, report},
};

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
    let told = (&listed["tags"], &listed["companies"][0]["name"]);
    assert_eq!(told, (&json!(["buyer", "vip"]), &json!("Rossi")), "{listed}");
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

    // Each is taken back by itself, the last one first: what it changed is as it was, and whom it brought in is put away.
    server.settle().await;
    let imports = admin.read("/v1/imports?sort=started_at").await;
    let of = |place: usize| format!("/v1/imports/{}", imports["data"][place]["id"].as_str().unwrap());
    for place in [4, 2] {
        let (_, found) = undone(admin, &of(place), json!({})).await;
        assert_eq!((&found["counts"]["applied"], &found["counts"]["refused"]), (&json!(1), &json!(0)), "{found}");
    }
    let listed = admin.read("/v1/contacts/by/external/crm/1").await;
    let told = (&listed["name"], &listed["city"], &listed["email"]);
    assert_eq!(told, (&json!("Anna Rossi"), &json!("Roma"), &json!("anna@rossi.example.com")));
    let (_, found) = undone(admin, &of(0), json!({})).await;
    assert_eq!(found["counts"]["refused"], 0, "{found}");
    server.settle().await;
    for path in ["/v1/contacts?count=exact", "/v1/companies?count=exact"] {
        assert_eq!(admin.read(path).await["total"], 0, "{path}");
    }
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

/// The only record of a collection that a filter finds.
async fn only(client: &Client, path: &str, field: &str, value: &str) -> Value {
    let filter = json!({ "field": field, "op": "eq", "value": value });
    let found = client.post(&format!("/v1/{path}/search"), json!({ "filter": filter })).await.expect(StatusCode::OK);
    assert_eq!(found["data"].as_array().unwrap().len(), 1, "{path} {value}: {found}");
    found["data"][0].clone()
}

/// For each kind a mapping, a file, the same file with something else, and what is then to be seen.
struct Film {
    path: &'static str,
    mapping: &'static str,
    file: &'static str,
    later: &'static str,
    find: (&'static str, &'static str),
    seen: Value,
}

fn films() -> Vec<Film> {
    vec![
        Film {
            path: "companies",
            mapping: "record = \"company\"\nkey = \"{id}\"\n[fields]\nname = \"{name}\"\ndomain = \"{domain}\"\nowner = \"{owner}\"",
            file: "id,name,domain,owner\n1,Rossi,rossi.example.com,ugo@desk.example.com\n",
            later: "id,name,domain,owner\n1,Rossi Vini,,Ugo\n",
            find: ("name", "Rossi Vini"),
            seen: json!({ "domain": "rossi.example.com", "owner_name": "Ugo" }),
        },
        Film {
            path: "properties",
            mapping: "record = \"property\"\nkey = \"{no}\"\n[fields]\nname = \"{title}\"\nkind = \"{kind}\"\nrooms = \"{rooms}\"\n\
                      price = { amount = \"{price}\", currency = \"EUR\" }\nfeatures = \"{has}\"\nlocation = { latitude = \"{lat}\", longitude = \"{lon}\" }",
            file: "no,title,kind,rooms,price,has,lat,lon\n7,Flat by the sea,Apartment,3,\"250,000.00\",\"lift, balcony\",44.06,12.56\n",
            later: "no,title,kind,rooms,price,has,lat,lon\n7,Flat by the sea,,4,,,,\n",
            find: ("name", "Flat by the sea"),
            seen: json!({ "kind": "apartment", "rooms": 4, "price": { "amount": "250000.00", "currency": "EUR" },
                "features": ["balcony", "lift"], "location": { "latitude": "44.06", "longitude": "12.56" } }),
        },
        Film {
            path: "products",
            mapping: "record = \"product\"\nsource = \"shop\"\nkey = \"{sku}\"\n[fields]\nname = \"{name}\"\nsku = \"{sku}\"\nprice = \"{price}\"\n\
                      category = { column = \"group\", missing = \"create\" }",
            file: "sku,name,price,group\nA-1,Chair,12.50 EUR,Furniture\n",
            later: "sku,name,price,group\nA-1,Chair,13 EUR,Furniture\n",
            find: ("sku", "A-1"),
            seen: json!({ "name": "Chair", "price": { "amount": "13", "currency": "EUR" }, "category_name": "Furniture" }),
        },
        Film {
            path: "orders",
            mapping: "record = \"order\"\nsource = \"shop\"\ncreated = \"{at}\"\n[fields]\nexternal_number = \"{no}\"\n\
                      customer = \"{mail}\"\ncompany = { column = \"firm\", missing = \"leave\" }\nstatus = \"{status}\"\n\
                      items = [{ name = \"{what}\", quantity = \"{pieces}\", price = { amount = \"{each}\", currency = \"EUR\" } }]",
            file: "no,mail,firm,status,what,pieces,each,at\n77,anna@rossi.example.com,Nobody,new,Chair,4,12.50,2026-03-01T10:00:00Z\n",
            later: "no,mail,firm,status,what,pieces,each,at\n77,anna@rossi.example.com,,shipped,Chair,5,12.50,2026-03-01T10:00:00Z\n",
            find: ("external_number", "77"),
            seen: json!({ "source": "shop", "status": "shipped", "customer_name": "Anna",
                "total": { "amount": "62.50", "currency": "EUR" } }),
        },
        Film {
            path: "leads",
            mapping: "record = \"lead\"\nkey = \"{id}\"\n[fields]\nname = \"{name}\"\nphone = \"{phone}\"\nstage = \"{stage}\"\nstatus = \"{state}\"",
            file: "id,name,phone,stage,state\n5,Oleg,+7 812 555 0101,contacted,open\n",
            later: "id,name,phone,stage,state\n5,Oleg,,qualified,lost\n",
            find: ("name", "Oleg"),
            seen: json!({ "stage": "qualified", "status": "lost", "phone_e164": "+78125550101" }),
        },
        Film {
            path: "tasks",
            mapping: "record = \"task\"\nkey = \"{id}\"\n[fields]\ntitle = \"{what}\"\npriority = { column = \"how\", values = { low = 0, high = 2 } }\n\
                      due_at = \"{due}\"\nassignee = \"{who}\"\nstatus = \"{state}\"\nsubjects = [{ kind = \"contact\", id = \"{about}\" }]\n\
                      [time]\nformat = \"%d.%m.%Y %H:%M\"\nzone = \"Europe/Prague\"",
            file: "id,what,how,due,who,state,about\n3,Call back,high,01.12.2096 10:00,ugo@desk.example.com,open,anna@rossi.example.com\n",
            later: "id,what,how,due,who,state,about\n3,Call back,low,02.12.2096 10:00,Ugo,completed,\n",
            find: ("title", "Call back"),
            seen: json!({ "priority": 0, "due_at": "2096-12-02T09:00:00Z", "assignee_name": "Ugo", "status": "completed" }),
        },
        Film {
            path: "deals",
            mapping: "record = \"deal\"\nkey = \"{id}\"\n[fields]\nname = \"{name}\"\ncontact = \"{who}\"\nexpected_on = \"{on}\"\nstatus = \"{state}\"",
            file: "id,name,who,on,state\n3,Chairs,anna@rossi.example.com,2026-12-25 00:00,open\n",
            later: "id,name,who,on,state\n3,Chairs,+39 06 5550101,2026-12-26,won\n",
            find: ("name", "Chairs"),
            seen: json!({ "contact_name": "Anna", "expected_on": "2026-12-26", "status": "won" }),
        },
        Film {
            path: "tickets",
            mapping: "record = \"ticket\"\nkey = \"{id}\"\ncreated = \"{at}\"\n[fields]\ntitle = \"{what}\"\npriority = \"{how}\"\nstatus = \"{state}\"\n\
                      requester = { kind = \"contact\", id = \"{who}\" }\ntags = \"{tags}\"",
            file: "id,what,how,state,who,tags,at\n9,Broken,1,open,anna@rossi.example.com,a,2026-02-03 10:00\n",
            later: "id,what,how,state,who,tags,at\n9,Broken,2,closed,anna@rossi.example.com,\"a,b\",2026-02-03 10:00\n",
            find: ("title", "Broken"),
            seen: json!({ "priority": 2, "status": "closed", "requester_name": "Anna", "tags": ["a", "b"] }),
        },
        Film {
            path: "projects",
            mapping: "record = \"project\"\n[fields]\nname = \"{name}\"\ndescription = \"{about}\"",
            file: "name,about\nMove,Everything\n",
            later: "name,about\nMOVE,All of it\n",
            find: ("name", "MOVE"),
            seen: json!({ "description": "All of it" }),
        },
    ]
}

#[tokio::test]
async fn records_of_every_kind_come_in_and_are_brought_up_to_date() {
    let server = Server::start().await;
    let admin = &server.admin;
    admin.create("/v1/users", json!({ "name": "Ugo", "email": "ugo@desk.example.com" })).await;
    let anna = json!({ "name": "Anna", "email": "anna@rossi.example.com", "phone": "+39 06 5550 101" });
    admin.create("/v1/contacts", anna).await;
    for Film { path, mapping, file, later, find, seen } in films() {
        let done = records(admin, mapping, file).await;
        assert_eq!(counts(&done), (1, 1, 0, 0), "{path}: {:?}", refused(admin, &done).await);
        let before = events(&server.database.pool).await;
        let again = records(admin, mapping, file).await;
        assert_eq!(counts(&again), (1, 0, 1, 0), "{path} again: {:?}", refused(admin, &again).await);
        assert_eq!(events(&server.database.pool).await, before, "{path}");
        let done = records(admin, mapping, later).await;
        assert_eq!(counts(&done), (1, 1, 0, 0), "{path} later: {:?}", refused(admin, &done).await);
        let again = records(admin, mapping, later).await;
        assert_eq!(counts(&again), (1, 0, 1, 0), "{path} later again: {:?}", refused(admin, &again).await);
        server.settle().await;
        let found = only(admin, path, find.0, find.1).await;
        for (name, value) in seen.as_object().unwrap() {
            assert_eq!(&found[name], value, "{path} {name}: {found}");
        }
    }
    let ticket = only(admin, "tickets", "title", "Broken").await;
    assert_eq!(
        ticket["opened_at"].as_str().or(ticket["created_at"].as_str()),
        Some("2026-02-03T10:00:00Z"),
        "{ticket}"
    );

    // What cannot be found is told with its place, and nothing of the row comes in.
    let orders = &films()[3];
    let done = records(admin, orders.mapping, &orders.file.replace("anna@", "nobody@").replace("77", "78")).await;
    let refused = refused(admin, &done).await;
    assert_eq!((refused.len(), refused[0].0.as_str()), (1, "contact_unknown"));
    assert!(refused[0].1.starts_with("customer:"), "{refused:?}");
}

#[tokio::test]
async fn files_come_in_whatever_they_are_written_in() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mapping = |more: &str| {
        format!("record = \"company\"\nkey = \"{{Id}}\"\n{more}\n[fields]\nname = \"{{Name}}\"\ncity = \"{{City}}\"")
    };
    let czech =
        "Id;Name;City\n{n};Dvořákův pivovar;Plzeň\n{n}1;Němcova pekárna;Ústí nad Labem\n{n}2;Křížova hospoda;Třebíč\n";
    let russian = "Id\tName\tCity\n{n}\tРомашка, общество\tСанкт-Петербург\n{n}1\tРога и копыта\tНижний Новгород\n";
    let french = "Id,Name,City\n{n},\"Müller, Renée\",Besançon\n{n}1,Fürst & Söhne,Orléans\n";
    let quoted = "'Id'|'Name'|'City'\n'{n}'|'A|B'|'Bari'\n";
    let cases: [(&str, &str, &str, &str); 9] = [
        ("UTF-8", "", french, "Besançon"),
        ("UTF-8", "", quoted, "Bari"),
        ("windows-1250", "", czech, "Plzeň"),
        ("windows-1251", "", russian, "Санкт-Петербург"),
        ("windows-1252", "", french, "Besançon"),
        ("ISO-8859-2", "[file]\nencoding = \"ISO-8859-2\"", czech, "Plzeň"),
        ("ISO-8859-5", "[file]\nencoding = \"ISO-8859-5\"", russian, "Санкт-Петербург"),
        ("UTF-16LE", "", russian, "Санкт-Петербург"),
        ("UTF-16BE", "", czech, "Plzeň"),
    ];
    for (at, (name, more, text, city)) in cases.into_iter().enumerate() {
        let text = text.replace("{n}", &format!("{}", at + 1));
        let bytes: Vec<u8> = match name {
            "UTF-16LE" => format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "UTF-16BE" => format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect(),
            name => Encoding::for_label(name.as_bytes()).unwrap().encode(&text).0.into_owned(),
        };
        let mapping = mapping(more).replace("record", &format!("source = \"s{at}\"\nrecord"));
        let done = rows(admin, &[("mapping", &mapping)], &bytes).await;
        assert_eq!((counts(&done).0, counts(&done).3), (text.lines().count() as u64 - 1, 0), "{name}");
        let first = admin.read(&format!("/v1/companies/by/external/s{at}/{}", at + 1)).await;
        assert_eq!(first["city"], city, "{name}");
    }
    // Entitlements and histories are read so too.
    admin.put("/v1/products/by/external/shop/h", json!({ "name": "Žehlička" })).await.expect(StatusCode::CREATED);
    let text = "product;holder_kind;holder\nŽehlička;company;s0:1\n";
    let bytes = Encoding::for_label(b"windows-1250").unwrap().encode(text).0.into_owned();
    let fields = [("kind", "entitlements"), ("mapping", "[file]\ndelimiter = \";\"")];
    let started = upload(admin, "/v1/imports", &fields, "o.csv", &bytes).await.expect(StatusCode::ACCEPTED);
    let done = ended(admin, started["links"]["progress"].as_str().unwrap()).await;
    assert_eq!(counts(&done), (1, 1, 0, 0), "{:?}", refused(admin, &done).await);
}

/// The header of an export as its system writes it, a row of it, and by which mapping it is known.
fn exports() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        (
            "zendesk-users",
            "contacts",
            "ID,Name,Email,External ID,Phone,Role,Organization,Tags,Details,Notes,Created at\n\
             901,Ada Lovelace,ada@acme.example.com,,+1 415 555 0101,end-user,Acme,\"vip,press\",Likes engines,,2024-03-12 09:14\n",
            json!({ "name": "Ada Lovelace", "email": "ada@acme.example.com", "tags": ["press", "vip"], "source": "zendesk" }),
        ),
        (
            "zendesk-organizations",
            "companies",
            "ID,Name,Domain names,Details,Notes,Tags,Created at\n77,Acme,\"acme.example.com, acme.example\",Makes things,,key,2024-03-12 09:14\n",
            json!({ "name": "Acme", "domain": "acme.example.com", "description": "Makes things", "tags": ["key"] }),
        ),
        (
            "zendesk-tickets",
            "tickets",
            "Summation column,Id,Requester,Requester id,Requester external id,Requester email,Requester domain,Submitter,Assignee,\
             Group,Subject,Tags,Status,Priority,Via,Ticket type,Created at,Updated at,Assigned at,Organization,Due date,Solved at\n\
             1,4711,Ada Lovelace,901,,ada@acme.example.com,acme.example.com,Ada Lovelace,Nobody Here,Support,Engine stands still,\
             engine steam,Solved,High,Mail,Question,2024-05-01 10:00,2024-05-02 10:00,,Acme,,2024-05-02 10:00\n",
            json!({ "title": "Engine stands still", "status": "resolved", "priority": 2, "channel": "import",
                "company_name": "Acme", "requester_name": "Ada Lovelace", "tags": ["engine", "steam"] }),
        ),
        (
            "freshdesk-contacts",
            "contacts",
            "Name,Title,Company,Email,Work phone,Mobile phone,Twitter,Unique external ID,Tags,Time zone,Language,Address,About\n\
             Bo Smith,Buyer,Beta,bo@beta.example.com,+44 20 7946 0958,+44 7911 123456,,u-1,vip,London,en,1 High Street,Quiet\n",
            json!({ "name": "Bo Smith", "email": "bo@beta.example.com", "address": "1 High Street", "tags": ["vip"] }),
        ),
        (
            "freshdesk-companies",
            "companies",
            "Name,Description,Notes,Domains,Health score,Account tier,Renewal date,Industry\n\
             Beta,Buys things,,\"beta.example.com,beta.example\",Happy,Premium,2026-12-31,Retail\n",
            json!({ "name": "Beta", "domain": "beta.example.com", "industry": "Retail" }),
        ),
        (
            "freshdesk-tickets",
            "tickets",
            "Ticket ID,Subject,Status,Priority,Source,Type,Agent,Group,Created time,Due by Time,Resolved time,Closed time,\
             Last update time,Initial response time,Time tracked,First response time (in hrs),Resolution time (in hrs),\
             Agent interactions,Customer interactions,Resolution status,First response status,Tags,Full name,Email,Contact ID,Company Name\n\
             12,Nothing arrives,Closed,Urgent,Email,Incident,Nobody,Support,2024-06-01 10:14:21,2024-06-03 10:14:21,,,\
             2024-06-02 10:14:21,,00:00:00,,,1,2,,,late,Bo Smith,bo@beta.example.com,55,Beta\n",
            json!({ "title": "Nothing arrives", "status": "closed", "priority": 3, "requester_name": "Bo Smith", "tags": ["late"] }),
        ),
        (
            "hubspot-contacts",
            "contacts",
            "Record ID,First Name,Last Name,Email,Phone Number,Contact owner,Associated Company,Last Activity Date,Lead Status,\
             Create Date,Country/Region,City\n\
             101,Camille,Durand,camille@example.com,+33 6 12 34 56 78,Nobody,Gamma,,NEW,2024-03-12 09:14,France,Lyon\n",
            json!({ "name": "Camille Durand", "country": "FR", "city": "Lyon", "email": "camille@example.com" }),
        ),
        (
            "hubspot-companies",
            "companies",
            "Record ID,Company name,Company owner,Create Date,Phone Number,Last Activity Date,City,Country/Region,Industry,Company Domain Name\n\
             501,Gamma,,2024-03-12 09:14,+33 1 23 45 67 89,,Paris,France,Wine,gamma.example.com\n",
            json!({ "name": "Gamma", "domain": "gamma.example.com", "country": "FR", "city": "Paris" }),
        ),
        (
            "hubspot-deals",
            "deals",
            "Record ID,Deal Name,Deal Stage,Close Date,Deal owner,Amount,Pipeline,Create Date,Associated Company\n\
             9001,Gamma - New Business,Closed Won,2026-12-01 10:00,,25000,Sales,2025-01-01 08:00,Gamma\n",
            json!({ "name": "Gamma - New Business", "status": "won", "amount": { "amount": "25000", "currency": "USD" },
                "expected_on": "2026-12-01", "company_name": "Gamma" }),
        ),
        (
            "chatwoot-contacts",
            "contacts",
            "\u{FEFF}id,name,email,phone_number,labels\n7,Dora,dora@example.com,+420 601 123 456,\"vip,lead\"\n",
            json!({ "name": "Dora", "email": "dora@example.com", "phone_e164": "+420601123456", "tags": ["lead", "vip"] }),
        ),
    ]
}

#[tokio::test]
async fn exports_of_other_systems_are_recognised_and_come_in_as_they_are() {
    let server = Server::start().await;
    let admin = &server.admin;
    for (name, path, file, seen) in exports() {
        let found =
            upload(admin, "/v1/imports/preview", &[], "export.csv", file.as_bytes()).await.expect(StatusCode::OK);
        assert_eq!(found["recognised"]["mapping"], name, "{found}");
        // A company was perhaps created on the way, by a person who works there.
        let outcome = found["outcomes"][0]["outcome"].as_str().unwrap();
        assert!(outcome == "create" || outcome == "update" && path == "companies", "{name}: {found}");
        // By its name, and as the preview answered: the same.
        let done = rows(admin, &[("mapping", name)], file.as_bytes()).await;
        assert_eq!(counts(&done), (1, 1, 0, 0), "{name}: {:?}", refused(admin, &done).await);
        let again = rows(admin, &[("mapping", found["mapping"]["toml"].as_str().unwrap())], file.as_bytes()).await;
        assert_eq!(counts(&again), (1, 0, 1, 0), "{name}: {:?}", refused(admin, &again).await);
        server.settle().await;
        let title = if path == "tickets" { "title" } else { "name" };
        let found = only(admin, path, title, seen[title].as_str().unwrap()).await;
        for (name, value) in seen.as_object().unwrap() {
            assert_eq!(&found[name], value, "{path} {name}: {found}");
        }
    }
    // Every mapping that is brought along is among these.
    let folder = std::fs::read_dir(root().join("deploy/import")).unwrap().map(|file| file.unwrap().file_name());
    let shipped: Vec<String> = folder.map(|name| name.to_string_lossy().replace(".toml", "")).collect();
    let shown: Vec<&str> = exports().iter().map(|(name, ..)| *name).collect();
    let unseen: Vec<&String> =
        shipped.iter().filter(|name| !shown.contains(&name.as_str()) && *name != "italian-helpdesk").collect();
    assert_eq!(unseen, Vec::<&String>::new());
}

#[tokio::test]
async fn a_preview_says_what_a_file_means_and_writes_nothing() {
    let server = Server::start().await;
    let admin = &server.admin;
    contacts(admin).await;
    let anna = admin.create("/v1/contacts", json!({ "name": "Anna", "email": "anna@rossi.example.com" })).await;
    let text = "Номер;Имя;Почта;Телефон;Компания;Size;Любимый цвет\n\
                1;Анна;anna@rossi.example.com;+7 812 555 01 01;Ромашка;40;синий\n\
                2;Олег;oleg@example.com;;Ромашка;;\n3;;broken;;;many;\n";
    let bytes = Encoding::for_label(b"windows-1251").unwrap().encode(text).0.into_owned();
    let pool = &server.database.pool;
    let before = events(pool).await;
    let preview = async |fields: &[(&str, &str)], bytes: &[u8]| {
        upload(admin, "/v1/imports/preview", fields, "contacts.csv", bytes).await
    };
    let found = preview(&[], &bytes).await.expect(StatusCode::OK);
    assert_eq!((&found["encoding"], &found["delimiter"]), (&json!("windows-1251"), &json!(";")));
    assert_eq!(found["header"][1], "Имя");
    assert_eq!(found["rows"][0][4], "Ромашка");
    let mapping = &found["mapping"];
    assert_eq!((&mapping["record"], &mapping["lacks"]), (&json!("contact"), &json!([])));
    assert_eq!(mapping["json"]["fields"]["email"], "{Почта}");
    assert_eq!(mapping["json"]["custom"]["size"], "{Size}");
    assert_eq!(mapping["columns"]["Компания"], json!(["company"]));
    assert_eq!(mapping["left"], json!(["Номер", "Любимый цвет"]));
    let outcomes: Vec<&Value> = found["outcomes"].as_array().unwrap().iter().map(|row| &row["outcome"]).collect();
    assert_eq!(outcomes, ["update", "create", "reject"]);
    assert_eq!(
        (&found["outcomes"][0]["record"], &found["outcomes"][2]["code"]),
        (&json!(anna), &json!("number_invalid"))
    );
    let commands: Vec<&Value> =
        found["outcomes"][1]["commands"].as_array().unwrap().iter().map(|said| &said["command"]).collect();
    assert_eq!(commands, ["create", "link_company"]);
    assert_eq!(events(pool).await, before);
    let left: i64 = sqlx::query_scalar("select count(*) from import_upload").fetch_one(pool).await.unwrap();
    assert_eq!(left, 0);

    // It can be sent as it is, and does what was foreseen.
    let done = rows(admin, &[("mapping", mapping["toml"].as_str().unwrap())], &bytes).await;
    assert_eq!(counts(&done), (3, 2, 0, 1));

    // Another kind, another mapping, and what makes no sense.
    let orders =
        "Order number,Customer,Total,Currency,Created at\n7,anna@rossi.example.com,\"1.250,50\",EUR,31.01.2026 10:00\n";
    let found = upload(admin, "/v1/imports/preview", &[], "export.csv", orders.as_bytes()).await.expect(StatusCode::OK);
    assert_eq!(
        (&found["mapping"]["record"], &found["outcomes"][0]["outcome"]),
        (&json!("order"), &json!("create")),
        "{found}"
    );
    let found =
        preview(&[("record", "lead")], "Name,E-mail\nOleg,o@example.com\n".as_bytes()).await.expect(StatusCode::OK);
    assert_eq!(found["mapping"]["record"], "lead");
    let found = preview(&[("record", "deal")], "Amount\n7\n".as_bytes()).await.expect(StatusCode::OK);
    assert_eq!((&found["mapping"]["lacks"], &found["outcomes"]), (&json!(["name"]), &json!([])));
    let given = "record = \"contact\"\n[fields]\nname = \"{a}\"";
    let found = preview(&[("mapping", given)], b"a,b\nx,y\n").await.expect(StatusCode::OK);
    assert_eq!((&found["mapping"]["left"], &found["recognised"]), (&json!(["b"]), &Value::Null));
    preview(&[("mapping", given)], b"b\ny\n").await.problem(422, "mapping_invalid");
    preview(&[("record", "role")], b"b\ny\n").await.problem(422, "mapping_invalid");
    preview(&[("colour", "red")], b"b\ny\n").await.problem(422, "body_invalid");
    preview(&[], b"").await.problem(422, "file_invalid");
    admin.post("/v1/imports/preview", json!({})).await.problem(400, "body_unreadable");
    let role = admin.create("/v1/roles", json!({ "name": "reader", "permissions": ["*.read"] })).await;
    let key = admin.post("/v1/api_keys", json!({ "name": "r", "role": role })).await.expect(StatusCode::CREATED);
    let reader = server.client(key["key"].as_str().unwrap());
    upload(&reader, "/v1/imports/preview", &[], "x.csv", b"a\n1\n").await.problem(403, "permission_denied");
}

#[test]
fn an_import_of_records_that_is_killed_goes_on_and_does_the_same() {
    // Every second row shares a telephone with the one before, in the window in which it is killed too.
    let mut file = format!("{HEADER}\n");
    for at in 0..4800 {
        let phone = at / 2;
        file.push_str(&format!(
            "{at},Name{at},,n{at}@example.com,+4206{phone:08},Company {},,\"t{}\",{at}\n",
            at % 50,
            at % 7
        ));
    }
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let observer = runtime();
    let undisturbed = observer.block_on(async {
        let server = Server::start().await;
        contacts(&server.admin).await;
        let done = records(&server.admin, CONTACTS, &file).await;
        (done, events(&server.database.pool).await)
    });
    assert_eq!((counts(&undisturbed.0), &undisturbed.0["duplicates"]), ((4800, 4800, 0, 0), &json!(2400)));

    let database = observer.block_on(database());
    let (id, key) = {
        let dying = runtime();
        let started = dying.block_on(async {
            let pool = PgPool::connect(&database.url).await.unwrap();
            let (app, first) = App::start(config(&[]), pool.clone()).await.unwrap();
            let (address, _) = app.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
            let key = first.unwrap().key;
            let client = Client::new(address, &key);
            contacts(&client).await;
            let fields = [("kind", "records"), ("mapping", CONTACTS)];
            let started =
                upload(&client, "/v1/imports", &fields, "c.csv", file.as_bytes()).await.expect(StatusCode::ACCEPTED);
            // Into its second window, with rows carried out that nobody has recorded.
            let mut recorded = 0_i64;
            while recorded == 0 {
                recorded = sqlx::query_scalar("select rows_done from import_job").fetch_one(&pool).await.unwrap();
            }
            let at = events(&pool).await;
            while events(&pool).await < at + 300 {}
            (started["id"].as_str().unwrap().to_owned(), key)
        });
        // Everything of it stops where it stands, as by a kill.
        dying.shutdown_background();
        started
    };
    observer.block_on(async {
        let state: (i64, i64) =
            sqlx::query_as("select rows_done, rows_total from import_job").fetch_one(&database.pool).await.unwrap();
        assert!(state.0 > 0 && state.0 < state.1, "killed in the middle: {state:?}");
        sqlx::query("update import_job set lease_until = now()").execute(&database.pool).await.unwrap();
        let (app, _) = App::start(config(&[]), database.pool.clone()).await.unwrap();
        let (address, _) = app.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let client = Client::new(address, &key);
        let done = ended(&client, &format!("/v1/imports/{id}/progress")).await;
        assert_eq!((&done["status"], &done["counts"]), (&json!("completed"), &undisturbed.0["counts"]));
        assert_eq!(done["duplicates"], undisturbed.0["duplicates"]);
        assert_eq!(events(&database.pool).await, undisturbed.1);
        // Each event of it belongs to the import's story.
        let strangers: i64 = sqlx::query_scalar(
            "select count(*) from log_event where category in ('contact', 'company')
             and convert_from(metadata, 'utf8')::jsonb ->> 'correlation_id'
                 is distinct from (select convert_from(metadata, 'utf8')::jsonb ->> 'correlation_id' from log_event
                                   where type = 'import.completed')",
        )
        .fetch_one(&database.pool)
        .await
        .unwrap();
        assert_eq!(strangers, 0);
        app.stop().await;
    });
}

#[tokio::test]
async fn the_command_line_sends_records_by_the_name_of_a_shipped_mapping() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("contacts.csv");
    std::fs::write(&file, exports().last().unwrap().2).unwrap();
    let words = ["deskfold", "import", "records", "--server", &server.admin.base, "--key", &server.admin.key];
    let run = async |more: &[&str]| {
        let words = words.iter().chain(more).copied().chain([file.to_str().unwrap()]);
        gateway::cli::run(Cli::try_parse_from(words).unwrap()).await
    };
    run(&["--mapping", "chatwoot-contacts"]).await.unwrap();
    server.settle().await;
    assert_eq!(server.admin.read("/v1/contacts?count=exact").await["total"], 1);
    // Without one the server says what it takes the file for.
    std::fs::write(&file, "Name,E-mail\nEva,eva@example.com\n").unwrap();
    run(&[]).await.unwrap();
    server.settle().await;
    assert_eq!(server.admin.read("/v1/contacts?count=exact").await["total"], 2);
    std::fs::write(&file, "Nothing,Known\n1,2\n").unwrap();
    let refused = run(&[]).await.unwrap_err().to_string();
    assert!(refused.contains("name"), "{refused}");
}
