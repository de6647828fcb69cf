//! A station of IEC 60870-5-104 made by hand: it answers each frame with exactly what a test wants, or not at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// STARTDT act, and TESTFR act.
pub const START: [u8; 4] = [0x07, 0, 0, 0];
pub const TEST: [u8; 4] = [0x43, 0, 0, 0];

/// What a client sent: the control field and what is behind it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub control: [u8; 4],
    pub asdu: Vec<u8>,
}

impl Sent {
    /// The number of an I frame.
    pub fn number(&self) -> Option<u16> {
        let [a, b, ..] = self.control;
        (a & 1 == 0).then(|| u16::from_le_bytes([a, b]) >> 1)
    }

    /// The frame that confirms a U frame.
    pub fn confirmed(&self) -> Vec<u8> {
        frame([(self.control[0] & 0xfc) << 1 | 3, 0, 0, 0], &[])
    }
}

/// A whole frame.
pub fn frame(control: [u8; 4], asdu: &[u8]) -> Vec<u8> {
    [&[0x68, 4 + asdu.len() as u8], &control[..], asdu].concat()
}

/// A numbered frame.
pub fn numbered(send: u16, receive: u16, asdu: &[u8]) -> Vec<u8> {
    let ([a, b], [c, d]) = ((send << 1).to_le_bytes(), (receive << 1).to_le_bytes());
    frame([a, b, c, d], asdu)
}

type Say = Box<dyn FnMut(usize, Sent) -> Option<Vec<u8>> + Send>;

/// Serves as long as the runtime lives; where it listens. `say` is asked, with the number of the connection, for the bytes of
/// each answer; `None` hangs up.
pub async fn serve(say: impl FnMut(usize, Sent) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let say: Arc<Mutex<Say>> = Arc::new(Mutex::new(Box::new(say)));
    tokio::spawn(async move {
        let mut connections = 0..;
        while let (Ok((stream, _)), Some(number)) = (listener.accept().await, connections.next()) {
            tokio::spawn(talk(stream, number, say.clone()));
        }
    });
    address
}

async fn talk(mut stream: TcpStream, connection: usize, say: Arc<Mutex<Say>>) {
    let mut head = [0; 2];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut rest = vec![0; usize::from(head[1])];
        if stream.read_exact(&mut rest).await.is_err() {
            return;
        }
        let asdu = rest.split_off(4);
        let sent = Sent { control: rest.try_into().unwrap(), asdu };
        let answer = say.lock().unwrap()(connection, sent);
        match answer {
            Some(bytes) if stream.write_all(&bytes).await.is_ok() => {}
            _ => return,
        }
    }
}
