//! Pictures of people: each changes his own, colleagues see it, nothing of the file goes on.

use deskfold_tests::Server;
use reqwest::{Method, StatusCode};

use super::browser::{Browser, person};
use crate::world::NOBODY;

/// A picture of one pixel, in PNG.
pub(crate) const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 0x0D, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
    0, 0, 0, 0, 0x3A, 0x7E, 0x9B, 0x55, 0, 0, 0, 0x0A, b'I', b'D', b'A', b'T', 0x78, 0x9C, 0x63, 0x68, 0, 0, 0, 0x82,
    0, 0x81, 0x77, 0xCD, 0x72, 0xB6, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82,
];

pub(crate) async fn send(browser: &Browser, file: &[u8]) -> deskfold_tests::Reply {
    let request = browser.client.request(Method::PUT, "/v1/me/picture").header("sec-fetch-site", "same-origin");
    browser.send(request.body(file.to_vec())).await
}

#[tokio::test]
async fn everybody_has_a_picture_and_changes_his_own() {
    let server = Server::start().await;
    let (user, anna) = person(&server, "anna@example.com", &[]).await;
    let path = format!("/v1/users/{user}/picture");
    let drawn = server.admin.get(&path).await;
    assert_eq!(drawn.header("content-type"), "image/svg+xml");
    assert!(drawn.text.contains(">A</text>") && drawn.header("content-security-policy").contains("sandbox"));
    assert_eq!(send(&anna, PIXEL).await.status, StatusCode::NO_CONTENT);
    let shown = server.admin.get(&path).await;
    assert_eq!((shown.status, shown.header("content-type")), (StatusCode::OK, "image/jpeg"));
    assert_eq!(shown.header("cache-control"), "private, no-cache");
    // Whoever knows it is not sent it again.
    let again = server.admin.header("if-none-match", shown.header("etag")).get(&path).await;
    assert_eq!((again.status, again.text.len()), (StatusCode::NOT_MODIFIED, 0));
    // What is no picture changes nothing; nor does who is not signed in, nor another site.
    send(&anna, b"GIF89a").await.problem(422, "picture_unreadable");
    send(&anna, b"").await.problem(422, "picture_unreadable");
    send(&anna, &vec![0; (10 << 20) + 1]).await.problem(413, "body_too_large");
    let program = server.admin.request(Method::PUT, "/v1/me/picture").body(PIXEL);
    server.admin.send(program).await.problem(403, "session_needed");
    let foreign = anna.client.request(Method::PUT, "/v1/me/picture").header("sec-fetch-site", "cross-site");
    anna.send(foreign.body(PIXEL)).await.problem(403, "csrf_refused");
    assert_eq!(server.admin.get(&path).await.header("etag"), shown.header("etag"));
    // A line of pixels is cut, not grown to gigabytes.
    let mut line = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(10_000, 1).write_to(&mut line, image::ImageFormat::Png).unwrap();
    assert_eq!(send(&anna, line.get_ref()).await.status, StatusCode::NO_CONTENT);
    // Only the one in force is kept, and what is removed is gone.
    assert_eq!(send(&anna, PIXEL).await.status, StatusCode::NO_CONTENT);
    let kept = "select count(*) from auth_picture";
    let count = async || sqlx::query_scalar::<_, i64>(kept).fetch_one(&server.database.pool).await.unwrap();
    assert_eq!(count().await, 1);
    let remove = anna.client.request(Method::DELETE, "/v1/me/picture").header("sec-fetch-site", "same-origin");
    assert_eq!(anna.send(remove).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.admin.get(&path).await.header("etag"), drawn.header("etag"));
    assert_eq!(count().await, 0);
    server.admin.get(&format!("/v1/users/{NOBODY}/picture")).await.problem(404, "user_unknown");
    let other = server.another_tenant("Others").await;
    other.get(&path).await.problem(404, "user_unknown");
}
