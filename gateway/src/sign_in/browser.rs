//! Who sends a request: from which address, over which origin, with which cookies, and whether another site made it do so.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
};

use crate::{app::App, config::SignIn, problem::Problem};

/// A cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The session.
    Session,
    /// The way from a password to a session: which tenant, which code.
    Step,
    /// The way to an OpenID provider and back.
    Provider,
    /// In which language pages are to be.
    Language,
    /// How bright pages are to be.
    Theme,
    /// The session of a customer in a portal.
    Portal,
}

impl Cookie {
    /// Its name. Behind TLS the browser itself sees to it that no other host, path or plain connection has set it.
    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Cookie::Session, false) => "deskfold",
            (Cookie::Session, true) => "__Host-deskfold",
            (Cookie::Step, false) => "deskfold_step",
            (Cookie::Step, true) => "__Host-deskfold_step",
            (Cookie::Provider, false) => "deskfold_provider",
            (Cookie::Provider, true) => "__Host-deskfold_provider",
            (Cookie::Language, false) => "deskfold_language",
            (Cookie::Language, true) => "__Host-deskfold_language",
            (Cookie::Theme, false) => "deskfold_theme",
            (Cookie::Theme, true) => "__Host-deskfold_theme",
            (Cookie::Portal, false) => "deskfold_portal",
            (Cookie::Portal, true) => "__Host-deskfold_portal",
        }
    }
}

/// Who sends a request.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    /// Its address, as far as proxies that are trusted tell.
    pub(crate) address: Option<IpAddr>,
    /// What it calls itself.
    pub(crate) user_agent: Option<String>,
    /// The host that it asked, without port.
    pub(crate) host: String,
    /// Where this server is for it: `https://desk.example.com`.
    pub(crate) origin: String,
    /// Whether it came over TLS.
    secure: bool,
    /// Whether it asks for something that changes nothing.
    safe: bool,
    /// Whether it only listens to what was asked before: nobody need be there for that.
    pub(super) listens: bool,
    /// Whether a proxy that is trusted has passed it on.
    pub(crate) through_proxy: bool,
    /// Whether a page of ours made it ask; `None` when it does not say, as programs do.
    same_origin: Option<bool>,
    cookies: Vec<(String, String)>,
}

/// How much of what a browser calls itself is kept.
const USER_AGENT: usize = 256;

impl FromRequestParts<App> for Browser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Browser, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        Ok(Browser::of(&parts.method, &parts.headers, peer, &app.config.sign_in))
    }
}

fn text(headers: &HeaderMap, name: impl Into<HeaderName>) -> Option<&str> {
    headers.get(name.into())?.to_str().ok()
}

/// What stands in a forwarding header, the nearest proxy's word last.
fn forwarded<'a>(headers: &'a HeaderMap, name: &'static str) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}

impl Browser {
    fn of(method: &Method, headers: &HeaderMap, peer: Option<IpAddr>, config: &SignIn) -> Browser {
        let trusted = |address: IpAddr| config.trusted_proxies.iter().any(|network| network.has(address));
        let mut address = peer;
        let through_proxy = peer.is_some_and(trusted);
        if through_proxy {
            // From the nearest on, up to the first that nobody vouches for.
            for hop in forwarded(headers, "x-forwarded-for").into_iter().rev() {
                let Ok(hop) = hop.parse() else { break };
                address = Some(hop);
                if !trusted(hop) {
                    break;
                }
            }
        }
        let public = config.public_url.as_deref();
        let proto = forwarded(headers, "x-forwarded-proto").first().copied().filter(|_| through_proxy);
        let secure = proto.map_or_else(
            || public.is_some_and(|url| url.starts_with("https://")),
            |proto| proto.eq_ignore_ascii_case("https"),
        );
        let asked = text(headers, header::HOST).unwrap_or_default().to_lowercase();
        let scheme = if secure { "https" } else { "http" };
        let origin = match public {
            Some(url) if asked.is_empty() => url.to_owned(),
            _ => format!("{scheme}://{asked}"),
        };
        let same_origin = same_origin(headers, &[Some(origin.as_str()), public]);
        let user_agent = text(headers, header::USER_AGENT).filter(|agent| !agent.is_empty());
        Browser {
            address: address.map(|address| address.to_canonical()),
            user_agent: user_agent.map(|agent| agent.chars().take(USER_AGENT).collect()),
            host: without_port(&asked).to_owned(),
            origin,
            secure,
            safe: matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS),
            listens: false,
            through_proxy,
            same_origin,
            cookies: cookies(headers),
        }
    }

    /// The same while it only listens.
    pub(crate) fn listening(self) -> Browser {
        Browser { listens: true, ..self }
    }

    /// The value of a cookie. Behind TLS one that may have been set without is none.
    pub(crate) fn cookie(&self, cookie: Cookie) -> Option<&str> {
        let name = cookie.name(self.secure);
        self.cookies.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A header that sets a cookie for so many seconds.
    pub(crate) fn set(&self, cookie: Cookie, value: &str, seconds: u64) -> Result<HeaderValue, Problem> {
        let name = cookie.name(self.secure);
        let secure = if self.secure { "; Secure" } else { "" };
        let line = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&line).map_err(|error| Problem::broken(&error))
    }

    /// A header that takes a cookie away.
    pub(crate) fn forget(&self, cookie: Cookie) -> Result<HeaderValue, Problem> {
        self.set(cookie, "", 0)
    }

    /// Refuses what another site may have made a browser do with its cookie: whatever changes something and does not come
    /// from a page of ours. One that does not say where it comes from is refused too.
    pub(crate) fn must_be_ours(&self) -> Result<(), Problem> {
        if self.safe || self.same_origin == Some(true) { Ok(()) } else { Err(refused()) }
    }

    /// Refuses what another site has made a browser do without a cookie, such as signing in as somebody else. Programs, which
    /// do not say where they come from, may.
    pub(crate) fn must_not_be_foreign(&self) -> Result<(), Problem> {
        if self.safe || self.same_origin != Some(false) { Ok(()) } else { Err(refused()) }
    }
}

fn refused() -> Problem {
    let detail =
        "Another site may have sent this: with a cookie, what changes something must come from a page of this server.";
    Problem::new(StatusCode::FORBIDDEN, "csrf_refused", detail)
}

/// Whether a page of one of these origins made the request, as far as the browser says: first by Fetch Metadata, which pages
/// cannot forge, else by `Origin`, else by `Referer`.
fn same_origin(headers: &HeaderMap, own: &[Option<&str>]) -> Option<bool> {
    if let Some(site) = headers.get("sec-fetch-site") {
        return Some(["same-origin", "none"].iter().any(|ours| site.as_bytes() == ours.as_bytes()));
    }
    let is_own = |origin: &str| own.iter().flatten().any(|own| own.eq_ignore_ascii_case(origin));
    if let Some(origin) = headers.get(header::ORIGIN) {
        return Some(origin.to_str().is_ok_and(is_own));
    }
    let referer = headers.get(header::REFERER)?.to_str().ok()?;
    let end = referer.match_indices('/').nth(2).map_or(referer.len(), |(index, _)| index);
    Some(is_own(&referer[..end]))
}

fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{Cli, Command};

    fn config(arguments: &[&str]) -> SignIn {
        let line = ["deskfold", "serve"].into_iter().chain(arguments.iter().copied());
        let Command::Serve(config) = Cli::try_parse_from(line).unwrap().command else { unreachable!() };
        config.sign_in
    }

    fn browser(arguments: &[&str], peer: &str, lines: &[(&'static str, &str)]) -> Browser {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Browser::of(&Method::POST, &headers, Some(peer.parse().unwrap()), &config(arguments))
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusting = ["--trusted-proxies", "10.0.0.0/8"];
        let lines = [("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.0.0.2"), ("x-forwarded-proto", "https")];
        let seen = |arguments: &[&str], peer| {
            let browser = browser(arguments, peer, &lines);
            (browser.address.unwrap().to_string(), browser.secure)
        };
        assert_eq!(seen(&trusting, "10.0.0.1"), ("203.0.113.7".into(), true));
        assert_eq!(seen(&trusting, "192.0.2.1"), ("192.0.2.1".into(), false));
        assert_eq!(seen(&[], "10.0.0.1"), ("10.0.0.1".into(), false));
        assert!(seen(&["--public-url", "https://desk.example.com"], "10.0.0.1").1);
    }

    #[test]
    fn what_another_site_sends_is_refused() {
        let from = |lines: &[(&'static str, &str)]| {
            let lines = [&[("host", "desk.example.com:8080")], lines].concat();
            let browser = browser(&[], "192.0.2.1", &lines);
            (browser.must_be_ours().is_ok(), browser.must_not_be_foreign().is_ok())
        };
        assert_eq!(from(&[]), (false, true));
        assert_eq!(from(&[("sec-fetch-site", "same-origin")]), (true, true));
        assert_eq!(from(&[("sec-fetch-site", "same-site")]), (false, false));
        assert_eq!(
            from(&[("sec-fetch-site", "cross-site"), ("origin", "http://desk.example.com:8080")]),
            (false, false)
        );
        assert_eq!(from(&[("origin", "http://desk.example.com:8080")]), (true, true));
        for origin in ["http://desk.example.com", "https://desk.example.com:8080", "http://evil.example", "null"] {
            assert_eq!(from(&[("origin", origin)]), (false, false), "{origin}");
        }
        assert_eq!(from(&[("referer", "http://desk.example.com:8080/me?x=1")]), (true, true));
        assert_eq!(from(&[("referer", "http://evil.example/http://desk.example.com:8080/")]), (false, false));
        let public = ["--public-url", "https://desk.example.com"];
        let lines = [("host", "inside:8080"), ("origin", "https://desk.example.com")];
        assert!(browser(&public, "192.0.2.1", &lines).must_be_ours().is_ok());
    }

    #[test]
    fn behind_tls_only_the_host_s_own_cookie_counts() {
        let lines = [("cookie", "deskfold=plain; other=1"), ("cookie", "__Host-deskfold=own")];
        let plain = browser(&[], "192.0.2.1", &lines);
        assert_eq!(plain.cookie(Cookie::Session), Some("plain"));
        let secure = browser(&["--public-url", "https://desk.example.com"], "192.0.2.1", &lines);
        assert_eq!((secure.cookie(Cookie::Session), secure.cookie(Cookie::Step)), (Some("own"), None));
        let set = secure.set(Cookie::Session, "x", 60).unwrap();
        assert_eq!(set, "__Host-deskfold=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(plain.forget(Cookie::Step).unwrap(), "deskfold_step=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }
}
