//! An HTTP client that keeps its connection, by hand: what it costs itself should be little.

use std::io::{Error, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client of one server on this machine.
pub struct Client {
    server: SocketAddr,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
}

impl Client {
    /// Connects with the first request.
    pub fn of(server: SocketAddr) -> Self {
        Self { server, stream: None, answer: Vec::new() }
    }

    /// Sends a request; status and body of its answer. After an error the next request has a connection of its own.
    pub async fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(u16, &[u8])> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.server).await?,
        };
        stream.set_nodelay(true)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.server,
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        stream.write_all(&request).await?;
        self.answer.clear();
        loop {
            if stream.read_buf(&mut self.answer).await? == 0 {
                return Err(Error::other("the connection was closed before the answer"));
            }
            if let Some((status, start)) = whole(&self.answer)? {
                self.stream = Some(stream);
                return Ok((status, &self.answer[start..]));
            }
        }
    }
}

/// Status of an answer with a length, and where its body begins, once all of it is there.
fn whole(bytes: &[u8]) -> Result<Option<(u16, usize)>> {
    let foreign = || Error::other("what answers there is not gridflex");
    if bytes.len() > ANSWER_BYTES_MAX {
        return Err(foreign());
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| foreign())?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: Option<usize> = length.and_then(|(_, value)| value.trim().parse().ok());
    let (status, length) = status.zip(length).ok_or_else(foreign)?;
    Ok((bytes.len() >= end + 4 + length).then_some((status, end + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_last_byte_has_come() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
        for cut in 0..answer.len() {
            assert_eq!(whole(&answer[..cut]).unwrap(), None, "cut at {cut}");
        }
        assert_eq!(whole(answer).unwrap(), Some((201, answer.len() - 2)));
        assert!(whole(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }
}
