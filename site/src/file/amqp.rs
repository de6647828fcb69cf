//! `[[amqp]]`.

use super::AmqpSection;
use super::section::Section;
use connectors::amqp::AmqpConfig;
use dashboards_server::Whose;
use std::time::Duration;

pub fn broker(mut section: Section<'_>) -> Option<AmqpSection> {
    let line = section.line();
    let name = section.needed("name", Section::text);
    let server = section.needed("server", Section::text);
    let user = section.needed("user", Section::text);
    let password_file = section.needed("password_file", Section::path);
    let queue = section.needed("queue", Section::text);
    let usual = AmqpConfig::new("", "", "", "", "");
    let virtual_host = section.text("virtual_host").map_or(usual.virtual_host, |name| name.value);
    let replies = section.text("replies").map_or(usual.replies, |prefix| prefix.value);
    let existing = section.flag("existing");
    let prefetch = section.whole("prefetch", 1000).map_or(usual.prefetch, |number| number.value as u16);
    let heartbeat_s =
        section.whole("heartbeat_s", 600).map_or(usual.heartbeat_s, |number| number.value as u16);
    let timeout = section.number("timeout_s", 0.1..=60.0);
    let timeout = timeout.map_or(usual.timeout, |seconds| Duration::from_secs_f64(seconds.value));
    let message_bytes_max = section
        .whole("message_bytes_max", 16 << 20)
        .map_or(usual.message_bytes_max, |bytes| bytes.value as usize);
    let tls = super::iec104::tls(&mut section);
    let account = section.text("account").map(|name| name.value);
    let whose = Whose { account, user_ids: section.flag("user_ids") };
    section.finish();
    let (name, server) = (name?, server?);
    let config = AmqpConfig {
        name: name.value.clone(),
        server: server.value,
        virtual_host,
        user: user?.value,
        password_file: password_file?.value,
        queue: queue?.value,
        existing,
        replies,
        prefetch,
        heartbeat_s,
        timeout,
        message_bytes_max,
        tls,
    };
    Some(AmqpSection { line, name, config, whose })
}
