//! A client made by hand: it sends exactly what a test wants, and says exactly what came back.

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, Subscribe, SubscribeReasonCode,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;
use tokio::net::TcpSocket;

/// Long enough for a slow machine; nothing of this is measured.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Raw<S = TcpStream> {
    pub stream: S,
    input: BytesMut,
}

/// A CONNECT with nothing special.
pub fn hello(client_id: &str) -> Connect {
    let mut connect = Connect::new(client_id);
    connect.keep_alive = 60;
    connect
}

pub fn bytes(packet: &Packet) -> BytesMut {
    let mut out = BytesMut::new();
    packet.write(&mut out, usize::MAX).unwrap();
    out
}

pub fn publish(topic: &str, qos: QoS, pkid: u16, payload: &str) -> Publish {
    let mut publish = Publish::new(topic, qos, payload);
    publish.pkid = pkid;
    publish
}

impl Raw {
    pub fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// From one of our addresses.
    pub fn tcp_from(own: IpAddr, address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connecting = async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from((own, 0))).unwrap();
            socket.connect(address).await.unwrap().into_std().unwrap()
        };
        let stream = runtime.block_on(connecting);
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream)
    }

    /// Connected under this name.
    pub fn connected(address: SocketAddr, client_id: &str) -> Self {
        let mut raw = Self::tcp(address);
        assert_eq!(raw.connect(hello(client_id)), Some((ConnectReturnCode::Success, false)));
        raw
    }
}

impl<S: Read + Write> Raw<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, input: BytesMut::new() }
    }

    /// Whether it could be sent.
    pub fn send(&mut self, packet: &Packet) -> bool {
        self.stream.write_all(&bytes(packet)).is_ok()
    }

    /// The next packet; nothing when the other side has closed.
    pub fn receive(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.input, usize::MAX) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("the door sent what is no MQTT: {error}"),
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing came"),
                Err(_) => return None,
            }
        }
    }

    /// The code and whether there was a session; nothing when the door closed without a word.
    pub fn connect(&mut self, connect: Connect) -> Option<(ConnectReturnCode, bool)> {
        self.send(&Packet::Connect(connect));
        match self.receive()? {
            Packet::ConnAck(ConnAck { code, session_present }) => Some((code, session_present)),
            other => panic!("{other:?} instead of CONNACK"),
        }
    }

    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> SubscribeReasonCode {
        let mut subscribe = Subscribe::new(filter, qos);
        subscribe.pkid = 77;
        self.send(&Packet::Subscribe(subscribe));
        loop {
            match self.receive().expect("closed instead of SUBACK") {
                Packet::SubAck(answer) => return answer.return_codes[0],
                Packet::Publish(_) => {}
                other => panic!("{other:?} instead of SUBACK"),
            }
        }
    }

    /// Publishes with quality 1. Whether it was acknowledged rather than hung up upon.
    pub fn publish(&mut self, topic: &str, payload: &str) -> bool {
        self.send(&Packet::Publish(publish(topic, QoS::AtLeastOnce, 9, payload)));
        match self.receive() {
            Some(Packet::PubAck(PubAck { pkid: 9 })) => true,
            None => false,
            other => panic!("{other:?} instead of PUBACK"),
        }
    }

    /// The next message, acknowledged.
    pub fn message(&mut self) -> Option<Publish> {
        match self.receive()? {
            Packet::Publish(publish) => {
                if publish.qos != QoS::AtMostOnce {
                    self.send(&Packet::PubAck(PubAck::new(publish.pkid)));
                }
                Some(publish)
            }
            other => panic!("{other:?} instead of a message"),
        }
    }
}
