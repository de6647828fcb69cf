//! Asking a running gridflex over HTTP. By hand: one request on one connection is all that is needed.

use crate::Failure;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long it may take to connect and to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The environment variable that holds a token, where the system asks who you are.
const TOKEN: &str = "GRIDFLEX_TOKEN";
/// Largest answer that is read, bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// One request without a body. The answer's JSON; a problem document becomes a failure with its sentence.
pub fn ask(server: SocketAddr, method: &str, path: &str) -> Result<Value, Failure> {
    let unreachable = |error: std::io::Error| {
        Failure::Run(anyhow::anyhow!(
            "http://{server}{path}: {error}; is gridflex running there? --server names another address"
        ))
    };
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    let proof = proof(server)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{proof}Content-Type: application/json\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map_err(unreachable)?;
    let (status, body) = parse(&bytes).ok_or_else(|| {
        Failure::Run(anyhow::anyhow!("http://{server}{path}: what answers there is not gridflex"))
    })?;
    if status == 200 {
        return Ok(body);
    }
    let words = body.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
    Err(Failure::Run(anyhow::anyhow!("{status}: {words}")))
}

/// The line that shows the token, where there is one. It is not sent in clear to another machine.
fn proof(server: SocketAddr) -> Result<String, Failure> {
    let Ok(token) = std::env::var(TOKEN) else { return Ok(String::new()) };
    if !server.ip().is_loopback() {
        return Err(Failure::Input(anyhow::anyhow!(
            "{TOKEN} is set and {server} is another machine: it would be sent in clear; ask on that machine"
        )));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Input(anyhow::anyhow!("{TOKEN} is no token: it holds spaces or line ends")));
    }
    Ok(format!("Authorization: Bearer {token}\r\n"))
}

/// Status and JSON body of an answer with a length, or one that ends with the connection.
fn parse(bytes: &[u8]) -> Option<(u16, Value)> {
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&bytes[..split]).ok()?, &bytes[split + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if length.is_some_and(|(_, value)| value.trim().parse() != Ok(body.len())) {
        return None;
    }
    Some((status, serde_json::from_slice(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        let whole = b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n{\"detail\":12}";
        assert_eq!(parse(whole).map(|(status, _)| status), Some(404));
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "cut at {cut}");
        }
    }
}
