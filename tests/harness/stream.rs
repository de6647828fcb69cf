//! What lies in a JetStream stream, read by a few lines of NATS' own protocol: no code of the product, and none of its client.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub sequence: u64,
    /// The lease of whoever sent it: its id without the number at the end.
    pub term: String,
    pub payload: Vec<u8>,
}

/// A connection that asks one thing after the other.
struct Asking {
    reader: BufReader<TcpStream>,
    asked: u64,
}

impl Asking {
    fn connect(url: &str) -> Option<Self> {
        let stream = TcpStream::connect(url.strip_prefix("nats://").unwrap()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut asking = Self { reader: BufReader::new(stream), asked: 0 };
        asking.say("CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"test\",\"version\":\"1\"}\r\nSUB answer.> 1\r\n");
        Some(asking)
    }

    fn say(&mut self, words: &str) {
        self.reader.get_mut().write_all(words.as_bytes()).unwrap();
    }

    /// The answer of JetStream to a request; nothing when nobody answers.
    fn ask(&mut self, subject: &str, body: &Value) -> Option<Value> {
        self.asked += 1;
        let (body, reply) = (body.to_string(), format!("answer.{}", self.asked));
        self.say(&format!("PUB $JS.API.{subject} {reply} {}\r\n{body}\r\n", body.len()));
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.first().copied() {
                Some("PING") => self.say("PONG\r\n"),
                Some("MSG") => {
                    let length: usize = words.last().unwrap().parse().unwrap();
                    let mut bytes = vec![0; length + 2];
                    self.reader.read_exact(&mut bytes).ok()?;
                    if words[1] == reply {
                        return serde_json::from_slice(&bytes[..length]).ok();
                    }
                }
                _ => {}
            }
        }
    }
}

/// All messages of a stream, by the first of these servers that answers.
pub fn stored(urls: &str, stream: &str) -> Vec<Stored> {
    let mut asking = urls
        .split(',')
        .filter_map(Asking::connect)
        .find_map(|mut asking| {
            let info = asking.ask(&format!("STREAM.INFO.{stream}"), &json!({}))?;
            info["state"]["last_seq"].as_u64().map(|last| (asking, last))
        })
        .expect("a NATS server that knows the stream");
    let get = format!("STREAM.MSG.GET.{stream}");
    let message = |sequence: u64| {
        let answer = asking.0.ask(&get, &json!({ "seq": sequence })).expect("an answer");
        let message = &answer["message"];
        let part = |name: &str| unbase64(message[name].as_str().unwrap_or_default());
        let headers = String::from_utf8(part("hdrs")).unwrap();
        let id = headers.lines().find_map(|line| line.strip_prefix("Nats-Msg-Id:")).expect("an id").trim();
        let term = id.rsplit_once('-').unwrap().0.to_owned();
        Stored { sequence, term, payload: part("data") }
    };
    (1..=asking.1).map(message).collect()
}

fn unbase64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).unwrap() as u32;
    let digits: Vec<u32> = text.as_bytes().iter().filter(|byte| **byte != b'=').map(digit).collect();
    let mut bytes = Vec::new();
    for four in digits.chunks(4) {
        let all = four.iter().fold(0, |sum, digit| sum << 6 | digit) << (6 * (4 - four.len()));
        bytes.extend(all.to_be_bytes()[1..].iter().take(four.len() - 1));
    }
    bytes
}

/// What is wrong with who wrote into a stream: each owner writes in one stretch, which begins with its claim.
pub fn two_owners(messages: &[Stored]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut over: Vec<&str> = Vec::new();
    let mut now = "";
    for Stored { sequence, term, payload } in messages {
        if term == now {
            continue;
        }
        if over.contains(&term.as_str()) {
            wrong.push(format!("message {sequence} is of {term}, whose time was over"));
        }
        // An empty message of a history, or kind 2 of a journal.
        if !(payload.is_empty() || payload[0] == 2) {
            wrong.push(format!("message {sequence} of {term} comes without a claim"));
        }
        over.push(now);
        now = term;
    }
    wrong
}
