//! What a NATS server promises of its own disk, as far as a client can see it, in words for the log.
//!
//! A message is confirmed when a majority of the servers has it. Whether it is on their disks then, or in their memory for two minutes
//! more, is a setting of each server that no client is told; but a server before 2.10 has no such setting.

use async_nats::{Client, ServerInfo};

/// The first version that can sync each message.
const SYNCS_FROM: (u64, u64) = (2, 10);

/// What is known of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syncs {
    /// It confirms what is in memory, and cannot be told otherwise.
    Never,
    /// When it is told to; whether it is, cannot be seen from here.
    WhenTold,
    /// Its version is none that is known.
    Unknown,
}

fn syncs(version: &str) -> Syncs {
    let mut parts = version.trim_start_matches('v').split('.').map(str::parse::<u64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= SYNCS_FROM => Syncs::WhenTold,
        (Some(Ok(_)), Some(Ok(_))) => Syncs::Never,
        _ => Syncs::Unknown,
    }
}

/// Says once of each server that a member comes to be connected to how far its word goes.
#[derive(Debug, Default)]
pub struct Told {
    /// Of the server that was told of last.
    server: String,
}

impl Told {
    /// Looks which server it is now.
    pub fn look(&mut self, client: &Client) {
        let info = client.server_info();
        if info.server_id.is_empty() || info.server_id == self.server {
            return;
        }
        say(&info);
        self.server = info.server_id;
    }
}

fn say(info: &ServerInfo) {
    let (server, version) = (&info.server_name, &info.version);
    match syncs(version) {
        Syncs::Never => tracing::warn!(
            server,
            version,
            "this NATS server cannot sync what it confirms (2.10 and later can): its files last two minutes later. A power cut of \
             most of the NATS servers at once loses the streams' newest messages; what was acknowledged is then only in the data \
             directory of the member that served"
        ),
        Syncs::WhenTold => tracing::info!(
            server,
            version,
            "this NATS server syncs what it confirms if its configuration says jetstream {{ sync_interval: always }}, which \
             cannot be seen from here"
        ),
        Syncs::Unknown => tracing::warn!(
            server,
            version,
            "whether this NATS server can sync what it confirms is not known; a power cut of most of the NATS servers at once \
             may lose the streams' newest messages"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_from_2_10_on_can_sync_and_older_ones_cannot() {
        for (version, known) in [
            ("2.9.10", Syncs::Never),
            ("2.2.0-beta.1", Syncs::Never),
            ("1.4.1", Syncs::Never),
            ("2.10.0", Syncs::WhenTold),
            ("2.12.1", Syncs::WhenTold),
            ("v2.11.0-RC.2", Syncs::WhenTold),
            ("3.0.0", Syncs::WhenTold),
            ("", Syncs::Unknown),
            ("newest", Syncs::Unknown),
        ] {
            assert_eq!(syncs(version), known, "{version}");
        }
    }
}
