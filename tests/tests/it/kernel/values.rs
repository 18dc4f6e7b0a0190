//! What a field may hold: every number, text, list and value of any shape beyond its limit is refused, with its place.

use deskfold_tests::Server;
use domain::catalogue;
use serde_json::{Value, json};

use crate::{
    kernel::references::{commands, set, sound, world},
    world::{NOBODY, contact, euros},
};

#[tokio::test]
async fn every_value_beyond_its_limit_is_refused_with_its_place() {
    let server = Server::start().await;
    let client = &server.admin;
    let ours = world(client, "A").await;
    let mut tried = 0;
    for asked in commands(|_| true) {
        let path = match (asked.creates, ours.get(asked.kind)) {
            (true, _) => format!("/v1/{}", asked.plural),
            (false, Some(id)) => format!("/v1/{}/{id}/{}", asked.plural, asked.name),
            (false, None) => continue,
        };
        let body = sound(&asked, &ours);
        for limit in &catalogue::kind(asked.kind).unwrap().limits[&asked.name] {
            let place = limit.pointer().replace('*', "0");
            let Some(beyond) = limit.beyond().filter(|_| !place.is_empty()) else { continue };
            // A list of too many of what the example has; sets take each once.
            let beyond = match (&beyond, body.pointer(&place)) {
                (Value::Array(items), Some(Value::Array(known))) => match known.first() {
                    Some(Value::String(_)) => (0..items.len()).map(|index| format!("x{index}")).collect(),
                    Some(known) => vec![known.clone(); items.len()].into(),
                    None => continue,
                },
                (Value::Array(_), _) => continue,
                _ => beyond,
            };
            let mut body = body.clone();
            if !set(&mut body, &place, &beyond) {
                continue;
            }
            let reply = client.post(&path, body).await;
            let what = format!("{}.{} at {place}", asked.kind, asked.name);
            if reply.status == 200 {
                assert_eq!(reply.json()["events"], json!([]), "{what}: it was so already");
            } else {
                assert!(reply.status.is_client_error(), "{what}: {} {}", reply.status, reply.text);
            }
            let problem = reply.json();
            let errors = problem["errors"].as_array().cloned().unwrap_or_default();
            // What is wrong with the whole of it, or in the present state, is told first.
            if reply.status == 422 && !errors.is_empty() {
                // A set is in an order of its own.
                let list = place.trim_end_matches("/0");
                let at = |pointer: &str| place.starts_with(pointer) || pointer.starts_with(list);
                let told = errors.iter().any(|error| error["pointer"].as_str().is_some_and(at));
                assert!(told, "{what}: {problem}");
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

#[tokio::test]
async fn numbers_that_cannot_be_are_refused_on_create_and_edit() {
    let server = Server::start().await;
    let client = &server.admin;
    let flat = client.create("/v1/properties", json!({ "name": "Flat" })).await;
    let cases = [
        (json!({ "location": { "latitude": "99", "longitude": "30.3" } }), "/location/latitude", "out_of_range"),
        (json!({ "location": { "latitude": "59.9", "longitude": "-181" } }), "/location/longitude", "out_of_range"),
        (json!({ "area": "-5" }), "/area", "out_of_range"),
        (json!({ "rooms": 1001 }), "/rooms", "out_of_range"),
        (json!({ "floor": 9, "floors": 2 }), "/floor", "property_floor_invalid"),
    ];
    for (wrong, place, code) in cases {
        let mut body = json!({ "name": "Flat" });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        for reply in [
            client.post("/v1/properties", body).await,
            client.patch(&format!("/v1/properties/{flat}"), wrong.clone()).await,
        ] {
            let problem = reply.problem(422, code);
            assert_eq!(problem["errors"][0]["pointer"], place);
        }
    }
    let sound =
        json!({ "location": { "latitude": "90", "longitude": "-180" }, "area": "0.5", "floor": -1, "floors": 2 });
    client.patch(&format!("/v1/properties/{flat}"), sound).await.expect(reqwest::StatusCode::OK);
    let ada = contact(client, "Ada").await;
    let criteria = json!({ "price_from": euros("5"), "price_to": euros("4") });
    let enquiry = json!({ "name": "Flat", "contact": ada, "criteria": criteria });
    let problem = client.post("/v1/enquiries", enquiry).await.problem(422, "enquiry_range_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/criteria/price_to");
    let call = client.create("/v1/calls", json!({ "from": "+39 06 555 0101", "to": "+39 06 555 0100" })).await;
    client.post(&format!("/v1/calls/{call}/end"), json!({ "duration_s": 604_801 })).await.problem(422, "out_of_range");
    let order =
        json!({ "source": "shop", "items": [{ "name": "Chair", "quantity": "2000000000", "price": euros("1") }] });
    let problem = client.post("/v1/orders", order).await.problem(422, "out_of_range");
    assert_eq!(problem["errors"][0]["pointer"], "/items/0/quantity");
}

#[tokio::test]
async fn limits_and_references_are_told_together() {
    let server = Server::start().await;
    let body =
        json!({ "name": "Flat", "area": "-5", "location": { "latitude": "99", "longitude": "0" }, "owner": NOBODY });
    let problem = server.admin.post("/v1/properties", body).await.problem(422, "out_of_range");
    let errors = problem["errors"].as_array().unwrap();
    let mut places: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, ["/area", "/location/latitude", "/owner"]);
}
