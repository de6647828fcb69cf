//! `[[opcua]]` and `[opcua_server]`.

use super::section::{Located, Section};
use super::{OpcUaSection, OpcUaServerSection, loopback};
use actors::grid_side::Ranks;
use connectors::opcua::{Security, User};
use std::time::Duration;

pub fn source(mut section: Section<'_>) -> Option<OpcUaSection> {
    let name = section.needed("name", Section::text);
    let endpoint = section.needed("endpoint", Section::text);
    let points = section.needed("points", Section::path);
    let security = security(&mut section);
    let server_certificate = section.path("server_certificate");
    let user = user(&mut section);
    let period = section.number("period_s", 0.1..=900.0).map_or(1.0, |seconds| seconds.value);
    let timeout = section.number("timeout_s", 0.1..=60.0).map_or(5.0, |seconds| seconds.value);
    let (rank, uncertified) = super::trust(&mut section, Ranks::NAMED);
    section.finish();
    Some(OpcUaSection {
        rank,
        uncertified,
        name: name?,
        endpoint: endpoint?,
        points: points?,
        security,
        server_certificate,
        user,
        period: Duration::from_secs_f64(period),
        timeout: Duration::from_secs_f64(timeout),
    })
}

fn security(section: &mut Section<'_>) -> Security {
    let (policy, mode) = (section.text("security"), section.text("mode"));
    let line = policy.as_ref().or(mode.as_ref()).map_or(section.line(), |text| text.line);
    let word =
        |text: Option<Located<String>>, default: &str| text.map_or(default.to_owned(), |text| text.value);
    let named = Security::named(&word(policy, "Basic256Sha256"), &word(mode, "SignAndEncrypt"));
    named.unwrap_or_else(|what| {
        section.note(line, "security", what);
        Security::None
    })
}

fn user(section: &mut Section<'_>) -> User {
    let (name, file) = (section.text("user"), section.path("password_file"));
    let (certificate, key) = (section.path("user_certificate"), section.path("user_key"));
    let line = [name.as_ref().map(|name| name.line), certificate.as_ref().map(|path| path.line)];
    let line = line.into_iter().flatten().next().unwrap_or(section.line());
    match (name, file, certificate, key) {
        (None, None, None, None) => User::Anonymous,
        (Some(name), Some(file), None, None) => User::Password { name: name.value, file: file.value },
        (None, None, Some(certificate), Some(key)) => {
            User::Certificate { certificate: certificate.value, key: key.value }
        }
        _ => {
            let what = "give user and password_file, or user_certificate and user_key, or none of them";
            section.note(line, "user", what);
            User::Anonymous
        }
    }
}

pub fn server(mut section: Section<'_>) -> OpcUaServerSection {
    let listen = section.address_or("listen", loopback(4840));
    let host = section.text("host").map(|host| host.value);
    let security = section.text("security");
    let plain = match &security {
        None => false,
        Some(text) if text.value == "None" => true,
        Some(text) => {
            let what = "only \"None\" can be written here, for one more endpoint without protection; the others are always there";
            section.note(text.line, "security", what);
            false
        }
    };
    let anonymous = section.flag("anonymous");
    section.finish();
    OpcUaServerSection { listen, host, plain, anonymous }
}
