//! What a provider says of itself (OpenID Connect Discovery 1.0).

use super::address::{checked, is_encrypted};
use serde::Deserialize;

/// The part of its document that is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Document {
    issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    pub userinfo_endpoint: Option<String>,
    pub end_session_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl Document {
    /// Where an issuer's document lies.
    pub fn address(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// Reads the document of an issuer.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(bytes: &[u8], issuer: &str) -> Result<Self, String> {
        let document: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("its document cannot be read: {error}"))?;
        if document.issuer != issuer {
            let said: String = document.issuer.chars().take(100).collect();
            return Err(format!(
                "its document is of {said:?}, not of {issuer:?}; both have to be written alike"
            ));
        }
        let encrypted = checked(issuer).is_ok_and(|uri| is_encrypted(&uri));
        let optional = [&document.userinfo_endpoint, &document.end_session_endpoint];
        let needed = [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri];
        for address in needed.into_iter().chain(optional.into_iter().flatten()) {
            let uri = checked(address)?;
            // Whoever is reached encrypted sends nobody to this machine's own services.
            if encrypted && !is_encrypted(&uri) {
                return Err(format!("its document names {address:?}, which is not encrypted"));
            }
        }
        if let Some(methods) = &document.code_challenge_methods_supported
            && !methods.iter().any(|method| method == "S256")
        {
            return Err("it does not know PKCE with S256".to_owned());
        }
        if document.authenticates_by_basic().is_none() {
            return Err(
                "it takes a secret neither by client_secret_basic nor by client_secret_post".to_owned()
            );
        }
        Ok(document)
    }

    /// Whether the secret goes into a header, or into the form; `None` when it takes none.
    pub fn authenticates_by_basic(&self) -> Option<bool> {
        let Some(methods) = &self.token_endpoint_auth_methods_supported else { return Some(true) };
        let knows = |wanted: &str| methods.iter().any(|method| method == wanted);
        match (knows("client_secret_basic"), knows("client_secret_post")) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://login.example";

    fn good() -> Value {
        json!({
            "issuer": ISSUER, "authorization_endpoint": "https://login.example/auth",
            "token_endpoint": "https://login.example/token", "jwks_uri": "https://keys.example/jwks",
        })
    }

    fn with(name: &str, value: Value) -> Result<Document, String> {
        let mut document = good();
        document[name] = value;
        Document::read(document.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn a_document_that_leads_elsewhere_is_refused() {
        let document = Document::read(good().to_string().as_bytes(), ISSUER).unwrap();
        assert_eq!(document.authenticates_by_basic(), Some(true));
        let post =
            with("token_endpoint_auth_methods_supported", json!(["client_secret_post", "none"])).unwrap();
        assert_eq!(post.authenticates_by_basic(), Some(false));
        let wrong = [
            ("issuer", json!("https://login.example/")),
            ("issuer", json!("https://evil.example")),
            ("token_endpoint", json!("http://login.example/token")),
            ("token_endpoint", json!("http://127.0.0.1:22/")),
            ("end_session_endpoint", json!("javascript:alert(1)")),
            ("jwks_uri", json!(7)),
            ("code_challenge_methods_supported", json!(["plain"])),
            ("token_endpoint_auth_methods_supported", json!(["private_key_jwt"])),
        ];
        for (name, value) in wrong {
            assert!(with(name, value.clone()).is_err(), "{name} {value}");
        }
        assert!(Document::read(b"{}", ISSUER).is_err());
        assert!(Document::read(b"<html>", ISSUER).is_err());
    }

    #[test]
    fn the_document_of_an_issuer_lies_below_it() {
        let lies = |issuer| Document::address(issuer);
        assert_eq!(lies("https://a.example"), "https://a.example/.well-known/openid-configuration");
        assert_eq!(lies("https://a.example/r/"), "https://a.example/r/.well-known/openid-configuration");
    }
}
