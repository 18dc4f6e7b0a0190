//! Files from the first byte to the last reference: what they are is told from their bytes, whoever sees what refers to them sees
//! them, nothing is lost by a kill, and nothing stays that nobody wants.

use std::{
    collections::BTreeSet,
    io::Cursor,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use deskfold_tests::{Client, Reply, Server, free_port, root, until};
use futures::StreamExt as _;
use image::{DynamicImage, ImageFormat};
use reqwest::{Body, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::pictures::PIXEL;
use crate::{
    ground::program::{Running, failure, home, keys, output},
    org::auth::user_with,
    world::{NOBODY, sent, ticket},
};

const DAY: u64 = 24 * 60 * 60;

/// Sends a file under a name as whatever media type.
async fn send(client: &Client, name: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> Reply {
    let request = client.request(Method::POST, "/v1/uploads").query(&[("name", name)]);
    client.send(request.header("content-type", media_type).body(bytes.into())).await
}

/// The same; what the log says of it.
async fn kept(client: &Client, name: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> Value {
    let created = send(client, name, media_type, bytes).await.expect(StatusCode::CREATED);
    assert_eq!(created["events"][0]["type"], "upload.completed", "{created}");
    let mut data = created["events"][0]["data"].clone();
    data["id"] = created["id"].clone();
    data
}

/// An answer with its bytes as they are.
async fn bytes(request: reqwest::RequestBuilder) -> (StatusCode, HeaderMap, Vec<u8>) {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.bytes().await.unwrap().to_vec())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(width, height).write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A photograph in which a camera has written where it was taken, and somebody something else behind it.
fn photograph() -> Vec<u8> {
    let mut file = picture(640, 480, ImageFormat::Jpeg);
    let said = b"Exif\0\0GPS 59.9398 N 30.3146 E";
    let length = u16::try_from(said.len() + 2).unwrap().to_be_bytes();
    let segment = [&[0xFF, 0xE1][..], &length, said].concat();
    file.splice(2..2, segment);
    file.extend_from_slice(b"PK\x03\x04<script>alert(1)</script>");
    file
}

fn attachment(upload: &Value) -> Value {
    json!({ "upload_id": upload, "name": "a file" })
}

async fn note(client: &Client, ticket: &str, uploads: &[&Value]) -> Reply {
    let files: Vec<_> = uploads.iter().map(|upload| attachment(upload)).collect();
    client.post(&format!("/v1/tickets/{ticket}/add_note"), json!({ "body": "See this", "attachments": files })).await
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => drop(found.insert(path)),
        }
    }
    found
}

fn stored(server: &Server) -> usize {
    files(&server.folder.path().join("files/kept")).len()
}

#[tokio::test]
async fn a_file_is_sent_looked_at_and_referred_to() {
    let server = Server::start().await;
    let client = &server.admin;
    let photo = kept(client, "C:\\Photos\\door \"1\".jpeg", "text/plain", photograph()).await;
    assert_eq!((&photo["name"], &photo["media_type"]), (&json!("door _1_.jpeg"), &json!("image/jpeg")));
    assert_eq!(
        (&photo["width"], &photo["height"], &photo["thumbnail"]["width"]),
        (&json!(640), &json!(480), &json!(320))
    );
    assert_ne!(photo["digest"], photo["sent_digest"]);
    let place = format!("/v1/uploads/{}", photo["id"].as_str().unwrap());

    let (status, headers, body) = bytes(client.request(Method::GET, &format!("{place}/content"))).await;
    assert_eq!((status, text(&headers, "content-type")), (StatusCode::OK, "image/jpeg"));
    assert_eq!(
        text(&headers, "content-disposition"),
        "inline; filename=\"door _1_.jpeg\"; filename*=UTF-8''door%20_1_.jpeg"
    );
    assert_eq!((text(&headers, "x-content-type-options"), text(&headers, "accept-ranges")), ("nosniff", "bytes"));
    assert!(text(&headers, "content-security-policy").contains("sandbox"));
    assert_eq!(body.len(), photo["size"].as_u64().unwrap() as usize);
    for trace in [&b"Exif"[..], b"GPS", b"<script", b"PK\x03\x04"] {
        assert!(!body.windows(trace.len()).any(|part| part == trace), "{}", String::from_utf8_lossy(trace));
    }
    assert_eq!(image::load_from_memory(&body).unwrap().width(), 640);
    let (_, headers, small) = bytes(client.request(Method::GET, &format!("{place}/thumbnail"))).await;
    assert_eq!((text(&headers, "content-type"), image::load_from_memory(&small).unwrap().width()), ("image/jpeg", 320));

    // Whoever knows it is not sent it again, and stretches are sent by themselves.
    let tag = format!("\"{}\"", photo["digest"].as_str().unwrap());
    let content = || client.request(Method::GET, &format!("{place}/content"));
    assert_eq!(bytes(content().header("if-none-match", &tag)).await.0, StatusCode::NOT_MODIFIED);
    let (status, headers, part) = bytes(content().header("range", "bytes=10-19")).await;
    assert_eq!((status, &part[..]), (StatusCode::PARTIAL_CONTENT, &body[10..20]));
    assert_eq!(text(&headers, "content-range"), format!("bytes 10-19/{}", body.len()));
    let (status, _, part) = bytes(content().header("range", "bytes=-5")).await;
    assert_eq!((status, &part[..]), (StatusCode::PARTIAL_CONTENT, &body[body.len() - 5..]));
    let beyond = client.header("range", format!("bytes={}-", body.len())).get(&format!("{place}/content")).await;
    beyond.problem(416, "range_unsatisfiable");
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", body.len()));
    let other = content().header("range", "bytes=0-1").header("if-range", "\"other\"");
    assert_eq!(bytes(other).await.0, StatusCode::OK);
    let (_, headers, _) = bytes(content().query(&[("download", "true")])).await;
    assert!(text(&headers, "content-disposition").starts_with("attachment"));

    // A message refers to it, and that is known of both.
    let ticket = ticket(client, "It is broken").await;
    let accepted = note(client, &ticket, &[&photo["id"]]).await.expect(StatusCode::OK);
    let types: Vec<_> =
        accepted["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["ticket.note_added", "upload.attached"]);
    // Again changes nothing of the upload: the ticket refers to it already.
    let again = note(client, &ticket, &[&photo["id"]]).await.expect(StatusCode::OK);
    assert_eq!(again["events"].as_array().unwrap().len(), 1, "{again}");
    server.settle().await;
    let view = client.read(&place).await;
    assert_eq!(
        (&view["reference_count"], &view["unused_since"], &view["status"]),
        (&json!(1), &Value::Null, &json!("kept"))
    );
    assert_eq!(view["user_id"], client.read("/v1/me").await["user"]);
    client.post(&format!("{place}/delete"), json!({})).await.problem(409, "upload_in_use");

    // The name may come in a header, and a rehearsal keeps nothing.
    let named = client
        .request(Method::POST, "/v1/uploads")
        .header("content-disposition", "attachment; filename*=UTF-8''%C4%8D.csv");
    let named = client.send(named.header("content-type", "text/csv").body("a,b\n")).await.expect(StatusCode::CREATED);
    assert_eq!(named["events"][0]["data"]["name"], "č.csv");
    assert_eq!(named["events"][0]["data"]["media_type"], "text/csv");
    let before = stored(&server);
    let rehearsed = client.request(Method::POST, "/v1/uploads?dry_run=true").body("only to see");
    let would = client.send(rehearsed).await.expect(StatusCode::OK);
    assert_eq!(would["events"][0]["type"], "upload.completed");
    client.get(&format!("/v1/uploads/{}/content", would["id"].as_str().unwrap())).await.problem(404, "upload_unknown");
    assert_eq!((stored(&server), files(&server.folder.path().join("files/parts")).len()), (before, 0));
}

#[tokio::test]
async fn what_a_message_refers_to_must_be_a_file_that_is_there_and_that_one_sees() {
    let server = Server::start().await;
    let client = &server.admin;
    let ticket = ticket(client, "It is broken").await;
    let refused = |reply: Reply| {
        let problem = reply.problem(422, "reference_unfit");
        assert_eq!(problem["errors"][0]["pointer"], "/attachments/0/upload_id", "{problem}");
    };
    refused(note(client, &ticket, &[&json!(NOBODY)]).await);
    let other = server.another_tenant("Others").await;
    let theirs = kept(&other, "theirs.txt", "", "Theirs").await;
    refused(note(client, &ticket, &[&theirs["id"]]).await);
    let theirs = theirs["id"].as_str().unwrap();
    client.get(&format!("/v1/uploads/{theirs}")).await.problem(404, "upload_unknown");
    client.get(&format!("/v1/uploads/{theirs}/content")).await.problem(404, "upload_unknown");
    client.get(&format!("/v1/uploads/{theirs}/link")).await.problem(404, "upload_unknown");
    let gone = kept(client, "gone.txt", "", "Gone").await;
    let place = format!("/v1/uploads/{}", gone["id"].as_str().unwrap());
    client.run(&format!("{place}/delete"), json!({ "reason": "By mistake" })).await;
    refused(note(client, &ticket, &[&gone["id"]]).await);
    client.get(&format!("{place}/content")).await.problem(410, "upload_deleted");
    // A colleague of whom one sees nothing has files of his own.
    let (_, anna) = user_with(&server, "anna@example.com", &["ticket.*", "upload.create", "upload.read:own"]).await;
    let mine = kept(client, "mine.txt", "", "Mine").await;
    refused(note(&anna, &ticket, &[&mine["id"]]).await);
    let annas = kept(&anna, "annas.txt", "", "Anna's").await;
    note(&anna, &ticket, &[&annas["id"]]).await.expect(StatusCode::OK);
    // Everything that refers to files is held to it.
    let reply = json!({ "name": "prices", "text": "", "attachments": [attachment(&json!(NOBODY))] });
    client.post("/v1/quick_replies", reply).await.problem(422, "reference_unfit");
    let chat = client.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    let message = json!({ "body": "", "attachments": [attachment(&json!(NOBODY))] });
    client.post(&format!("/v1/conversations/{chat}/receive_message"), message).await.problem(422, "reference_unfit");
    let flat = client.create("/v1/properties", json!({ "name": "Flat" })).await;
    let media = client.post(&format!("/v1/properties/{flat}/add_media"), json!({ "upload_id": NOBODY })).await;
    media.problem(422, "reference_unfit");
    client.run(&format!("/v1/properties/{flat}/add_media"), json!({ "upload_id": mine["id"] })).await;
}

#[tokio::test]
async fn whoever_sees_what_refers_to_a_file_sees_it_and_nobody_else() {
    let server = Server::start().await;
    let client = &server.admin;
    let seer = ["ticket.*:own", "conversation.*:own", "quick_reply.read", "upload.create", "upload.read:own"];
    let (anna, hers) = user_with(&server, "anna@example.com", &seer).await;
    let (_, his) = user_with(&server, "boris@example.com", &seer).await;
    let upload = kept(client, "offer.txt", "", "An offer").await;
    let place = format!("/v1/uploads/{}", upload["id"].as_str().unwrap());
    let sees = async |client: &Client| {
        server.settle().await;
        let content = client.get(&format!("{place}/content")).await;
        let single = client.get(&place).await;
        let listed = client.read("/v1/uploads").await;
        let named = listed["data"].as_array().unwrap().iter().any(|row| row["id"] == upload["id"]);
        assert_eq!(
            (content.status == StatusCode::OK, single.status == StatusCode::OK),
            (named, named),
            "{}",
            content.text
        );
        if !named {
            content.problem(404, "upload_unknown");
            client.get(&format!("{place}/link")).await.problem(404, "upload_unknown");
        }
        named
    };
    assert!(sees(client).await && !sees(&hers).await && !sees(&his).await);
    let ticket = ticket(client, "It is broken").await;
    note(client, &ticket, &[&upload["id"]]).await.expect(StatusCode::OK);
    assert!(!sees(&hers).await);
    client.run(&format!("/v1/tickets/{ticket}/assign"), json!({ "assignee": anna })).await;
    assert!(sees(&hers).await && !sees(&his).await);
    client.run(&format!("/v1/tickets/{ticket}/unassign"), json!({})).await;
    assert!(!sees(&hers).await);
    // What a quick reply has that everybody sees, everybody sees, and may send.
    let reply = json!({ "name": "offer", "text": "Our offer", "attachments": [attachment(&upload["id"])] });
    let reply = client.create("/v1/quick_replies", reply).await;
    assert!(sees(&hers).await && sees(&his).await);
    let chat = his.create("/v1/conversations", json!({ "medium": "live_chat" })).await;
    his.run(&format!("/v1/conversations/{chat}/claim"), json!({})).await;
    let message = json!({ "body": "", "attachments": [attachment(&upload["id"])], "quick_reply": reply });
    his.run(&format!("/v1/conversations/{chat}/send_message"), message).await;
    let emptied = client.patch(&format!("/v1/quick_replies/{reply}"), json!({ "attachments": [] })).await;
    emptied.expect(StatusCode::OK);
    assert!(!sees(&hers).await && sees(&his).await);
}

#[tokio::test]
async fn hostile_files_are_what_they_are_and_carry_nothing_out() {
    let server = Server::start().await;
    let client = &server.admin;
    // What says that it is a picture and is a page.
    for (name, body) in [
        ("cat.png", &b"<!doctype html><script>alert(1)</script>"[..]),
        ("cat.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("cat.xml", b"<?xml version='1.0'?><x/>"),
        ("cat.pdf", b"%PDF-1.7 ..."),
        ("cat.bin", b"\0\x01\x02"),
    ] {
        let upload = kept(client, name, "image/png", body).await;
        assert_ne!(upload["media_type"], "image/png", "{upload}");
        let path = format!("/v1/uploads/{}/content", upload["id"].as_str().unwrap());
        let (_, headers, found) = bytes(client.request(Method::GET, &path)).await;
        assert!(text(&headers, "content-disposition").starts_with("attachment;"), "{name}: {headers:?}");
        assert!(text(&headers, "content-security-policy").contains("sandbox"));
        assert_eq!((text(&headers, "x-content-type-options"), &found[..]), ("nosniff", body));
        client.get(&path.replace("content", "thumbnail")).await.problem(404, "thumbnail_missing");
    }
    // A name that leads elsewhere, reads backwards, or holds what a header must not.
    for (name, kept_as) in [
        ("../../../../etc/cron.d/x.txt", "x.txt"),
        ("photo\u{202e}gnp.exe", "photognp.exe"),
        ("a\r\nset-cookie: x=y.txt", "aset-cookie_ x=y.txt"),
        ("", "file"),
    ] {
        assert_eq!(kept(client, name, "", "x").await["name"], *kept_as, "{name:?}");
    }
    let cut = &PIXEL[..40];
    send(client, "cut.png", "image/png", cut).await.problem(422, "picture_unreadable");
    // A few bytes that unfold to gigabytes.
    let mut bomb = picture(8, 8, ImageFormat::Png);
    bomb[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
    send(client, "bomb.png", "image/png", bomb).await.problem(422, "picture_unreadable");
    send(client, "nothing", "", "").await.problem(422, "upload_empty");
    // A picture that is a program too is a picture and nothing else.
    let mut both = picture(10, 10, ImageFormat::Png);
    both.extend_from_slice(b"#!/bin/sh\nrm -rf /\n<?php system($_GET['x']); ?>");
    let both = kept(client, "both.png", "image/png", both).await;
    let path = format!("/v1/uploads/{}/content", both["id"].as_str().unwrap());
    let (_, _, found) = bytes(client.request(Method::GET, &path)).await;
    assert!(!found.windows(5).any(|part| part == b"<?php"));
    assert!(files(&server.folder.path().join("files/parts")).is_empty(), "what was refused is gone");
    // Nothing was written beside the folder.
    let all = files(server.folder.path());
    assert!(all.iter().all(|file| file.starts_with(server.folder.path().join("files/kept"))), "{all:?}");
}

#[tokio::test]
async fn tenants_say_how_large_files_may_be_and_what() {
    let server = Server::with(&["--file-limit", "3000000"]).await;
    let client = &server.admin;
    let set = async |key: &str, value: Value| {
        let path = format!("/v1/tenants/{}/change_setting", server.tenant);
        client.post(&path, json!({ "key": key, "value": value })).await
    };
    for unfit in [json!(0), json!("7"), json!(1.5), json!(20_000)] {
        set("upload_max_mebibytes", unfit).await.problem(422, "setting_invalid");
    }
    set("upload_max_mebibytes", json!(1)).await.expect(StatusCode::OK);
    let zeros = |length: usize| vec![0u8; length];
    send(client, "large", "", zeros((1 << 20) + 1)).await.problem(413, "upload_too_large");
    // Nobody says beforehand how much it is.
    let pieces = futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![0u8; 64 << 10])));
    let request = client.request(Method::POST, "/v1/uploads").body(Body::wrap_stream(pieces));
    client.send(request).await.problem(413, "upload_too_large");
    send(client, "fits", "", zeros(1 << 20)).await.expect(StatusCode::CREATED);
    set("upload_max_mebibytes", json!(100)).await.expect(StatusCode::OK);
    send(client, "large", "", zeros(3_000_001)).await.problem(413, "upload_too_large");
    send(client, "fits", "", zeros(2_999_999)).await.expect(StatusCode::CREATED);
    set("upload_types", json!(["image/*", "text/plain"])).await.expect(StatusCode::OK);
    let refused = send(client, "page.png", "image/png", "<html>").await;
    assert_eq!(refused.problem(422, "upload_type_refused")["errors"][0]["pointer"], "/media_type");
    send(client, "pixel.pdf", "application/pdf", PIXEL).await.expect(StatusCode::CREATED);
    send(client, "plain", "", "Good day").await.expect(StatusCode::CREATED);
    assert!(files(&server.folder.path().join("files/parts")).is_empty());
}

#[tokio::test]
async fn a_signed_address_needs_no_key_and_ends() {
    let server = Server::start().await;
    let client = &server.admin;
    let upload = kept(client, "photo.jpg", "", picture(500, 500, ImageFormat::Jpeg)).await;
    let place = format!("/v1/uploads/{}", upload["id"].as_str().unwrap());
    let signed = async |query: &str| {
        let link = client.read(&format!("{place}/link?{query}")).await;
        link["url"].as_str().unwrap().to_owned()
    };
    let anybody = server.client("");
    let address = signed("expires_in=600").await;
    assert!(address.starts_with("/files/") && address.len() < 120, "{address}");
    let (status, headers, body) = bytes(anybody.request(Method::GET, &address)).await;
    assert_eq!((status, body.len()), (StatusCode::OK, upload["size"].as_u64().unwrap() as usize));
    assert!(text(&headers, "cache-control").starts_with("private, max-age="));
    assert_eq!(text(&headers, "x-content-type-options"), "nosniff");
    assert_eq!(bytes(anybody.request(Method::GET, &address).header("range", "bytes=0-9")).await.2.len(), 10);
    let small = signed("thumbnail=true&download=true").await;
    let (_, headers, body) = bytes(anybody.request(Method::GET, &small)).await;
    assert_eq!(image::load_from_memory(&body).unwrap().width(), 320);
    assert!(text(&headers, "content-disposition").starts_with("attachment"));
    // Another letter is another address.
    let token = address.strip_prefix("/files/").unwrap();
    for at in [0, 30, 45, 60, token.len() - 1] {
        let mut letters: Vec<char> = token.chars().collect();
        letters[at] = if letters[at] == 'A' { 'E' } else { 'A' };
        let forged: String = letters.into_iter().collect();
        anybody.get(&format!("/files/{forged}")).await.problem(404, "file_unknown");
    }
    for nonsense in ["x", &"A".repeat(500)] {
        assert_eq!(anybody.get(&format!("/files/{nonsense}")).await.status, StatusCode::NOT_FOUND);
    }
    client.get(&format!("{place}/link?expires_in=0")).await.problem(422, "parameter_invalid");
    client.get(&format!("{place}/link?expires_in=604801")).await.problem(422, "parameter_invalid");
    server.app.advance(Duration::from_secs(601));
    anybody.get(&address).await.problem(404, "file_unknown");
    let address = signed("").await;
    client.run(&format!("{place}/delete"), json!({})).await;
    anybody.get(&address).await.problem(404, "file_unknown");
}

/// A client that speaks tus.
fn tus(client: &Client) -> Client {
    client.header("tus-resumable", "1.0.0")
}

async fn begin(client: &Client, length: usize) -> String {
    let said = format!("filename {},filetype {}", STANDARD.encode("../big \u{202e}.csv"), STANDARD.encode("text/csv"));
    let request = client.request(Method::POST, "/v1/uploads/resumable").header("upload-length", length);
    let begun = client.send(request.header("upload-metadata", said)).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.text);
    assert_eq!((begun.header("tus-resumable"), begun.header("upload-offset")), ("1.0.0", "0"));
    assert!(begun.header("upload-expires").ends_with("GMT"));
    begun.header("location").to_owned()
}

async fn go_on(client: &Client, path: &str, offset: usize, body: impl Into<Body>) -> Reply {
    let request = client.request(Method::PATCH, path).header("upload-offset", offset);
    client.send(request.header("content-type", "application/offset+octet-stream").body(body)).await
}

async fn come(client: &Client, path: &str) -> Reply {
    client.send(client.request(Method::HEAD, path)).await
}

#[tokio::test]
async fn a_large_file_comes_in_several_requests() {
    let server = Server::start().await;
    let client = tus(&server.admin);
    let whole = "number,name\n1,Ada\n".repeat(50_000);
    let path = begin(&client, whole.len()).await;
    let id = path.rsplit('/').next().unwrap();
    let reply = go_on(&client, &path, 0, whole[..300_000].to_owned()).await;
    assert_eq!((reply.status, reply.header("upload-offset")), (StatusCode::NO_CONTENT, "300000"), "{}", reply.text);
    // What comes before the connection breaks stays.
    let (cut, is_cut) = tokio::sync::oneshot::channel::<()>();
    let pieces = futures::stream::iter([Ok(whole[300_000..400_000].to_owned())]).chain(futures::stream::once(async {
        let _ = is_cut.await;
        Err(std::io::Error::other("cut"))
    }));
    let broken = client.request(Method::PATCH, &path).header("upload-offset", 300_000);
    let broken = broken.header("content-type", "application/offset+octet-stream").body(Body::wrap_stream(pieces));
    let broken = tokio::spawn(broken.send());
    // What is sent leaves while others ask.
    for _ in 0..20 {
        come(&client, &path).await;
    }
    cut.send(()).unwrap();
    assert!(broken.await.unwrap().is_err());
    let come_so_far = async || come(&client, &path).await.header("upload-offset").parse::<usize>().unwrap();
    assert!(until(async || come_so_far().await > 300_000).await, "what had come stays");
    let offset = come_so_far().await;
    assert!(offset <= 400_000, "what had come: {offset}");
    // From elsewhere it does not go on, nor too far, nor for anybody else.
    go_on(&client, &path, 5, "x").await.problem(409, "upload_offset_mismatch");
    go_on(&client, &path, offset, vec![0u8; whole.len()]).await.problem(413, "upload_too_large");
    let (_, other) = user_with(&server, "anna@example.com", &["*"]).await;
    assert_eq!(come(&tus(&other), &path).await.status, StatusCode::NOT_FOUND);
    go_on(&tus(&other), &path, offset, "x").await.problem(404, "upload_unknown");
    client.get(&format!("/v1/uploads/{id}")).await.problem(404, "upload_unknown");
    let done = go_on(&client, &path, offset, whole[offset..].to_owned()).await;
    assert_eq!((done.status, done.header("upload-offset")), (StatusCode::NO_CONTENT, whole.len().to_string().as_str()));
    assert!(done.header("deskfold-position").parse::<i64>().is_ok_and(|position| position > 0));
    assert_eq!(server.admin.get(&format!("/v1/uploads/{id}/content")).await.text, whole);
    server.settle().await;
    let view = server.admin.read(&format!("/v1/uploads/{id}")).await;
    assert_eq!((&view["name"], &view["media_type"]), (&json!("big .csv"), &json!("text/csv")));
    assert_eq!(come(&client, &path).await.header("upload-offset"), whole.len().to_string());
    assert!(files(&server.folder.path().join("files/parts")).is_empty());

    // Whoever speaks something else is told so.
    let request = server.admin.request(Method::POST, "/v1/uploads/resumable").header("upload-length", 5);
    server.admin.send(request).await.problem(412, "tus_version_unsupported");
    client.send(client.request(Method::POST, "/v1/uploads/resumable")).await.problem(400, "tus_header_invalid");
    let much = client.request(Method::POST, "/v1/uploads/resumable").header("upload-length", u64::MAX);
    client.send(much).await.problem(413, "upload_too_large");
    let plain = client.request(Method::PATCH, &path).header("upload-offset", 0).header("content-type", "text/plain");
    client.send(plain.body("x")).await.problem(415, "media_type_unsupported");
    // What is refused once it is whole is given up.
    let path = begin(&client, 40).await;
    go_on(&client, &path, 0, PIXEL[..40].to_vec()).await.problem(422, "picture_unreadable");
    assert_eq!(come(&client, &path).await.status, StatusCode::NOT_FOUND);
    // What is given up is gone, and what never comes whole is swept after a day.
    let (given_up, left) = (begin(&client, 10).await, begin(&client, 10).await);
    go_on(&client, &given_up, 0, "12345").await;
    go_on(&client, &left, 0, "12345").await;
    assert_eq!(client.delete(&given_up).await.status, StatusCode::NO_CONTENT);
    assert_eq!(come(&client, &given_up).await.status, StatusCode::NOT_FOUND);
    assert_eq!(files(&server.folder.path().join("files/parts")).len(), 1);
    server.app.advance(Duration::from_secs(DAY + 1));
    assert_eq!(come(&client, &left).await.status, StatusCode::NOT_FOUND);
    server.settle().await;
    assert!(files(&server.folder.path().join("files/parts")).is_empty());
}

#[tokio::test]
async fn what_nothing_refers_to_is_deleted_when_its_days_are_over() {
    let server = Server::start().await;
    let client = &server.admin;
    let path = format!("/v1/tenants/{}/change_setting", server.tenant);
    client.run(&path, json!({ "key": "upload_retention_days", "value": 7 })).await;
    let other = server.another_tenant("Others").await;
    let (unused, used) = (kept(client, "unused.txt", "", "Unused").await, kept(client, "used.txt", "", "Used").await);
    let (redacted, shared) =
        (kept(client, "secret.txt", "", "Secret").await, kept(client, "also.txt", "", "Used").await);
    let theirs = kept(&other, "unused.txt", "", "Unused").await;
    assert_eq!(unused["digest"], theirs["digest"]);
    // The same bytes are kept once for a tenant, and for each tenant by themselves.
    assert_eq!(stored(&server), 4);
    let ticket = ticket(client, "It is broken").await;
    note(client, &ticket, &[&used["id"]]).await.expect(StatusCode::OK);
    let noted = note(client, &ticket, &[&redacted["id"]]).await.expect(StatusCode::OK);
    let message = noted["events"][0]["data"]["message_id"].clone();
    let redact = json!({ "message_id": message, "reason": "A password" });
    let types = client.run(&format!("/v1/tickets/{ticket}/redact_message"), redact).await;
    assert_eq!(types, ["ticket.message_redacted", "upload.detached"]);
    server.app.advance(Duration::from_secs(6 * DAY));
    server.settle().await;
    assert_eq!(stored(&server), 4, "it is not time yet");
    server.app.advance(Duration::from_secs(2 * DAY));
    server.settle().await;
    // A sweep tells the log first, and the bytes go once the read model knows.
    server.settle().await;
    for (upload, status) in [(&unused, "deleted"), (&used, "kept"), (&redacted, "deleted"), (&shared, "deleted")] {
        let view = client.read(&format!("/v1/uploads/{}", upload["id"].as_str().unwrap())).await;
        assert_eq!(view["status"], status, "{view}");
    }
    assert_eq!(stored(&server), 2, "what is referred to, and what the other tenant keeps longer");
    let place = |upload: &Value| format!("/v1/uploads/{}/content", upload["id"].as_str().unwrap());
    assert_eq!(client.get(&place(&used)).await.text, "Used");
    assert_eq!(other.get(&place(&theirs)).await.text, "Unused");
    client.get(&place(&unused)).await.problem(410, "upload_deleted");
    let events = client.read(&format!("/v1/uploads/{}/history", unused["id"].as_str().unwrap())).await;
    assert_eq!(events["data"][1]["data"]["cause"], "unused", "{events}");
    // The same file comes again as another upload.
    let again = kept(client, "again.txt", "", "Unused").await;
    assert_eq!(client.get(&place(&again)).await.text, "Unused");
    assert_eq!(stored(&server), 3);
    // Messages that move to another ticket take their files along, for whoever sees that one.
    let moved = note(client, &ticket, &[&again["id"]]).await.expect(StatusCode::OK);
    let split = json!({ "messages": [moved["events"][0]["data"]["message_id"]], "title": "Apart" });
    let types = client.run(&format!("/v1/tickets/{ticket}/split"), split).await;
    assert!(types.contains(&"upload.carried".to_owned()), "{types:?}");
}

#[tokio::test]
async fn whatever_a_killed_process_leaves_is_whole_or_swept() {
    let home = home();
    let running = Running::start(home.path(), &[]).await;
    let key = keys(&running.printed()).remove(0);
    let client = tus(&running.client(&key));
    let first = sent(&client, "first.txt", b"The first".to_vec()).await;
    let whole = "0123456789".repeat(200_000);
    let path = begin(&client, whole.len()).await;
    let reply = go_on(&client, &path, 0, whole[..500_000].to_owned()).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text);
    // It is killed while more comes, in two ways at once: each stops half-way and says so.
    let (halfway, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let slow = |text: String| {
        let halfway = halfway.clone();
        futures::stream::unfold((text, 0), move |(mut text, pieces)| {
            let halfway = halfway.clone();
            async move {
                if pieces == 40 {
                    halfway.send(()).unwrap();
                    std::future::pending::<()>().await;
                }
                let piece: String = text.drain(..text.len().min(10_000)).collect();
                Some((Ok::<_, std::io::Error>(piece), (text, pieces + 1)))
            }
        })
    };
    let going_on = client
        .request(Method::PATCH, &path)
        .header("upload-offset", 500_000)
        .header("content-type", "application/offset+octet-stream")
        .body(Body::wrap_stream(slow(whole[500_000..].to_owned())))
        .send();
    let at_once = client.request(Method::POST, "/v1/uploads").body(Body::wrap_stream(slow(whole.clone()))).send();
    let kill = async {
        arrived.recv().await.unwrap();
        arrived.recv().await.unwrap();
        running.signal("KILL");
    };
    let (going_on, at_once, ()) = futures::join!(going_on, at_once, kill);
    assert!(going_on.is_err() && at_once.is_err());
    drop(running);

    let running = Running::start(home.path(), &[]).await;
    let client = tus(&running.client(&key));
    assert_eq!(client.get(&format!("/v1/uploads/{first}/content")).await.text, "The first");
    let offset: usize = come(&client, &path).await.header("upload-offset").parse().unwrap();
    assert!((500_000..whole.len()).contains(&offset), "{offset}");
    let done = go_on(&client, &path, offset, whole[offset..].to_owned()).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{}", done.text);
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(client.get(&format!("/v1/uploads/{id}/content")).await.text, whole);
    running.signal("TERM");
    assert!(running.end().await.0);

    // What is there and what the log knows is the same; rubbish is found, and so is what is gone.
    let data = home.path().join("data");
    let verify = ["files", "verify", "--data-dir", data.to_str().unwrap(), "--digests"];
    let told: Value = serde_json::from_str(&output(&verify).await).unwrap();
    assert_eq!((&told["files"], &told["missing"], &told["damaged"]), (&json!(2), &json!([]), &json!([])), "{told}");
    assert_eq!(told["superfluous"], json!([]), "{told}");
    let all: Vec<_> = files(&data.join("files/kept")).into_iter().collect();
    let folder = all[0].parent().unwrap();
    std::fs::write(folder.join("ff".repeat(32)), "rubbish").unwrap();
    let told: Value = serde_json::from_str(&output(&verify).await).unwrap();
    assert_eq!(told["superfluous"][0]["digest"], "ff".repeat(32), "{told}");
    std::fs::remove_file(&all[0]).unwrap();
    let text = std::fs::read(&all[1]).unwrap();
    std::fs::write(&all[1], vec![b'x'; text.len()]).unwrap();
    let output = crate::ground::program::deskfold(&verify).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success());
    assert_eq!(
        (told["missing"].as_array().unwrap().len(), told["damaged"].as_array().unwrap().len()),
        (1, 1),
        "{told}"
    );
    let unfit = failure(&["files", "verify", "--data-dir", data.to_str().unwrap(), "--files-url", "ftp://x"]).await;
    assert!(unfit.contains("s3://bucket"), "{unfit}");
}

/// A server that speaks S3, until the test ends.
struct Bucket(Child);

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn files_are_kept_in_a_bucket_as_in_a_folder() {
    let libraries = root().join("target/s3");
    if !libraries.join("moto").exists() {
        eprintln!("skipped: there is no server that speaks S3; deploy/install-prerequisites.sh tests installs one");
        return;
    }
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut server = Command::new("python3");
    server.args(["-m", "moto.server", "-p", &address.port().to_string()]).env("PYTHONPATH", &libraries);
    let _bucket = Bucket(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let http = Client::new(address, "");
    let made = async || {
        http.request(Method::PUT, "/deskfold-files").send().await.is_ok_and(|answer| answer.status().is_success())
    };
    assert!(until(made).await, "the bucket is made");
    let endpoint = format!("http://{address}");
    let variables = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let home = home();
    let place = ["--files-url", "s3://deskfold-files/desk"];
    let running = Running::start_in(home.path(), &place, &variables).await;
    let key = keys(&running.printed()).remove(0);
    let client = tus(&running.client(&key));
    let photo = kept(&client, "door.jpg", "", photograph()).await;
    let path = |upload: &Value, what: &str| format!("/v1/uploads/{}/{what}", upload["id"].as_str().unwrap());
    let (status, _, body) = bytes(client.request(Method::GET, &path(&photo, "content"))).await;
    assert_eq!((status, body.len() as u64), (StatusCode::OK, photo["size"].as_u64().unwrap()));
    let part = client.request(Method::GET, &path(&photo, "content")).header("range", "bytes=100-199");
    assert_eq!(bytes(part).await.2, body[100..200]);
    assert_eq!(bytes(client.request(Method::GET, &path(&photo, "thumbnail"))).await.0, StatusCode::OK);
    // So large that it goes there in several parts.
    let whole: String = (0..1_400_000).map(|number| format!("{number:09}\n")).collect();
    let large = begin(&client, whole.len()).await;
    for (from, to) in [(0, 12_500_000), (12_500_000, whole.len())] {
        let done = go_on(&client, &large, from, whole[from..to].to_owned()).await;
        assert_eq!(done.status, StatusCode::NO_CONTENT, "{}", done.text);
    }
    let id = large.rsplit('/').next().unwrap();
    assert!(client.get(&format!("/v1/uploads/{id}/content")).await.text == whole);
    assert!(!home.path().join("data/files").exists(), "nothing is in a folder");
    running.signal("TERM");
    assert!(running.end().await.0);
    let data = home.path().join("data");
    let verify = ["files", "verify", "--data-dir", data.to_str().unwrap(), "--digests", place[0], place[1]];
    let output = crate::ground::program::deskfold(&verify).envs(variables).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["files"], &told["superfluous"]), (&json!(3), &json!([])), "{told}");
}
