//! People sign in: invitations, passwords, sessions, several tenants, and what keeps others out.

use std::{collections::BTreeSet, io::Write, sync::Arc, time::Duration};

use deskfold_tests::{Client, Reply, Server};
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::{Browser, PASSWORD, link, person};
use crate::world::{NOBODY, employ, texts};

const HOUR: u64 = 60 * 60;

/// The types of what happened to a record.
async fn history(admin: &Client, path: &str) -> Vec<String> {
    let history = admin.read(&format!("{path}/history?limit=200")).await;
    texts(&history, "type")
}

/// What a refusal says, without what differs each time.
fn told(reply: &Reply) -> Value {
    let mut told = reply.json();
    told.as_object_mut().unwrap().remove("trace_id");
    told
}

#[tokio::test]
async fn whoever_is_invited_sets_a_password_by_the_link_and_has_the_rights_of_his_roles() {
    let server = Server::start().await;
    let admin = &server.admin;
    let role = admin.create("/v1/roles", json!({ "name": "desk", "permissions": ["ticket.*"] })).await;
    let user = admin.create("/v1/users", json!({ "email": "anna@example.com", "name": "Anna" })).await;
    admin.run(&format!("/v1/users/{user}/grant_role"), json!({ "role": role })).await;
    let (first, second) = (link(admin, &user, "password").await, link(admin, &user, "password").await);
    assert!(first.starts_with(&format!("{}/link/", admin.base)), "{first}");
    let browser = Browser::new(&server);
    let look = async |link: &str| browser.post("/v1/links/look", json!({ "link": link })).await;
    look(&first).await.problem(409, "user_link_invalid");
    look("nonsense").await.problem(409, "user_link_invalid");
    let seen = look(&second).await.expect(StatusCode::OK);
    assert_eq!(
        (&seen["purpose"], &seen["invitation"], &seen["name"]),
        (&json!("password"), &json!(true), &json!("Anna"))
    );
    let follow =
        async |password: &str| browser.post("/v1/links/follow", json!({ "link": second, "password": password })).await;
    admin.run(&format!("/v1/tenants/{}/rename", server.tenant), json!({ "name": "Zebra Travel" })).await;
    for unfit in ["too short", "password1234", "anna likes dogs", "4nn4 likes dogs", "p4ssw0rd!2031", "z3bras are fine"]
    {
        let refused = follow(unfit).await.problem(422, "password_unfit");
        assert_eq!(refused["errors"][0]["pointer"], "/password");
    }
    let followed = follow(PASSWORD).await;
    let set: Vec<_> = followed.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    assert_eq!(set.len(), 1);
    let (cookie, rest) = set[0].split_once("; ").unwrap();
    assert!(cookie.starts_with("deskfold=") && cookie.len() == "deskfold=".len() + 64, "{cookie}");
    assert_eq!(rest, "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
    let state = followed.expect(StatusCode::OK);
    assert_eq!((&state["state"], &state["user"]), (&json!("signed_in"), &json!(user)));
    follow(PASSWORD).await.problem(409, "user_link_invalid");

    let me = browser.read("/v1/me").await;
    assert_eq!((&me["user"], &me["session"], &me["key"]), (&json!(user), &state["session"], &Value::Null));
    assert_eq!(me["roles"], json!(["desk"]));
    let ticket = browser.post("/v1/tickets", json!({ "title": "Mine" })).await.expect(StatusCode::CREATED);
    browser.get("/v1/contacts").await.problem(403, "permission_denied");
    let events = admin.read(&format!("/v1/tickets/{}/history", ticket["id"].as_str().unwrap())).await;
    assert_eq!(events["data"][0]["actor"], json!({ "kind": "user", "id": user }));
    // What became of it is on record, and who did it.
    let happened = history(admin, &format!("/v1/users/{user}")).await;
    let expected = ["user.invited", "user.role_granted", "user.link_issued", "user.link_issued", "user.password_set"];
    assert_eq!(happened, [&expected[..], &["user.activated"]].concat());
    let session = format!("/v1/sessions/{}", state["session"].as_str().unwrap());
    assert_eq!(history(admin, &session).await, ["session.started"]);
    server.settle().await;
    let shown = admin.read(&session).await;
    assert_eq!(
        (&shown["method"], &shown["status"], &shown["user_name"]),
        (&json!("link"), &json!("active"), &json!("Anna"))
    );
    assert_eq!(shown["address"], "127.0.0.1");

    // Whoever was signed in once signs in again.
    let other = Browser::new(&server);
    other.sign_in("Anna@Example.com", PASSWORD).await.expect(StatusCode::OK);
    assert_eq!(other.read("/v1/me").await["user"], json!(user));
}

#[tokio::test]
async fn a_link_is_for_whoever_may_hand_it_out_and_good_for_a_while() {
    let server = Server::start().await;
    let admin = &server.admin;
    let boss = admin.read("/v1/me").await["user"].as_str().unwrap().to_owned();
    let (_, plain) = super::auth::user_with(&server, "plain@example.com", &["user.*"]).await;
    let (_, none) = super::auth::user_with(&server, "none@example.com", &["user.read"]).await;
    let user = admin.create("/v1/users", json!({ "email": "anna@example.com", "name": "Anna" })).await;
    let issue = |user: &str| format!("/v1/users/{user}/issue_link");
    let password = || json!({ "purpose": "password" });
    none.post(&issue(&user), password()).await.problem(403, "permission_denied");
    // Nobody becomes somebody who may do more.
    plain.post(&issue(&boss), password()).await.problem(403, "permission_denied");
    plain.post(&issue(NOBODY), password()).await.problem(404, "user_unknown");
    plain.post(&issue(&user), json!({ "purpose": "email" })).await.problem(409, "user_email_not_requested");
    let keyed = plain.header("idempotency-key", "link");
    let first = keyed.post(&issue(&user), password()).await.expect(StatusCode::OK);
    assert!(first["link"].is_string() && keyed.post(&issue(&user), password()).await.json().get("link").is_none());
    let look = async || Browser::new(&server).post("/v1/links/look", json!({ "link": first["link"] })).await;
    server.app.advance(Duration::from_secs(7 * 24 * HOUR - 60));
    look().await.expect(StatusCode::OK);
    server.app.advance(Duration::from_secs(120));
    look().await.problem(409, "user_link_invalid");
    let again = link(admin, &user, "password").await;
    admin.run(&format!("/v1/users/{user}/deactivate"), json!({})).await;
    let browser = Browser::new(&server);
    browser
        .post("/v1/links/follow", json!({ "link": again, "password": PASSWORD }))
        .await
        .problem(409, "user_link_invalid");
}

#[tokio::test]
async fn signing_in_makes_a_new_cookie_and_the_former_one_is_worthless() {
    let server = Server::start().await;
    let (_, browser) = person(&server, "anna@example.com", &[]).await;
    let before = browser.moved(&server.admin);
    browser.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    assert_ne!(before.cookies()["deskfold"], browser.cookies()["deskfold"]);
    before.get("/v1/me").await.problem(401, "session_ended");
    let sessions = browser.read("/v1/me/sessions").await;
    assert_eq!(sessions["data"].as_array().unwrap().len(), 1, "{sessions}");
    let ended = server.admin.read("/v1/events?types=session.ended").await;
    assert_eq!(ended["data"][0]["data"], json!({ "reason": "replaced" }));
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_and_all_at_once() {
    let server = Server::start().await;
    let (user, here) = person(&server, "anna@example.com", &[]).await;
    let (_, stranger) = person(&server, "boris@example.com", &["session.end", "session.end_any"]).await;
    let away = Browser::at(&server.client("").header("user-agent", "Telephone/7"));
    away.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    let sessions = here.read("/v1/me/sessions").await["data"].as_array().unwrap().clone();
    assert_eq!(sessions.len(), 2);
    let other = sessions.iter().find(|session| session["current"] == false).unwrap();
    assert_eq!((&other["user_agent"], &other["method"]), (&json!("Telephone/7"), &json!("password")));
    assert_eq!(other["address"], "127.0.0.1");
    assert!(other["last_seen_at"].is_string() && other["expires_at"].is_string());
    // Nobody else's.
    let theirs = stranger.read("/v1/me/sessions").await["data"][0]["id"].clone();
    here.post("/v1/me/end_session", json!({ "session": theirs })).await.problem(404, "session_unknown");
    here.post("/v1/me/end_session", json!({ "session": other["id"] })).await;
    away.get("/v1/me").await.problem(401, "session_ended");
    here.get("/v1/me").await.expect(StatusCode::OK);
    // With the permission for any, a colleague's.
    away.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    let session = away.read("/v1/me").await["session"].as_str().unwrap().to_owned();
    let path = format!("/v1/sessions/{session}/end");
    here.post(&path, json!({})).await.problem(403, "permission_denied");
    stranger.post(&path, json!({})).await.expect(StatusCode::OK);
    away.get("/v1/me").await.problem(401, "session_ended");

    away.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    let out = here.post("/v1/me/sign_out_everywhere", json!({})).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(here.cookies().is_empty());
    away.get("/v1/me").await.problem(401, "session_ended");
    away.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    let out = away.post("/v1/me/sign_out", json!({})).await;
    assert_eq!((out.status, away.cookies().is_empty()), (StatusCode::NO_CONTENT, true));
    server.settle().await;
    let listed = server.admin.read("/v1/sessions?limit=50&sort=started_at").await;
    let of_anna: Vec<_> =
        listed["data"].as_array().unwrap().iter().filter(|session| session["user_id"] == json!(user)).collect();
    let reasons: Vec<_> = of_anna.iter().map(|session| session["ended_reason"].clone()).collect();
    assert_eq!(reasons, ["signed_out", "signed_out", "revoked", "signed_out", "signed_out"].map(|text| json!(text)));
    // A program with a key has no session to sign out of.
    server.admin.post("/v1/me/sign_out", json!({})).await.problem(403, "session_needed");
}

#[tokio::test]
async fn a_session_ends_that_nobody_uses_and_that_has_lasted_long_enough() {
    let server = Server::with(&["--session-idle", "2h", "--session-lifetime", "5h"]).await;
    let (_, used) = person(&server, "anna@example.com", &[]).await;
    let (_, idle) = person(&server, "boris@example.com", &[]).await;
    for _ in 0..3 {
        server.app.advance(Duration::from_secs(HOUR + HOUR / 2));
        used.get("/v1/me").await.expect(StatusCode::OK);
    }
    idle.get("/v1/me").await.problem(401, "session_ended");
    server.app.advance(Duration::from_secs(HOUR));
    used.get("/v1/me").await.problem(401, "session_ended");
    server.settle().await;
    let ended = server.admin.read("/v1/events?types=session.ended").await;
    assert_eq!(
        texts(&json!({ "data": [ended["data"][0]["data"], ended["data"][1]["data"]] }), "reason"),
        ["expired"; 2]
    );
    let left: i64 =
        sqlx::query_scalar("select count(*) from auth_session").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_deactivated_users_sessions_end_at_once_and_do_not_come_back() {
    let server = Server::start().await;
    let (user, browser) = person(&server, "anna@example.com", &[]).await;
    let (other, admin_beside) = server.beside(&[]).await;
    let beside = browser.moved(&admin_beside);
    beside.get("/v1/me").await.expect(StatusCode::OK);
    server.admin.run(&format!("/v1/users/{user}/deactivate"), json!({})).await;
    browser.get("/v1/me").await.problem(401, "session_ended");
    browser.sign_in("anna@example.com", PASSWORD).await.problem(401, "sign_in_failed");
    server.admin.run(&format!("/v1/users/{user}/activate"), json!({})).await;
    browser.get("/v1/me").await.problem(401, "session_ended");
    other.settle().await.unwrap();
    beside.get("/v1/me").await.problem(401, "session_ended");
    server.settle().await;
    let ended = server.admin.read("/v1/events?types=session.ended").await;
    assert_eq!(ended["data"].as_array().unwrap().len(), 1, "{ended}");
    browser.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    other.stop().await;
}

#[tokio::test]
async fn sessions_outlive_the_server_and_are_the_same_on_all_of_them() {
    let server = Server::start().await;
    let (_, browser) = person(&server, "anna@example.com", &[]).await;
    // Nothing of it was told to the process that goes on.
    server.app.stop().await;
    let (other, client) = server.beside(&[]).await;
    let beside = browser.moved(&client);
    beside.get("/v1/me").await.expect(StatusCode::OK);
    beside.post("/v1/me/sign_out", json!({})).await;
    let (third, client) = server.beside(&[]).await;
    browser.moved(&client).get("/v1/me").await.problem(401, "session_ended");
    other.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn what_another_site_makes_a_browser_send_is_refused() {
    let server = Server::start().await;
    let (_, browser) = person(&server, "anna@example.com", &["ticket.*"]).await;
    let base = server.admin.base.clone();
    let send = async |headers: &[(&str, &str)]| {
        let mut request = browser.client.request(Method::POST, "/v1/tickets").json(&json!({ "title": "x" }));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        browser.send(request).await
    };
    let foreign: [&[(&str, &str)]; 6] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &base)],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("referer", "https://evil.example/page")],
    ];
    for headers in foreign {
        send(headers).await.problem(403, "csrf_refused");
    }
    let own: [&[(&str, &str)]; 3] =
        [&[("sec-fetch-site", "same-origin")], &[("origin", &base)], &[("referer", &format!("{base}/tickets"))]];
    for headers in own {
        send(headers).await.expect(StatusCode::CREATED);
    }
    // Reading is no harm, and a key is no cookie.
    browser.get("/v1/me").await.expect(StatusCode::OK);
    let keyed = server.admin.header("origin", "https://evil.example");
    keyed.post("/v1/tickets", json!({ "title": "x" })).await.expect(StatusCode::CREATED);
    // Nor does another site sign anybody in.
    let body = json!({ "email": "anna@example.com", "password": PASSWORD });
    let evil = server.client("").header("origin", "https://evil.example");
    evil.post("/v1/sign_in", body.clone()).await.problem(403, "csrf_refused");
    server.client("").post("/v1/sign_in", body).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn behind_tls_the_cookie_is_the_hosts_own_and_goes_over_nothing_else() {
    let server = Server::with(&["--trusted-proxies", "127.0.0.0/8"]).await;
    person(&server, "anna@example.com", &[]).await;
    let proxied = server.client("").header("x-forwarded-proto", "https").header("x-forwarded-for", "203.0.113.7");
    let browser = Browser::at(&proxied);
    let reply = browser.sign_in("anna@example.com", PASSWORD).await;
    let set = reply.header("set-cookie");
    assert!(set.starts_with("__Host-deskfold=") && set.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{set}");
    assert_eq!(browser.read("/v1/me/sessions").await["data"][0]["address"], "203.0.113.7");
    // Without TLS it is no cookie, and one that was set without TLS is none behind it.
    browser.moved(&server.admin).get("/v1/me").await.problem(401, "key_missing");
    let planted = format!("deskfold={}", browser.cookies()["__Host-deskfold"]);
    proxied.header("cookie", planted).get("/v1/me").await.problem(401, "key_missing");
    // Whoever is no trusted proxy says what he likes.
    let open = Server::start().await;
    person(&open, "anna@example.com", &[]).await;
    let lying = open.client("").header("x-forwarded-proto", "https").header("x-forwarded-for", "203.0.113.7");
    let reply = Browser::at(&lying).sign_in("anna@example.com", PASSWORD).await;
    assert!(reply.header("set-cookie").starts_with("deskfold="), "{}", reply.header("set-cookie"));
}

#[tokio::test]
async fn plain_forms_sign_in_and_out_and_lead_nowhere_else() {
    let server = Server::start().await;
    person(&server, "anna@example.com", &[]).await;
    let browser = Browser::new(&server);
    let fields = [("email", "anna@example.com"), ("password", PASSWORD), ("tenant", ""), ("next", "/me?tab=1")];
    let reply = browser.submit("/v1/sign_in", &fields).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/me?tab=1"));
    browser.get("/v1/me").await.expect(StatusCode::OK);
    for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "/a b"] {
        let fields = [("email", "anna@example.com"), ("password", PASSWORD), ("next", elsewhere)];
        let refused = Browser::new(&server).submit("/v1/sign_in", &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text.contains("Something in the form does not fit."), "{}", refused.text);
    }
    let reply = browser.submit("/v1/me/sign_out", &[("next", "/")]).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/"));
    browser.get("/v1/me").await.problem(401, "key_missing");
}

#[tokio::test]
async fn whoever_guesses_waits_longer_each_time_and_learns_nothing() {
    let trusting = ["--trusted-proxies", "127.0.0.1"];
    let server = Server::with(&trusting).await;
    person(&server, "anna@example.com", &[]).await;
    let (other, beside) = server.beside(&trusting).await;
    let advance = |seconds: u64| {
        server.app.advance(Duration::from_secs(seconds));
        other.advance(Duration::from_secs(seconds));
    };
    let mut refusals = BTreeSet::new();
    // The same for an account there is and one there is not: answers, attempts, waits.
    for (email, address) in [("anna@example.com", "203.0.113.7"), ("nobody@example.com", "203.0.113.8")] {
        let from = |client: Client| Browser::at(&client.header("x-forwarded-for", address));
        // Whichever gateway it comes to.
        let (here, there) = (from(server.client("")), from(beside.clone()));
        let guess = async |browser: &Browser| browser.sign_in(email, "one two three four").await;
        for round in 0..6 {
            let refused = guess(if round % 2 == 0 { &here } else { &there }).await;
            refused.problem(401, "sign_in_failed");
            refusals.insert(told(&refused).to_string());
        }
        let mut waits = Vec::new();
        for _ in 0..4 {
            let refused = guess(&there).await;
            refused.problem(429, "too_many_attempts");
            let seconds: u64 = refused.header("retry-after").parse().unwrap();
            waits.push(seconds);
            // Not even the right password is looked at meanwhile.
            here.sign_in(email, PASSWORD).await.problem(429, "too_many_attempts");
            advance(seconds);
            guess(&here).await.problem(401, "sign_in_failed");
        }
        assert!(waits.windows(2).all(|pair| pair[1] > pair[0]) && waits[3] > 4 && waits[3] <= 8, "{email}: {waits:?}");
    }
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    advance(HOUR);
    // Whoever gets in begins anew.
    let here = Browser::at(&server.client("").header("x-forwarded-for", "203.0.113.9"));
    here.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    for _ in 0..6 {
        here.sign_in("anna@example.com", "one two three four").await.problem(401, "sign_in_failed");
    }
    let counted = server.admin.get("/metrics").await.expect_text();
    assert!(counted.contains("deskfold_sign_ins_total{result=\"throttled\"}"), "{counted}");
    other.stop().await;
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_waits_and_others_do_not() {
    let server = Server::with(&["--trusted-proxies", "127.0.0.1"]).await;
    person(&server, "anna@example.com", &[]).await;
    let from = |address: &str| Browser::at(&server.client("").header("x-forwarded-for", address));
    let mut refused = 0;
    for account in 0..25 {
        let reply = from("203.0.113.7").sign_in(&format!("{account}@example.com"), "one two three four").await;
        refused += usize::from(reply.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 0);
    from("203.0.113.7").sign_in("anna@example.com", PASSWORD).await.problem(429, "too_many_attempts");
    from("203.0.113.8").sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_forgotten_password_is_helped_by_a_link_and_tells_nobody_who_is_here() {
    let server = Server::start().await;
    let (user, before) = person(&server, "anna@example.com", &[]).await;
    let browser = Browser::new(&server);
    let mut answers = BTreeSet::new();
    for email in ["anna@example.com", "nobody@example.com", "no address"] {
        let reply = browser.post("/v1/sign_in/forgotten", json!({ "email": email })).await;
        answers.insert((reply.status.as_u16(), reply.text.clone()));
    }
    assert_eq!(answers, BTreeSet::from([(204, String::new())]));
    let forgotten = async || {
        let events = server.admin.read("/v1/events?types=user.password_forgotten").await;
        events["data"].as_array().unwrap().clone()
    };
    // It is written down after the answer was given.
    while forgotten().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let events = forgotten().await;
    assert_eq!((events.len(), &events[0]["stream"]), (1, &json!(format!("user-{user}"))));
    let handed = link(&server.admin, &user, "password").await;
    let new = "ten noisy herons";
    let followed = browser.post("/v1/links/follow", json!({ "link": handed, "password": new })).await;
    assert_eq!(followed.expect(StatusCode::OK)["state"], "signed_in");
    before.get("/v1/me").await.problem(401, "session_ended");
    before.sign_in("anna@example.com", PASSWORD).await.problem(401, "sign_in_failed");
    before.sign_in("anna@example.com", new).await.expect(StatusCode::OK);
    let kept: i64 = sqlx::query_scalar("select count(*) from auth_password where user_id = $1")
        .bind(&user)
        .fetch_one(&server.database.pool)
        .await
        .unwrap();
    assert_eq!(kept, 1, "former passwords are not kept");
}

#[tokio::test]
async fn a_new_password_needs_the_former_one_and_ends_all_other_sessions() {
    let server = Server::start().await;
    let (user, here) = person(&server, "anna@example.com", &[]).await;
    let away = Browser::new(&server);
    away.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    let change = async |current: &str, password: &str| {
        here.post("/v1/me/change_password", json!({ "current": current, "password": password })).await
    };
    let wrong = change("one two three four", "ten noisy herons").await.problem(422, "password_wrong");
    assert_eq!(wrong["errors"][0]["pointer"], "/current");
    change(PASSWORD, "short").await.problem(422, "password_unfit");
    let before = here.moved(&server.admin);
    let changed = change(PASSWORD, "ten noisy herons").await.expect(StatusCode::OK);
    assert_eq!(changed["state"], "signed_in");
    here.get("/v1/me").await.expect(StatusCode::OK);
    away.get("/v1/me").await.problem(401, "session_ended");
    before.get("/v1/me").await.problem(401, "session_ended");
    let ended = server.admin.read("/v1/events?types=session.ended").await;
    let reasons: Vec<_> =
        ended["data"].as_array().unwrap().iter().map(|event| event["data"]["reason"].clone()).collect();
    assert_eq!(reasons, ["password_set", "password_set"].map(|text| json!(text)));
    assert!(history(&server.admin, &format!("/v1/users/{user}")).await.ends_with(&["user.password_set".to_owned()]));
    // A key that leaks changes no password.
    let issued = server.admin.post("/v1/api_keys", json!({ "name": "x", "user": user })).await.json();
    let body = json!({ "current": "ten noisy herons", "password": PASSWORD });
    let keyed = server.client(issued["key"].as_str().unwrap());
    keyed.post("/v1/me/change_password", body).await.problem(403, "session_needed");
}

#[tokio::test]
async fn an_address_is_ones_own_when_the_link_that_was_sent_there_is_followed() {
    let server = Server::start().await;
    let (user, browser) = person(&server, "anna@example.com", &[]).await;
    let ask = async |password: &str, email: &str| {
        browser.post("/v1/me/request_email", json!({ "email": email, "password": password })).await
    };
    ask("one two three four", "neri@example.com").await.problem(422, "password_wrong");
    ask(PASSWORD, "neri").await.problem(422, "email_invalid");
    assert_eq!(ask(PASSWORD, "neri@example.com").await.status, StatusCode::NO_CONTENT);
    let me = browser.read("/v1/me").await;
    assert_eq!((&me["email"], &me["wanted_email"]), (&json!("anna@example.com"), &json!("neri@example.com")));
    let handed = link(&server.admin, &user, "email").await;
    let seen = browser.post("/v1/links/look", json!({ "link": handed })).await.expect(StatusCode::OK);
    assert_eq!((&seen["purpose"], &seen["email"]), (&json!("email"), &json!("neri@example.com")));
    // A link to confirm an address sets no password.
    let follow = json!({ "link": handed, "password": "ten noisy herons" });
    let followed = browser.post("/v1/links/follow", follow.clone()).await.expect(StatusCode::OK);
    assert_eq!(followed["state"], "done");
    browser.post("/v1/links/follow", follow).await.problem(409, "user_link_invalid");
    assert_eq!(browser.read("/v1/me").await["email"], "neri@example.com");
    let other = Browser::new(&server);
    other.sign_in("anna@example.com", PASSWORD).await.problem(401, "sign_in_failed");
    other.sign_in("neri@example.com", PASSWORD).await.expect(StatusCode::OK);
    // An address that a colleague has taken meanwhile is the colleague's.
    ask(PASSWORD, "dora@example.com").await;
    let handed = link(&server.admin, &user, "email").await;
    server.admin.create("/v1/users", json!({ "email": "dora@example.com", "name": "Dora" })).await;
    browser.post("/v1/links/follow", json!({ "link": handed })).await.problem(409, "user_email_taken");
}

/// The same person in another tenant, with a password of his own there.
async fn in_tenant(server: &Server, admin: &Client, email: &str, password: &str) -> String {
    let me = admin.read("/v1/me").await;
    let role = admin.create("/v1/roles", json!({ "name": email, "permissions": [] })).await;
    let user = admin.create("/v1/users", json!({ "email": email, "name": email })).await;
    employ(admin, &user, &role).await;
    let handed = link(admin, &user, "password").await;
    let body = json!({ "link": handed, "password": password });
    Browser::new(server).post("/v1/links/follow", body).await.expect(StatusCode::OK);
    me["tenant"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_address_in_several_tenants_is_a_choice_after_the_password_and_none_by_host_name() {
    let server = Server::start().await;
    let email = "anna@example.com";
    let (acme, bolt) = (server.another_tenant("Acme").await, server.another_tenant("Bolt").await);
    let acme_id = in_tenant(&server, &acme, email, PASSWORD).await;
    let bolt_id = in_tenant(&server, &bolt, email, PASSWORD).await;
    in_tenant(&server, &server.admin, email, "ten noisy herons").await;
    let browser = Browser::new(&server);
    // Whoever does not know the password learns of no tenant.
    let wrong = browser.sign_in(email, "one two three four").await;
    assert_eq!(told(&wrong), told(&browser.sign_in("nobody@example.com", "one two three four").await));
    let asked = browser.sign_in(email, PASSWORD).await.expect(StatusCode::OK);
    assert_eq!(asked["state"], "tenant_needed");
    let names: BTreeSet<_> = texts(&json!({ "data": asked["tenants"] }), "name").into_iter().collect();
    assert_eq!(names, BTreeSet::from(["Acme", "Bolt"].map(ToOwned::to_owned)), "not the one with another password");
    browser.get("/v1/me").await.problem(401, "key_missing");
    // Only one of those.
    let go_on = async |tenant: &str| browser.post("/v1/sign_in/continue", json!({ "tenant": tenant })).await;
    go_on(&server.tenant).await.problem(401, "sign_in_failed");
    assert_eq!(go_on(&bolt_id).await.expect(StatusCode::OK)["state"], "signed_in");
    assert_eq!(browser.read("/v1/me").await["tenant"], json!(bolt_id));
    go_on(&acme_id).await.problem(401, "sign_in_failed");
    let named = json!({ "email": email, "password": PASSWORD, "tenant": acme_id });
    assert_eq!(browser.post("/v1/sign_in", named).await.expect(StatusCode::OK)["tenant"], json!(acme_id));

    // By host name there is nothing to choose. Only those who operate the server say which is whose.
    let host = json!({ "host": "desk.acme.example", "tenant": acme_id });
    acme.post("/v1/host_names", host.clone()).await.problem(403, "permission_denied");
    assert_eq!(server.admin.run("/v1/host_names", host).await, ["tenant.host_name_added"]);
    let taken = json!({ "host": "desk.acme.example", "tenant": bolt_id });
    server.admin.post("/v1/host_names", taken).await.problem(409, "tenant_host_name_taken");
    server.admin.post("/v1/host_names", json!({ "host": "Desk" })).await.problem(422, "tenant_host_name_invalid");
    assert_eq!(acme.read("/v1/host_names").await["data"], json!(["desk.acme.example"]));
    let there = Browser::at(&server.client("").header("host", "desk.acme.example"));
    let ways = there.read("/v1/sign_in").await;
    assert_eq!((&ways["tenant"]["id"], &ways["tenant"]["name"]), (&json!(acme_id), &json!("Acme")));
    let signed = there.sign_in(email, PASSWORD).await.expect(StatusCode::OK);
    assert_eq!((&signed["state"], &signed["tenant"]), (&json!("signed_in"), &json!(acme_id)));
    there.sign_in(email, "ten noisy herons").await.problem(401, "sign_in_failed");
    let elsewhere = json!({ "email": email, "password": PASSWORD, "tenant": bolt_id });
    assert_eq!(there.post("/v1/sign_in", elsewhere).await.expect(StatusCode::OK)["tenant"], json!(acme_id));
    assert_eq!(browser.read("/v1/sign_in").await["tenant"], Value::Null);
    // A name in another script, however it is written there and here.
    let own = json!({ "host": "Hilfe.Bücher.example", "tenant": acme_id });
    assert_eq!(server.admin.run("/v1/host_names", own.clone()).await, ["tenant.host_name_added"]);
    let again = json!({ "host": "hilfe.xn--bcher-kva.example", "tenant": acme_id });
    assert_eq!(server.admin.run("/v1/host_names", again).await, [""; 0]);
    for taken in ["HILFE.BÜCHER.example", "hilfe.xn--bcher-kva.example."] {
        let taken = json!({ "host": taken, "tenant": bolt_id });
        server.admin.post("/v1/host_names", taken).await.problem(409, "tenant_host_name_taken");
    }
    let names = json!(["desk.acme.example", "hilfe.xn--bcher-kva.example"]);
    assert_eq!(acme.read("/v1/host_names").await["data"], names);
    for asked in ["hilfe.xn--bcher-kva.example", "Hilfe.XN--BCHER-kva.Example:8443", "hilfe.xn--bcher-kva.example."] {
        let there = Browser::at(&server.client("").header("host", asked));
        let signed = there.sign_in(email, PASSWORD).await.expect(StatusCode::OK);
        assert_eq!((&signed["state"], &signed["tenant"]), (&json!("signed_in"), &json!(acme_id)), "{asked}");
    }
    assert_eq!(server.admin.run("/v1/host_names/remove", own).await, ["tenant.host_name_removed"]);
    let gone = json!({ "host": "desk.acme.example", "tenant": acme_id });
    server.admin.run("/v1/host_names/remove", gone).await;
    assert_eq!(there.sign_in(email, PASSWORD).await.expect(StatusCode::OK)["state"], "tenant_needed");
}

/// Takes log lines of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_in_the_log_in_log_lines_or_shown_a_second_time() {
    use tracing_subscriber::{filter::LevelFilter, util::SubscriberInitExt};
    let lines = Lines::default();
    let writer = lines.clone();
    // Beside one subscriber alone, whichever test comes first to a place that logs decides for all that nobody listens there.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone());
    let _taken = subscriber.finish().set_default();
    let key = "5e".repeat(32);
    let server = Server::with(&["--secret-key", &key]).await;
    let (user, browser) = person(&server, "anna@example.com", &["*.read"]).await;
    let mut secrets = BTreeSet::from([PASSWORD.to_owned(), key]);
    let keep = |secrets: &mut BTreeSet<String>, browser: &Browser| secrets.extend(browser.cookies().into_values());
    keep(&mut secrets, &browser);
    let handed = link(&server.admin, &user, "password").await;
    secrets.insert(handed.rsplit_once('/').unwrap().1.to_owned());
    let follow = json!({ "link": handed, "password": "ten noisy herons" });
    browser.post("/v1/links/follow", follow).await.expect(StatusCode::OK);
    secrets.insert("ten noisy herons".to_owned());
    keep(&mut secrets, &browser);
    let confirm = json!({ "password": "ten noisy herons" });
    let prepared = browser.post("/v1/me/prepare_second_factor", confirm.clone()).await.expect(StatusCode::OK);
    let secret = prepared["secret"].as_str().unwrap().to_owned();
    let code = super::second_factor::code(&secret, 0);
    let enabled = browser.post("/v1/me/enable_second_factor", json!({ "code": code })).await.expect(StatusCode::OK);
    secrets.insert(secret);
    let codes = enabled["recovery_codes"].as_array().unwrap();
    secrets.extend(codes.iter().map(|code| code.as_str().unwrap().to_owned()));
    let other = Browser::new(&server);
    other.sign_in("anna@example.com", "ten noisy herons").await.expect(StatusCode::OK);
    keep(&mut secrets, &other);
    other.post("/v1/sign_in/continue", json!({ "code": codes[0] })).await.expect(StatusCode::OK);
    keep(&mut secrets, &other);
    other.sign_in("anna@example.com", "the wrong password").await.problem(401, "sign_in_failed");
    secrets.insert("the wrong password".to_owned());
    let provider = json!({
        "name": "Elsewhere", "issuer": "http://127.0.0.1:1", "client_id": "deskfold", "client_secret": "a client's secret",
    });
    server.admin.put("/v1/identity_provider", provider).await.expect(StatusCode::OK);
    secrets.insert("a client's secret".to_owned());
    server.settle().await;
    assert!(secrets.len() > 18, "{secrets:?}");

    let mut told: Vec<(String, String)> = Vec::new();
    for route in gateway::routes() {
        let single = !route.path.contains('{') && !route.path.ends_with("/stream");
        if route.method == Method::GET && single {
            told.push((route.path.clone(), server.admin.get(&route.path).await.text));
            told.push((format!("{} of anna", route.path), browser.get(&route.path).await.text));
        }
    }
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'",
    )
    .fetch_all(&server.database.pool)
    .await
    .unwrap();
    for table in tables {
        // Bytes of events and snapshots as the text that they are.
        let text = match table.as_str() {
            "log_event" => "select coalesce(string_agg(encode(data, 'escape') || encode(metadata, 'escape'), '|'), '') from log_event".to_owned(),
            _ => format!("select coalesce(string_agg(t::text, '|'), '') from {table} t"),
        };
        let text: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(&server.database.pool).await.unwrap();
        told.push((table, text));
    }
    told.push(("log lines".to_owned(), String::from_utf8_lossy(&lines.0.lock()).into_owned()));
    assert!(told.last().unwrap().1.contains("answered"), "log lines are taken");
    for (place, text) in &told {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{place} has {secret}");
        }
    }
    server.stop().await;
}
