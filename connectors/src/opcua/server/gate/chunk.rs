//! What goes over the wire of OPC UA's binary protocol (Part 6, section 7.1): chunks, as far as the gate has to read them.

use super::{CHUNK_BYTES_MAX, Counted, HEADER, STALL};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Longest name of a security policy.
const POLICY_BYTES_MAX: usize = 256;
/// Requests of the binary encoding that are possible without protection: FindServers, GetEndpoints, FindServersOnNetwork.
const FINDING_REQUESTS: [u32; 3] = [422, 428, 12_208];

/// Kinds of chunks a client sends.
pub(super) const OF_CLIENT: &[&[u8; 3]] = &[b"HEL", b"OPN", b"MSG", b"CLO"];
/// Kinds of chunks with which a server answers until a channel is open.
pub(super) const OF_SERVER: &[&[u8; 3]] = &[b"ACK", b"ERR", b"OPN"];

/// One chunk of the protocol, header included.
pub(super) struct Chunk {
    pub bytes: Vec<u8>,
}

impl Chunk {
    /// The next chunk, which has to be of one of these kinds; `None` when the peer has ended.
    pub async fn read(
        from: &mut (impl AsyncRead + Unpin),
        kinds: &[&[u8; 3]],
    ) -> Result<Option<Self>, Counted> {
        let mut first = [0];
        match from.read(&mut first).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
        let rest = async {
            let mut header = [first[0], 0, 0, 0, 0, 0, 0, 0];
            from.read_exact(&mut header[1..]).await.map_err(|_| Counted::Frame)?;
            let length = length(&header, kinds).ok_or(Counted::Frame)?;
            let mut bytes = header.to_vec();
            bytes.resize(length, 0);
            from.read_exact(&mut bytes[HEADER..]).await.map_err(|_| Counted::Frame)?;
            Ok(Some(Self { bytes }))
        };
        timeout(STALL, rest).await.unwrap_or(Err(Counted::Stalled))
    }

    pub fn is(&self, kind: &[u8; 3]) -> bool {
        self.bytes.starts_with(kind)
    }

    fn number(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// The security policy of a chunk that opens a channel.
    pub fn policy(&self) -> Option<&[u8]> {
        if !self.is(b"OPN") {
            return None;
        }
        // The number of the channel comes first.
        let policy = self.counted(HEADER + 4)?;
        (policy.len() <= POLICY_BYTES_MAX).then_some(policy)
    }

    /// The certificate of whoever opens a channel; whether it is theirs only the library can say. More may follow it.
    pub fn certificate(&self) -> Option<&[u8]> {
        let policy = self.policy()?;
        self.counted(HEADER + 8 + policy.len())
    }

    /// Bytes that stand behind their number.
    fn counted(&self, at: usize) -> Option<&[u8]> {
        let length = self.number(at)? as usize;
        self.bytes.get(at + 4..)?.get(..length)
    }

    /// Whether it is a whole request for endpoints or servers, or a farewell.
    pub fn is_finding(&self) -> bool {
        if self.is(b"CLO") {
            return true;
        }
        // Channel, token, sequence number, request number; then what is asked for, as a node of the standard's namespace.
        let kind = HEADER + 16;
        let request = match self.bytes.get(kind..kind + 7) {
            Some([0, id, ..]) => u32::from(*id),
            Some([1, 0, low, high, ..]) => u32::from(u16::from_le_bytes([*low, *high])),
            Some([2, 0, 0, id @ ..]) => {
                id.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
            }
            _ => return false,
        };
        self.is(b"MSG") && self.bytes[3] == b'F' && FINDING_REQUESTS.contains(&request)
    }
}

/// The length that a header says, when the header is one.
fn length(header: &[u8; HEADER], kinds: &[&[u8; 3]]) -> Option<usize> {
    let kind = kinds.iter().any(|kind| header.starts_with(*kind));
    let end = matches!(header[3], b'F' | b'C' | b'A');
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    (kind && end && (HEADER..=CHUNK_BYTES_MAX).contains(&length)).then_some(length)
}

/// Reads any bytes as a chunk.
pub(crate) fn read_chunk(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk() {
        let _ = (length(header, OF_CLIENT), length(header, OF_SERVER));
    }
    // What is read is at least a header.
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().max(HEADER), 0);
    let chunk = Chunk { bytes };
    let _ = (chunk.policy(), chunk.certificate(), chunk.is_finding());
}

#[cfg(test)]
mod tests {
    use super::super::POLICY_NONE;
    use super::*;
    use proptest::prelude::*;

    fn chunk(head: &[u8; 4], body: &[u8]) -> Chunk {
        let mut bytes = head.to_vec();
        bytes.extend(((HEADER + body.len()) as u32).to_le_bytes());
        bytes.extend(body);
        Chunk { bytes }
    }

    #[test]
    fn the_policy_of_an_opening_is_read() {
        let mut body = vec![0; 4];
        body.extend((POLICY_NONE.len() as u32).to_le_bytes());
        body.extend(POLICY_NONE);
        assert_eq!(chunk(b"OPNF", &body).policy(), Some(POLICY_NONE));
        assert_eq!(chunk(b"MSGF", &body).policy(), None);
        assert_eq!(chunk(b"OPNF", &body[..20]).policy(), None);
        assert_eq!(chunk(b"OPNF", &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).policy(), None);
    }

    #[test]
    fn the_certificate_of_an_opening_is_read() {
        let mut body = vec![0; 4];
        for bytes in [b"policy".as_slice(), b"certificate", b"thumbprint"] {
            body.extend((bytes.len() as u32).to_le_bytes());
            body.extend(bytes);
        }
        assert_eq!(chunk(b"OPNF", &body).certificate(), Some(b"certificate".as_slice()));
        assert_eq!(chunk(b"OPNF", &body[..20]).certificate(), None);
        assert_eq!(chunk(b"MSGF", &body).certificate(), None);
    }

    #[test]
    fn without_protection_one_may_only_ask_for_endpoints() {
        let message = |head, id: &[u8]| chunk(head, &[&[0; 16], id, &[0; 8]].concat());
        let get_endpoints = [1, 0, 0xac, 0x01];
        assert!(message(b"MSGF", &get_endpoints).is_finding());
        assert!(message(b"MSGF", &[2, 0, 0, 0xac, 0x01, 0, 0]).is_finding());
        assert!(message(b"CLOF", &[1, 0, 0xc4, 0x01]).is_finding());
        let create_session = [1, 0, 0xcd, 0x01];
        assert!(!message(b"MSGF", &create_session).is_finding());
        assert!(!message(b"MSGC", &get_endpoints).is_finding(), "the rest of it may be anything");
        assert!(!message(b"MSGF", &[1, 1, 0xac, 0x01]).is_finding());
        assert!(!chunk(b"MSGF", &[0; 18]).is_finding());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200), header in any::<[u8; 8]>()) {
            let chunk = Chunk { bytes };
            let _ = (chunk.policy(), chunk.certificate(), chunk.is_finding());
            if let Some(length) = length(&header, OF_CLIENT) {
                prop_assert!((HEADER..=CHUNK_BYTES_MAX).contains(&length));
            }
        }
    }
}
