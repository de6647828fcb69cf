//! `[[broker]]`.

use super::BrokerSection;
use super::section::Section;
use actors::grid_side::Ranks;
use connectors::mqtt::foreign::BrokerTls;
use std::time::Duration;

pub fn source(mut section: Section<'_>) -> Option<BrokerSection> {
    let name = section.needed("name", Section::text);
    let server = section.needed("server", Section::text);
    let points = section.needed("points", Section::path);
    let authority = section.path("authority");
    let certificate_name = section.text("certificate_name");
    if let (None, Some(text)) = (&authority, &certificate_name) {
        let what = "is missing: name the file of the authority that signed the broker's certificate";
        section.note(text.line, "authority", what);
    }
    let tls = authority.map(|authority| BrokerTls {
        authority: authority.value,
        name: certificate_name.map(|name| name.value),
    });
    let user = match (section.text("user"), section.path("password_file")) {
        (Some(user), Some(file)) => Some((user.value, file.value)),
        (None, None) => None,
        (user, file) => {
            let line = user.map(|user| user.line).or(file.map(|file| file.line)).unwrap_or(section.line());
            section.note(line, "user", "user and password_file belong together; one is missing");
            None
        }
    };
    let time = section.text("time").map(|time| time.value);
    let silence = section.number("silent_s", 1.0..=86_400.0).map_or(300.0, |seconds| seconds.value);
    let listen_only = section.flag("listen_only");
    let (rank, uncertified) = super::trust(&mut section, Ranks::NAMED);
    section.finish();
    Some(BrokerSection {
        rank,
        uncertified,
        name: name?,
        server: server?,
        points: points?,
        tls,
        user,
        time,
        silence: Duration::from_secs_f64(silence),
        listen_only,
    })
}
