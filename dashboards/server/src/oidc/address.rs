//! Addresses of a provider, and what is written into them.

use actix_web::http::Uri;
use std::net::IpAddr;

/// An address that may be asked, or to which a browser may be sent: https, or http on this machine.
pub(super) fn checked(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no address: {error}"))?;
    let host = uri.host().unwrap_or_default();
    if host.is_empty()
        || !text.is_ascii()
        || text.contains('#')
        || text.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Err(format!("{text:?} is no address; write for example https://login.example"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(format!("{text:?} has a user in it"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_here(host) => Ok(uri),
        Some("http") => Err(format!(
            "{text:?} is not encrypted: whoever is on the way could sign in as anybody; use https"
        )),
        _ => Err(format!("{text:?} is no address of https")),
    }
}

/// Whether an address is encrypted.
pub(super) fn is_encrypted(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Pairs as they stand in a query or a form.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

/// An address with pairs behind its question mark, which may be there already.
pub(super) fn with_query(address: &str, pairs: &[(&str, &str)]) -> String {
    let sign = if address.contains('?') { '&' } else { '?' };
    format!("{address}{sign}{}", form(pairs))
}

/// A value with everything but letters, digits and `-._~` as percent signs (RFC 3986).
pub(super) fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encrypted_or_here_is_asked() {
        for good in
            ["https://login.example", "http://127.0.0.1:9/x", "http://localhost:9", "http://[::1]:9/a"]
        {
            assert!(checked(good).is_ok(), "{good}");
        }
        let wrong = [
            "",
            "login.example",
            "/a",
            "ftp://login.example",
            "http://login.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "https://user:word@login.example",
            "https://login.example/#a",
            "https://login.example/a b",
            "https:///a",
            "https://login.example/ä",
            "javascript:alert(1)",
        ];
        for wrong in wrong {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_into_an_address_stays_one_value() {
        assert_eq!(form(&[("a", "1&b=2"), ("c", "ä +")]), "a=1%26b%3D2&c=%C3%A4%20%2B");
        assert_eq!(with_query("https://x/a?t=1", &[("b", "2")]), "https://x/a?t=1&b=2");
        assert_eq!(with_query("https://x/a", &[("b", "2")]), "https://x/a?b=2");
    }
}
