//! An OpenID provider of the test's own, which does what it is told: also what no provider should.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is answered at a path.
#[derive(Clone)]
pub enum Reply {
    Json(u16, Value),
    /// So many bytes of JSON.
    Flood(usize),
    /// Nothing, and the connection stays.
    Stall,
    /// A byte now and then.
    Drip,
    /// Somewhere else.
    Redirect(String),
}

/// A key with its name.
pub struct Signer {
    pair: EcdsaKeyPair,
    pub name: String,
}

impl Signer {
    pub fn new(name: &str) -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
        Self { pair, name: name.to_owned() }
    }

    pub fn published(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": self.name, "use": "sig", "x": x, "y": y })
    }

    pub fn signed_with(&self, header: &Value, says: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(says.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encoded(signature))
    }

    pub fn signed(&self, says: &Value) -> String {
        self.signed_with(&json!({ "alg": "ES256", "kid": self.name }), says)
    }
}

/// What it was asked: method, path, head and body.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub head: String,
    pub body: String,
}

#[derive(Default)]
struct Told {
    replies: BTreeMap<String, Reply>,
    asked: Vec<Asked>,
}

pub struct Provider {
    pub address: SocketAddr,
    encrypted: bool,
    pub signer: Signer,
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

impl Provider {
    /// One that behaves, but gives out no tokens yet.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same, encrypted when that is given.
    pub async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let (kept, encrypted) = (Arc::clone(&told), tls.is_some());
        let task = tokio::spawn(async move {
            // They end with it.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (kept, tls) = (Arc::clone(&kept), tls.clone());
                connections.spawn(async move {
                    let Some(tls) = tls else { return answer(socket, kept).await };
                    if let Ok(socket) = tls.accept(socket).await {
                        answer(socket, kept).await;
                    }
                });
            }
        });
        let provider = Self { address, encrypted, signer: Signer::new("one"), told, task };
        provider.tell("/.well-known/openid-configuration", Reply::Json(200, provider.document()));
        provider.publish(&[provider.signer.published()]);
        provider
    }

    pub fn issuer(&self) -> String {
        match self.encrypted {
            true => format!("https://localhost:{}", self.address.port()),
            false => format!("http://{}", self.address),
        }
    }

    pub fn document(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer());
        json!({
            "issuer": self.issuer(), "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/keys"), "end_session_endpoint": at("/end"),
        })
    }

    pub fn tell(&self, path: &str, reply: Reply) {
        self.told.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    pub fn publish(&self, keys: &[Value]) {
        self.tell("/keys", Reply::Json(200, json!({ "keys": keys })));
    }

    /// How often a path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.told.lock().unwrap().asked.iter().filter(|asked| asked.path == path).count()
    }

    pub fn last(&self, path: &str) -> Asked {
        let told = self.told.lock().unwrap();
        told.asked.iter().rev().find(|asked| asked.path == path).unwrap().clone()
    }

    /// It is not there any more.
    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn answer(mut socket: impl AsyncRead + AsyncWrite + Unpin, told: Arc<Mutex<Told>>) {
    loop {
        let Some(asked) = read(&mut socket).await else { return };
        let reply = {
            let mut told = told.lock().unwrap();
            told.asked.push(asked.clone());
            told.replies.get(&asked.path).cloned()
        };
        let head = |status: u16, length: usize, more: &str| {
            format!(
                "HTTP/1.1 {status} So\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
            )
        };
        match reply {
            None => drop(socket.write_all(head(404, 0, "").as_bytes()).await),
            Some(Reply::Json(status, body)) => {
                let body = body.to_string();
                drop(socket.write_all((head(status, body.len(), "") + &body).as_bytes()).await);
            }
            Some(Reply::Flood(bytes)) => {
                let _ = socket.write_all((head(200, bytes, "") + "{\"keys\":[\"").as_bytes()).await;
                let chunk = [b'a'; 8_192];
                let mut left = bytes;
                while left > 0 && socket.write_all(&chunk).await.is_ok() {
                    left = left.saturating_sub(chunk.len());
                }
                return;
            }
            Some(Reply::Stall) => tokio::time::sleep(Duration::from_secs(60)).await,
            Some(Reply::Drip) => {
                let _ = socket.write_all(head(200, 1_000, "").as_bytes()).await;
                while socket.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                return;
            }
            Some(Reply::Redirect(to)) => {
                drop(socket.write_all(head(302, 0, &format!("location: {to}\r\n")).as_bytes()).await);
            }
        }
    }
}

async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_string();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    while bytes.len() < end + length.unwrap_or(0_usize) {
        socket.read_buf(&mut bytes).await.ok()?;
    }
    let path = head.split(' ').nth(1)?.split('?').next()?.to_owned();
    Some(Asked { path, body: String::from_utf8_lossy(&bytes[end..]).to_string(), head })
}
