//! The document and the page that shows it, compressed once and served from memory: both work without the internet.

use std::{io::Write, sync::LazyLock};

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::{super::kernel::routes::Routes, tenant};
use crate::{
    app::App,
    problem::Problem,
    sign_in::{Browser, Cookie},
};

/// What the page needs.
pub(super) const FILES: &[&str] = &["docs.js", "docs.css", "swagger-ui-bundle.js", "swagger-ui.css", "licence.txt"];

/// Only this server, no framing, no inline script. Swagger UI's style sheet holds its pictures as data.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /openapi.json`: to whoever shows a key, with the custom fields and the features of that tenant.
pub(super) fn document() -> Routes {
    Routes::new().get("/openapi.json", async |State(app): State<App>, browser: Browser, headers: HeaderMap| {
        let own = app.log.presence().guard(own(&app, &headers, &browser));
        let asset = match (headers.contains_key(header::AUTHORIZATION), browser.cookie(Cookie::Session)) {
            (true, _) => own.await??,
            // Whoever was signed in once is no worse off than anybody.
            (false, Some(_)) => own.await?.unwrap_or_default(),
            (false, None) => None,
        };
        let mut response = asset.as_ref().unwrap_or(&DOCUMENT).answer(&headers);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding, authorization, cookie"));
        Ok::<_, Problem>(response)
    })
}

/// The caller's own document; none when the tenant has no custom fields and every feature.
async fn own(app: &App, headers: &HeaderMap, browser: &Browser) -> Result<Option<Asset>, Problem> {
    let caller = app.caller(headers, browser).await?;
    let fields = tenant::fields(app, &caller).await?;
    if fields.is_empty() && caller.has_every_feature() {
        return Ok(None);
    }
    let made = tokio::task::spawn_blocking(move || {
        let mut document = super::document();
        tenant::tell(&mut document, &fields);
        tenant::leave_out(&mut document, &|permission| caller.missing_feature(permission).is_some());
        Asset::new("application/json", Bytes::from(document.to_string()), Compression::fast())
    });
    // It does not panic, and nobody aborts it: the general document will do otherwise.
    Ok(made.await.ok())
}

/// `GET /docs` with its files.
pub(super) fn pages() -> Routes {
    Routes::new().get("/docs", async |headers: HeaderMap| PAGE.answer(&headers)).get("/docs/{file}", file)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = match name.as_str() {
        "docs.js" => &SCRIPT,
        "docs.css" => &NARROW,
        "swagger-ui-bundle.js" => &BUNDLE,
        "swagger-ui.css" => &STYLE,
        "licence.txt" => &LICENCE,
        _ => return Err(Problem::missing("route_unknown", format!("There is no file {name} here. See /docs."))),
    };
    Ok(asset.answer(&headers))
}

static DOCUMENT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("application/json", Bytes::from(super::document().to_string()), Compression::best()));
static PAGE: LazyLock<Asset> =
    LazyLock::new(|| Asset::fixed("text/html; charset=utf-8", include_bytes!("../../../assets/docs/index.html")));
static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::fixed("text/javascript; charset=utf-8", include_bytes!("../../../assets/docs/docs.js")));
static NARROW: LazyLock<Asset> =
    LazyLock::new(|| Asset::fixed("text/css; charset=utf-8", include_bytes!("../../../assets/docs/docs.css")));
static BUNDLE: LazyLock<Asset> = LazyLock::new(|| {
    let bundle = include_bytes!("../../../assets/swagger-ui/swagger-ui-bundle.js");
    Asset::fixed("text/javascript; charset=utf-8", bundle)
});
static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::fixed("text/css; charset=utf-8", include_bytes!("../../../assets/swagger-ui/swagger-ui.css"))
});
static LICENCE: LazyLock<Asset> = LazyLock::new(|| {
    let texts = [
        include_str!("../../../assets/swagger-ui/NOTICE"),
        include_str!("../../../assets/swagger-ui/swagger-ui-bundle.js.LICENSE.txt"),
        include_str!("../../../assets/swagger-ui/LICENSE"),
    ];
    Asset::new("text/plain; charset=utf-8", Bytes::from(texts.join("\n\n")), Compression::best())
});

/// Bytes with what is needed to answer with them: most never change while the process lives.
struct Asset {
    media_type: &'static str,
    plain: Bytes,
    /// Compressed; absent where that failed, which only memory could cause.
    gzip: Option<Bytes>,
    /// Weak, since both forms have the same.
    tag: String,
}

impl Asset {
    fn fixed(media_type: &'static str, bytes: &'static [u8]) -> Asset {
        Asset::new(media_type, Bytes::from_static(bytes), Compression::best())
    }

    fn new(media_type: &'static str, plain: Bytes, compression: Compression) -> Asset {
        let digest = Sha256::digest(&plain);
        let hex: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut encoder = GzEncoder::new(Vec::new(), compression);
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish());
        Asset { media_type, plain, gzip: gzip.ok().map(Bytes::from), tag: format!("W/\"{hex}\"") }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let known = text(header::IF_NONE_MATCH).split(',').any(|tag| tag.trim() == self.tag);
        let gzip = self.gzip.as_ref().filter(|_| takes_gzip(text(header::ACCEPT_ENCODING)));
        let mut response = match (known, gzip) {
            (true, _) => StatusCode::NOT_MODIFIED.into_response(),
            (false, Some(gzip)) => ([(header::CONTENT_ENCODING, "gzip")], gzip.clone()).into_response(),
            (false, None) => self.plain.clone().into_response(),
        };
        let headers = response.headers_mut();
        if !known {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        }
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// Whether `Accept-Encoding` names gzip, and not only to refuse it.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = matches!(quality.trim().strip_prefix("q=").map(str::parse::<f32>), Some(Ok(0.0)));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for (accepted, takes) in [("gzip, br", true), ("br;q=1, GZIP;q=0.5", true), ("", false), ("gzip;q=0", false)] {
            assert_eq!(takes_gzip(accepted), takes, "{accepted}");
        }
    }

    #[test]
    fn what_the_page_names_is_served() {
        let page = String::from_utf8_lossy(&PAGE.plain);
        for (_, rest) in page.match_indices("\"/docs/").map(|(at, found)| (found, &page[at + found.len()..])) {
            let name = rest.split('"').next().unwrap();
            assert!(FILES.contains(&name), "{name}");
        }
        for address in ["http://", "https://", "//cdn"] {
            assert!(!page.contains(address), "the page loads from elsewhere: {address}");
        }
    }
}
