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

    /// Sends a request; status and body of its answer. A server closes a connection on which nothing was asked for a while, and may do so at
    /// the instant of a request: that is sent once more, so whatever is sent here has its effect once. After an error the next request has a
    /// connection of its own.
    pub async fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(u16, &[u8])> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.server,
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        let kept = self.stream.take();
        let was_kept = kept.is_some();
        let (status, start) = match self.exchange(kept, &request).await {
            Err(_) if was_kept && self.answer.is_empty() => self.exchange(None, &request).await?,
            answered => answered?,
        };
        Ok((status, &self.answer[start..]))
    }

    /// Sends a request over a connection, a new one without any. The status of its answer, and where its body begins.
    async fn exchange(&mut self, kept: Option<TcpStream>, request: &[u8]) -> Result<(u16, usize)> {
        self.answer.clear();
        let mut stream = match kept {
            Some(stream) => stream,
            None => TcpStream::connect(self.server).await?,
        };
        stream.set_nodelay(true)?;
        stream.write_all(request).await?;
        loop {
            if stream.read_buf(&mut self.answer).await? == 0 {
                return Err(Error::other("the connection was closed before the answer"));
            }
            if let Some(answered) = whole(&self.answer)? {
                self.stream = Some(stream);
                return Ok(answered);
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

    #[tokio::test]
    async fn a_request_on_a_connection_that_was_closed_meanwhile_is_sent_once_more_on_another_one() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = Client::of(server.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut paths, mut bytes) = (Vec::new(), [0; 1024]);
            for answers in [1, 0, 1, 0] {
                let (mut stream, _) = server.accept().await.unwrap();
                let count = stream.read(&mut bytes).await.unwrap();
                paths.push(String::from_utf8_lossy(&bytes[..count]).split(' ').nth(1).unwrap().to_owned());
                if answers == 1 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                }
            }
            paths
        });
        assert_eq!(client.send("GET", "/one", b"").await.unwrap(), (200, &b"ok"[..]));
        // The first connection is gone; the second one is closed without an answer, and was new.
        assert!(client.send("GET", "/two", b"").await.is_err());
        assert_eq!(client.send("GET", "/three", b"").await.unwrap(), (200, &b"ok"[..]));
        assert!(client.send("GET", "/four", b"").await.is_err());
        assert_eq!(serving.await.unwrap(), ["/one", "/two", "/three", "/four"]);
    }
}
