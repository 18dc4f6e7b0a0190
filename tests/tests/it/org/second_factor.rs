//! A second factor: codes of an app, each good once, and recovery codes for when it is lost.

use std::time::Duration;

use deskfold_tests::Server;
use reqwest::StatusCode;
use ring::hmac;
use serde_json::{Value, json};

use super::browser::{Browser, PASSWORD, link, person};

/// The code that an app shows so many seconds from now.
pub(crate) fn code(secret: &str, ahead: i64) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut count, mut key) = (0u32, 0, Vec::new());
    for letter in secret.chars() {
        bits = (bits << 5) | u32::try_from(alphabet.find(letter).unwrap()).unwrap();
        count += 5;
        if count >= 8 {
            count -= 8;
            key.push(u8::try_from((bits >> count) & 255).unwrap());
        }
    }
    let step = (jiff::Timestamp::now().as_second() + ahead) / 30;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes(tag[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// Switches it on; the secret, the recovery codes, and the code that did it.
async fn enable(browser: &Browser) -> (String, Vec<String>, String) {
    let prepared = browser.post("/v1/me/prepare_second_factor", json!({ "password": PASSWORD })).await;
    let prepared = prepared.expect(StatusCode::OK);
    let secret = prepared["secret"].as_str().unwrap().to_owned();
    let uri = prepared["uri"].as_str().unwrap();
    assert!(
        uri.starts_with("otpauth://totp/Deskfold:") && uri.contains(&format!("secret={secret}&issuer=Deskfold")),
        "{uri}"
    );
    let first = code(&secret, 0);
    let enabled = browser.post("/v1/me/enable_second_factor", json!({ "code": first })).await;
    let codes = enabled.expect(StatusCode::OK)["recovery_codes"].as_array().unwrap().clone();
    (secret, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect(), first)
}

/// Signs in up to where a code is needed.
async fn half_in(server: &Server, email: &str) -> Browser {
    let browser = Browser::new(server);
    let asked = browser.sign_in(email, PASSWORD).await.expect(StatusCode::OK);
    assert_eq!((&asked["state"], &asked["session"]), (&json!("code_needed"), &Value::Null));
    browser.get("/v1/me").await.problem(401, "key_missing");
    browser
}

#[tokio::test]
async fn with_a_second_factor_the_password_alone_opens_nothing_and_no_code_is_taken_twice() {
    let server = Server::start().await;
    let (user, browser) = person(&server, "anna@example.com", &[]).await;
    let wrong = json!({ "password": "one two three four" });
    browser.post("/v1/me/prepare_second_factor", wrong).await.problem(422, "password_wrong");
    browser
        .post("/v1/me/enable_second_factor", json!({ "code": "123456" }))
        .await
        .problem(409, "second_factor_unprepared");
    browser.post("/v1/me/prepare_second_factor", json!({ "password": PASSWORD })).await.expect(StatusCode::OK);
    browser.post("/v1/me/enable_second_factor", json!({ "code": "12345x" })).await.problem(422, "code_wrong");
    // Until a code was given it is not in force.
    Browser::new(&server).sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    let (secret, codes, used) = enable(&browser).await;
    assert_eq!(codes.len(), 10);
    let me = browser.read("/v1/me").await;
    assert_eq!((&me["second_factor"], &me["recovery_codes"]), (&json!(true), &json!(10)));

    let go_on =
        async |browser: &Browser, code: &str| browser.post("/v1/sign_in/continue", json!({ "code": code })).await;
    // The code that switched it on is used up.
    let first = half_in(&server, "anna@example.com").await;
    go_on(&first, &used).await.problem(401, "sign_in_failed");
    server.app.advance(Duration::from_secs(60));
    let fresh = code(&secret, 60);
    assert_eq!(go_on(&first, &fresh).await.expect(StatusCode::OK)["state"], "signed_in");
    assert_eq!(first.read("/v1/me").await["user"], json!(user));
    // The way is gone once it was taken, and its code too.
    let second = half_in(&server, "anna@example.com").await;
    go_on(&second, &fresh).await.problem(401, "sign_in_failed");
    server.app.advance(Duration::from_secs(60));
    assert_eq!(go_on(&second, &code(&secret, 120)).await.expect(StatusCode::OK)["state"], "signed_in");
    go_on(&Browser::new(&server), &code(&secret, 180)).await.problem(401, "sign_in_failed");
    server.settle().await;
    let session = second.read("/v1/me").await["session"].as_str().unwrap().to_owned();
    assert_eq!(server.admin.read(&format!("/v1/sessions/{session}")).await["second_factor"], true);
}

#[tokio::test]
async fn a_recovery_code_is_good_once_and_they_can_be_made_anew() {
    let server = Server::start().await;
    let (_, browser) = person(&server, "anna@example.com", &[]).await;
    let (_, codes, _) = enable(&browser).await;
    let with = async |code: &str| {
        half_in(&server, "anna@example.com").await.post("/v1/sign_in/continue", json!({ "code": code })).await
    };
    let typed = codes[0].to_lowercase().replace('-', " ");
    with(&typed).await.expect(StatusCode::OK);
    with(&codes[0]).await.problem(401, "sign_in_failed");
    assert_eq!(browser.read("/v1/me").await["recovery_codes"], 9);
    let made = browser.post("/v1/me/replace_recovery_codes", json!({ "password": PASSWORD })).await;
    let made = made.expect(StatusCode::OK)["recovery_codes"].as_array().unwrap().clone();
    with(&codes[1]).await.problem(401, "sign_in_failed");
    with(made[0].as_str().unwrap()).await.expect(StatusCode::OK);
    let kept: i64 =
        sqlx::query_scalar("select count(*) from auth_recovery_code").fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(kept, 9);
}

#[tokio::test]
async fn codes_are_not_guessed() {
    let server = Server::start().await;
    let (_, browser) = person(&server, "anna@example.com", &[]).await;
    let (secret, ..) = enable(&browser).await;
    server.app.advance(Duration::from_secs(60));
    let guessing = half_in(&server, "anna@example.com").await;
    let guess = async |code: &str| guessing.post("/v1/sign_in/continue", json!({ "code": code })).await;
    for _ in 0..6 {
        guess("000000").await.problem(401, "sign_in_failed");
    }
    let refused = guess(&code(&secret, 60)).await;
    refused.problem(429, "too_many_attempts");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    server.app.advance(Duration::from_secs(seconds));
    guess(&code(&secret, 60)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_link_for_the_password_is_no_way_around_the_code_and_an_administrator_switches_it_off() {
    let server = Server::start().await;
    let (user, browser) = person(&server, "anna@example.com", &[]).await;
    enable(&browser).await;
    let handed = link(&server.admin, &user, "password").await;
    let other = Browser::new(&server);
    let followed = other.post("/v1/links/follow", json!({ "link": handed, "password": PASSWORD })).await;
    assert_eq!(followed.expect(StatusCode::OK)["state"], "code_needed");
    other.get("/v1/me").await.problem(401, "key_missing");
    // Not even with a key of his own: only whoever may do as much as he.
    let (_, less) = super::auth::user_with(&server, "less@example.com", &["session.read"]).await;
    let path = format!("/v1/users/{user}/disable_second_factor");
    less.post(&path, json!({})).await.problem(403, "permission_denied");
    assert_eq!(server.admin.run(&path, json!({})).await, ["user.second_factor_disabled"]);
    let signed = other.sign_in("anna@example.com", PASSWORD).await.expect(StatusCode::OK);
    assert_eq!(signed["state"], "signed_in");
    let (_, codes, _) = enable(&other).await;
    assert_eq!(codes.len(), 10);
    let off = other.post("/v1/me/disable_second_factor", json!({ "password": PASSWORD })).await;
    assert_eq!(off.status, StatusCode::NO_CONTENT);
    assert_eq!(other.read("/v1/me").await["second_factor"], false);
}
