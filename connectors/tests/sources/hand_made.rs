//! A Modbus server made by hand: it answers each request with exactly what a test wants, or not at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request for registers.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub transaction: u16,
    pub unit: u8,
    pub function: u8,
    pub count: u16,
}

impl Asked {
    /// A whole frame around an answer.
    pub fn frame(&self, pdu: &[u8]) -> Vec<u8> {
        let mut frame = self.transaction.to_be_bytes().to_vec();
        frame.extend([0, 0]);
        frame.extend((pdu.len() as u16 + 1).to_be_bytes());
        frame.push(self.unit);
        frame.extend(pdu);
        frame
    }

    /// The right answer, where every register holds `register`.
    pub fn answered(&self, register: u16) -> Vec<u8> {
        let mut pdu = vec![self.function, (self.count * 2) as u8];
        (0..self.count).for_each(|_| pdu.extend(register.to_be_bytes()));
        self.frame(&pdu)
    }
}

type Say = Box<dyn FnMut(Asked) -> Option<Vec<u8>> + Send>;

/// Serves as long as the runtime lives; where it listens. `say` is asked for the bytes of each answer.
pub async fn serve(say: impl FnMut(Asked) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let say: Arc<Mutex<Say>> = Arc::new(Mutex::new(Box::new(say)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, say.clone()));
        }
    });
    address
}

async fn talk(mut stream: TcpStream, say: Arc<Mutex<Say>>) {
    let mut request = [0; 12];
    while stream.read_exact(&mut request).await.is_ok() {
        let pair = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
        let asked = Asked { transaction: pair(0), unit: request[6], function: request[7], count: pair(10) };
        let answer = say.lock().unwrap()(asked);
        if let Some(bytes) = answer
            && stream.write_all(&bytes).await.is_err()
        {
            return;
        }
    }
}
