//! `[oidc]`: people who sign in with an account of their own organisation.

use super::section::{Located, Section};
use access::Role;
use access::oidc::{Grants, GroupGrant, Lasts};
use dashboards_server::OidcConfig;
use grid::ProsumerId;
use std::time::Duration;

/// Keys and lines, so that what is wrong with a value is said where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct OidcSection {
    /// The provider, and what its groups give.
    pub config: OidcConfig,
    /// Where each key stands; what is not written, where the section begins.
    lines: Vec<(&'static str, u64)>,
    /// Where the section begins.
    pub line: u64,
}

impl OidcSection {
    /// The line of a key.
    pub fn line_of(&self, key: &str) -> u64 {
        self.lines.iter().find(|(known, _)| *known == key).map_or(self.line, |(_, line)| *line)
    }
}

pub fn provider(mut section: Section<'_>) -> Option<OidcSection> {
    let line = section.line();
    let mut lines = Vec::new();
    let mut at = |key, line| lines.push((key, line));
    let mut needed = |section: &mut Section<'_>, key| {
        let text = section.needed(key, Section::text)?;
        at(key, text.line);
        Some(text.value)
    };
    let issuer = needed(&mut section, "issuer");
    let client_id = needed(&mut section, "client_id");
    let public_url = needed(&mut section, "public_url");
    let secret = section.needed("client_secret_file", Section::path);
    let authority = section.path("authority");
    for (key, path) in [("client_secret_file", &secret), ("authority", &authority)] {
        path.iter().for_each(|path| at(key, path.line));
    }
    let mut text_or = |section: &mut Section<'_>, key, usual: &str| {
        let text = section.text(key);
        text.iter().for_each(|text| at(key, text.line));
        text.map_or_else(|| usual.to_owned(), |text| text.value)
    };
    let name = text_or(&mut section, "name", "OpenID Connect");
    let groups_claim = text_or(&mut section, "groups_claim", "groups");
    let scopes = text_or(&mut section, "scopes", "profile");
    let scopes = scopes.split_whitespace().map(str::to_owned).collect();
    let skew = section.whole("clock_skew_s", 300).map_or(30, |seconds| seconds.value);
    let mut minutes = |key, usual: u32, range| {
        let minutes: Option<Located<f64>> = section.number(key, range);
        minutes.iter().for_each(|minutes| at(key, minutes.line));
        Duration::from_secs_f64(minutes.map_or(f64::from(usual), |minutes| minutes.value) * 60.0)
    };
    let lasts = Lasts {
        vouched: minutes("session_minutes", 60, 1.0..=600.0),
        asked_again: minutes("recheck_minutes", 10, 0.05..=60.0),
    };
    let grants = Grants(section.sections("group").into_iter().filter_map(group).collect());
    section.finish();
    let config = OidcConfig {
        name,
        issuer: issuer?,
        client_id: client_id?,
        client_secret_file: secret?.value,
        public_url: public_url?,
        groups_claim,
        scopes,
        authority: authority.map(|path| path.value),
        skew: Duration::from_secs(skew.into()),
        lasts,
        grants,
    };
    Some(OidcSection { config, lines, line })
}

/// One `[[oidc.group]]`.
fn group(mut section: Section<'_>) -> Option<GroupGrant> {
    let name = section.needed("group", Section::text);
    let role = section.needed("role", Section::text);
    let prosumers = section.text("prosumers");
    let role = role.and_then(|role| {
        let known = Role::named(&role.value);
        if known.is_none() {
            let roles = Role::ALL.map(|role| role.to_string()).join(", ");
            section.note(role.line, "role", format!("there is no role {:?}; there are {roles}", role.value));
        }
        known
    });
    let prosumers = prosumers.map_or(Some(Vec::new()), |list| {
        let numbers: Result<Vec<u32>, _> =
            list.value.split(',').map(|number| number.trim().parse()).collect();
        if numbers.is_err() {
            let what = format!("{:?} is no list of prosumers; write for example \"3, 4\"", list.value);
            section.note(list.line, "prosumers", what);
        }
        numbers.ok()
    });
    section.finish();
    let prosumers = prosumers?.into_iter().map(ProsumerId).collect();
    Some(GroupGrant { group: name?.value, role: role?, prosumers })
}
