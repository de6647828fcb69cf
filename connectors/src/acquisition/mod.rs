//! Acquisition: what a grid operator's historian holds comes to the platform without private ids
//! (`docs/acquire.md`, [ADR 16](../../../docs/adr/0016-acquisition-without-private-ids.md)).
//!
//! ```text
//!  operator's side                                             platform
//!  files ─► lines ─► pseudonyms ─► sealed and signed ──MQTT──► opened ─► synced log ─► values of points
//!  (private ids)   mapping, site key   envelope                 marks of lines    point map
//!                       progress  ◄──────────────── receipt ◄──┘
//! ```
//!
//! * `keys`: the four kinds of key files; [`pseudonym`]: what stands in place of a private id; [`mapping`]: the operator's table;
//! * [`envelope`]: the bytes that travel, and the [`Receipt`](envelope::Receipt) that comes back; [`row`]: what is inside;
//! * [`client`]: the operator's side: files, progress, sending; [`intake`]: the platform's side: opening, keeping, passing on.
//!
//! A line counts once because it has a name: file and line number, signed with it. The platform keeps, synced together with the
//! values, which lines of which file it has ([`lines::LineSet`]); a line that comes again is left out and confirmed again.

pub mod client;
pub mod envelope;
pub mod intake;
mod keys;
pub mod lines;
pub mod mapping;
pub mod pseudonym;
pub mod row;
#[cfg(test)]
mod tests;

pub use keys::{
    KeyError, Made, PlatformKey, PlatformPublic, SigningKey, SiteKey, VerifyKey, make_client_keys,
    make_platform_key,
};

use crate::house::Area;
use std::sync::LazyLock;

/// Keys of nobody.
static ANY: LazyLock<Option<(SiteKey, SigningKey, PlatformKey)>> = LazyLock::new(|| {
    let site = SiteKey::generate("any", "any", "any", "any").ok()?;
    Some((site, SigningKey::generate("any").ok()?, PlatformKey::generate("any").ok()?))
});

/// Reads any bytes as an envelope, its rows, a receipt, a historian's line and a table of private ids.
pub(crate) fn read_any(bytes: &[u8]) {
    let Some((site, signing, platform)) = &*ANY else { return };
    let now = grid::Slot(1_965_170).start();
    let sender = signing.public();
    let expected = envelope::Expected { key: platform, sender: &sender, purpose: "any" };
    let _ = envelope::open(bytes, &expected, now);
    let _ = row::read(bytes, 1, 1000);
    let _ = serde_json::from_slice::<envelope::Header>(bytes);
    let _ = serde_json::from_slice::<envelope::Receipt>(bytes);
    let _ = String::from_utf8_lossy(bytes).parse::<pseudonym::Pseudonym>();
    client::read_lines(bytes);
    mapping::read_any(bytes, &pseudonym::Pseudonymiser::new(site));
}

/// Where envelopes of a sender are published.
pub fn envelope_topic(area: &Area, sender: &str) -> String {
    format!("gridflex/{area}/acquisition/{sender}/envelope")
}

/// Where receipts for a sender are published.
pub fn receipt_topic(area: &Area, sender: &str) -> String {
    format!("gridflex/{area}/acquisition/{sender}/receipt")
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly `N` bytes of lower-case hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}
