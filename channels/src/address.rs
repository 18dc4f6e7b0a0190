//! Which addresses may be called: a URL that a tenant names must not reach what only this machine and its neighbours can.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Whether an address is anybody's to call.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_broadcast()
        || v4.is_documentation()
        || v4.is_multicast();
    // This network, carriers' own, protocol assignments, benchmarks, 6to4 relays, reserved.
    let reserved = a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 192 && b == 88 && c == 99)
        || a >= 240;
    !special && !reserved
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let within = |high: u16, low: u16| {
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(w, x, y, z))
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    // Addresses that mean one of version 4: by translation, and by 6to4.
    if (a, b, c, d, e, f) == (0x64, 0xff9b, 0, 0, 0, 0) {
        return within(g, h);
    }
    if a == 0x2002 {
        return within(b, c);
    }
    // What is handed out at all, without Teredo, tests and documentation.
    (a & 0xe000) == 0x2000 && !(a == 0x2001 && b < 0x200) && (a, b) != (0x2001, 0xdb8) && a != 0x3fff
}

/// Looks names up, and tells only those addresses that may be called.
pub(crate) struct Guarded {
    pub(crate) private: bool,
}

/// No address that may be called.
const REFUSED: &str = "the address is of a private network, which the operator of this server has not allowed";

/// Whether an error says that an address is refused.
pub(crate) fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string() == REFUSED {
            return true;
        }
        next = error.source();
    }
    false
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let all: Vec<SocketAddr> = found.collect();
            let allowed: Vec<SocketAddr> =
                all.iter().copied().filter(|address| private || is_public(address.ip())).collect();
            if allowed.is_empty() && !all.is_empty() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, REFUSED).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Where the server of this name is, if it may be called; why not, and whether that may change by itself.
pub(crate) async fn resolve(host: &str, port: u16, private: bool) -> Result<SocketAddr, (String, bool)> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| (format!("{host}: {error}"), true))?;
    let all: Vec<SocketAddr> = found.collect();
    let allowed = all.iter().find(|at| private || is_public(at.ip()));
    allowed.copied().ok_or_else(|| match all.is_empty() {
        true => (format!("{host} has no address"), true),
        false => (format!("{host}: {REFUSED}"), false),
    })
}

/// Refuses a URL that is no web address, or names by number what may not be called: numbers are not looked up.
pub(crate) fn check(url: &str, private: bool) -> Result<Url, String> {
    let url = Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{} is not called: only http and https are", url.scheme()));
    }
    let host = url.host_str().ok_or_else(|| format!("{url} names no host"))?;
    let number: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    match number {
        Some(address) if !private && !is_public(address) => Err(REFUSED.to_owned()),
        _ => Ok(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_anybody_s_is_called() {
        for public in ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn a_url_that_names_a_private_number_is_refused_however_it_is_written() {
        for url in
            ["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://[::1]:80/", "http://0177.0.0.1/"]
        {
            assert!(check(url, false).is_err(), "{url}");
            assert!(check(url, true).is_ok(), "{url}");
        }
        assert!(check("ftp://example.com/", true).is_err() && check("no url", true).is_err());
        assert!(check("https://example.com/hook", false).is_ok());
    }

    #[tokio::test]
    async fn a_name_is_looked_up_to_what_may_be_called() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = Guarded { private: false }.resolve(name()).await;
        assert!(refused.is_err_and(|error| is_refused(&*error)));
        assert!(Guarded { private: true }.resolve(name()).await.is_ok());
    }
}
