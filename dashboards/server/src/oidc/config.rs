//! What is known of a provider before it is asked, and whether it can be used.

use super::address::{checked, is_encrypted};
use crate::listen::Listen;
use access::oidc::{Grants, Lasts};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, parse_pem};

/// Where the provider sends browsers back to, below the public address.
pub const CALLBACK: &str = "/api/v1/session/oidc/callback";

/// Longest secret, bytes.
const SECRET_BYTES_MAX: u64 = 4 * 1024;
/// Longest file of certificates, bytes.
const AUTHORITY_BYTES_MAX: u64 = 1 << 20;
/// Longest name on the button, characters.
const NAME_CHARACTERS_MAX: usize = 40;

/// A provider whose people may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// What people call it; stands on the button.
    pub name: String,
    /// The address it signs with.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// File with the secret that we show it.
    pub client_secret_file: PathBuf,
    /// The address that browsers call us by.
    pub public_url: String,
    /// Which claim says what groups a person is in.
    pub groups_claim: String,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// File with the certificates that may have signed the provider's; `None`: those that this machine trusts.
    pub authority: Option<PathBuf>,
    /// How far its clock may be off.
    pub skew: Duration,
    /// How long sessions last.
    pub lasts: Lasts,
    /// What groups give.
    pub grants: Grants,
}

/// What is wrong: the key in the site's file, and the reason.
pub type Wrong = (&'static str, String);

/// A secret that is not printed.
pub(super) struct Secret(pub String);

impl OidcConfig {
    /// Everything that is wrong with it, for a server that listens there; the provider is not asked.
    pub fn check(&self, listen: &Listen) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.name.trim().is_empty() || self.name.chars().count() > NAME_CHARACTERS_MAX {
            wrong.push((
                "name",
                format!("it has 1 to {NAME_CHARACTERS_MAX} characters: it stands on a button"),
            ));
        }
        match checked(&self.issuer) {
            Err(reason) => wrong.push(("issuer", reason)),
            Ok(_) if self.issuer.contains('?') => {
                wrong.push(("issuer", format!("{:?} has a question mark in it", self.issuer)));
            }
            Ok(_) => {}
        }
        if self.client_id.trim().is_empty() {
            wrong.push(("client_id", "it is empty; the provider's administrator has it".to_owned()));
        }
        if let Err(reason) = self.secret() {
            wrong.push(("client_secret_file", reason));
        }
        if let Err(reason) = self.certificates() {
            wrong.push(("authority", reason));
        }
        if let Err(reason) = self.public(listen) {
            wrong.push(("public_url", reason));
        }
        let is_scope = |scope: &String| {
            !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            wrong.push(("scopes", format!("{scope:?} is no scope")));
        }
        if self.groups_claim.is_empty() {
            wrong.push(("groups_claim", "it is empty".to_owned()));
        }
        if self.lasts.asked_again > self.lasts.vouched {
            let what = "a session would be over before the provider is asked again; let it be as long as session_minutes at most";
            wrong.push(("recheck_minutes", what.to_owned()));
        }
        if self.grants.0.is_empty() {
            let what = "nobody could sign in: no group has a role; give one with [[oidc.group]]";
            wrong.push(("group", what.to_owned()));
        }
        wrong
    }

    /// The public address without a slash at its end.
    pub(super) fn public_origin(&self) -> &str {
        self.public_url.trim_end_matches('/')
    }

    /// Where the provider sends browsers back to.
    pub(super) fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.public_origin())
    }

    /// Whether browsers reach us encrypted: then cookies are for encrypted connections only.
    pub(super) fn is_public_encrypted(&self) -> bool {
        checked(&self.public_url).is_ok_and(|uri| is_encrypted(&uri))
    }

    fn public(&self, listen: &Listen) -> Result<(), String> {
        let uri = checked(&self.public_url)?;
        if uri.path_and_query().is_some_and(|rest| !rest.as_str().trim_matches('/').is_empty()) {
            return Err(format!(
                "{:?} has something behind the name; browsers are sent to {CALLBACK}",
                self.public_url
            ));
        }
        let host = uri.authority().map_or("", |authority| authority.as_str());
        // A name without a port ends where it ends.
        let host = if uri.port().is_some() { host.to_owned() } else { format!("{host}:443") };
        if !listen.is_called(&host) {
            let name = uri.host().unwrap_or_default();
            return Err(format!("{name} is no name of this server: write it into `names` of [http]"));
        }
        if listen.tls.is_some() && !is_encrypted(&uri) {
            return Err(format!("{:?}: this server is reached by https", self.public_url));
        }
        Ok(())
    }

    /// The secret, from its file.
    pub(super) fn secret(&self) -> Result<Secret, String> {
        let path = &self.client_secret_file;
        let text = read(path, SECRET_BYTES_MAX)?;
        is_private(path)?;
        let text = String::from_utf8(text).map_err(|_| format!("{} is no text", path.display()))?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(format!("{} is empty", path.display()));
        }
        Ok(Secret(secret.to_owned()))
    }

    /// Who may have signed the provider's certificate; `None` where it has none.
    pub(super) fn certificates(&self) -> Result<Option<Arc<Vec<Certificate<'static>>>>, String> {
        let Some(path) = &self.authority else {
            if !checked(&self.issuer).is_ok_and(|uri| is_encrypted(&uri)) {
                return Ok(None);
            }
            let found = rustls_native_certs::load_native_certs().certs;
            if found.is_empty() {
                return Err("this machine trusts no certificate authority: name a PEM file here".to_owned());
            }
            return Ok(Some(Arc::new(
                found.iter().map(|der| Certificate::from_der(der).to_owned()).collect(),
            )));
        };
        let pem = read(path, AUTHORITY_BYTES_MAX)?;
        let mut certificates = Vec::new();
        for item in parse_pem(&pem) {
            match item.map_err(|error| format!("{} is no PEM file: {error}", path.display()))? {
                PemItem::Certificate(certificate) => certificates.push(certificate),
                _ => continue,
            }
        }
        if certificates.is_empty() {
            return Err(format!("{}: no certificate in it; a PEM file is meant", path.display()));
        }
        Ok(Some(Arc::new(certificates)))
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(format!("{} has more than {most} bytes", path.display()));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn is_private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(format!("{path} can be read by others (mode {mode:o}); it holds a secret: chmod 600 {path}"))
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> Result<(), String> {
    Ok(())
}
