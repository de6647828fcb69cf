//! One MQTT connection to the platform: TLS 1.3, CONNECT, a subscription to the receipts, publications of quality 1.
//!
//! Quality 1 and not 2: quality 2 is exactly once between two sessions, and both can die. Here a line counts once by its name,
//! so a doubled envelope does no harm, and a receipt says more than any of MQTT's acknowledgements.

use super::config::Platform;
use crate::house::PAYLOAD_BYTES_MAX;
use crate::mqtt::door::wire::{Broken, Wire};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Login, Packet, PubAck, Publish, Subscribe, SubscribeReasonCode,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const FLUSH_WITHIN: Duration = Duration::from_secs(20);
/// What is announced, seconds.
const KEEP_ALIVE_S: u16 = 30;
const PING_AFTER: Duration = Duration::from_secs(15);

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Down {
    /// It may come back by itself.
    Away(String),
    /// It will not: somebody has to change something.
    Refused(String),
}

impl From<Broken> for Down {
    fn from(broken: Broken) -> Self {
        Down::Away(match broken {
            Broken::Closed => "the connection was closed".to_owned(),
            broken => format!("the connection broke: {broken:?}"),
        })
    }
}

/// TLS 1.3 with one authority.
pub(super) fn tls(authority: &Path) -> Result<Arc<ClientConfig>, String> {
    let wrong = |reason: &dyn std::fmt::Display| format!("{}: {reason}", authority.display());
    let certificates =
        CertificateDer::pem_file_iter(authority).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut roots = RootCertStore::empty();
    for certificate in certificates.map_err(|error| wrong(&error))? {
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"there is no certificate in it"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// What TLS says of a certificate is not the wire's fault.
pub(super) fn tls_down(error: &std::io::Error) -> Down {
    match error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        true => Down::Refused(format!("TLS: {error}")),
        false => Down::Away(error.to_string()),
    }
}

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// What ended a wait.
pub(super) enum Heard {
    /// A receipt, or what somebody says is one.
    Receipt(Vec<u8>),
    /// Something else is to be done.
    Woken,
    /// The time.
    Nothing,
}

pub(super) struct Session {
    wire: Wire<Box<dyn Duplex>>,
    packet_id: u16,
    spoke: Instant,
    heard: Instant,
}

impl Session {
    /// Connects and subscribes.
    pub(super) async fn open(
        platform: &Platform,
        client_id: &str,
        tls: Option<&Arc<ClientConfig>>,
        receipts: &str,
    ) -> Result<Self, Down> {
        let opening = async {
            let stream = TcpStream::connect((platform.host.as_str(), platform.port)).await;
            let stream = stream.map_err(|error| Down::Away(error.to_string()))?;
            let _ = stream.set_nodelay(true);
            let stream: Box<dyn Duplex> = match tls {
                None => Box::new(stream),
                Some(tls) => {
                    let name = ServerName::try_from(platform.host.clone());
                    let name = name.map_err(|error| Down::Refused(format!("{}: {error}", platform.host)))?;
                    let connecting = TlsConnector::from(tls.clone()).connect(name, stream).await;
                    Box::new(connecting.map_err(|error| tls_down(&error))?)
                }
            };
            let now = Instant::now();
            let wire = Wire::new(stream, PAYLOAD_BYTES_MAX + 1024);
            let mut session = Self { wire, packet_id: 0, spoke: now, heard: now };
            session.greet(platform, client_id, receipts).await?;
            Ok(session)
        };
        let late = |_| Down::Away(format!("no answer within {} s", CONNECT_WITHIN.as_secs()));
        timeout(CONNECT_WITHIN, opening).await.map_err(late)?
    }

    async fn greet(&mut self, platform: &Platform, client_id: &str, receipts: &str) -> Result<(), Down> {
        let mut connect = Connect::new(client_id);
        connect.keep_alive = KEEP_ALIVE_S;
        connect.login = platform.credentials.as_ref().map(|known| Login::new(&known.user, &known.password));
        self.put(&Packet::Connect(connect)).await?;
        match self.read().await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {}
            Packet::ConnAck(answer) => {
                return Err(Down::Refused(format!("the platform's MQTT door says {:?}", answer.code)));
            }
            other => return Err(Down::Away(format!("no CONNACK but {other:?}"))),
        }
        let mut subscribe = Subscribe::new(receipts, QoS::AtLeastOnce);
        subscribe.pkid = self.next_id();
        self.put(&Packet::Subscribe(subscribe)).await?;
        match self.read().await? {
            Packet::SubAck(answer) if !answer.return_codes.contains(&SubscribeReasonCode::Failure) => Ok(()),
            Packet::SubAck(_) => Err(Down::Refused(format!("no right to subscribe to {receipts}"))),
            other => Err(Down::Away(format!("no SUBACK but {other:?}"))),
        }
    }

    fn next_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }

    async fn put(&mut self, packet: &Packet) -> Result<(), Down> {
        self.wire.put(packet)?;
        self.spoke = Instant::now();
        Ok(self.wire.flush(FLUSH_WITHIN).await?)
    }

    async fn read(&mut self) -> Result<Packet, Down> {
        loop {
            if let Some(packet) = self.wire.next()? {
                self.heard = Instant::now();
                return Ok(packet);
            }
            self.wire.fill().await?;
        }
    }

    /// Sends one envelope.
    pub(super) async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), Down> {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = self.next_id();
        self.put(&Packet::Publish(publish)).await
    }

    /// The next receipt, unless it is `until` or `woken` ends before. Keeps the connection alive meanwhile.
    pub(super) async fn receipt(
        &mut self,
        until: Instant,
        woken: impl Future<Output = ()>,
    ) -> Result<Heard, Down> {
        let mut woken = std::pin::pin!(woken);
        loop {
            let now = Instant::now();
            if now >= until {
                return Ok(Heard::Nothing);
            }
            if now >= self.heard + Duration::from_secs(2 * u64::from(KEEP_ALIVE_S)) {
                return Err(Down::Away("the platform is silent".to_owned()));
            }
            if now >= self.spoke + PING_AFTER {
                self.put(&Packet::PingReq).await?;
            }
            // Reading is cancelled between reads of the socket only; what was read stays.
            let packet = tokio::select! {
                packet = timeout((until - now).min(PING_AFTER), self.read()) => packet,
                () = &mut woken => return Ok(Heard::Woken),
            };
            let Ok(packet) = packet else { continue };
            match packet? {
                Packet::Publish(publish) => {
                    if publish.qos != QoS::AtMostOnce {
                        self.put(&Packet::PubAck(PubAck::new(publish.pkid))).await?;
                    }
                    return Ok(Heard::Receipt(publish.payload.to_vec()));
                }
                Packet::PubAck(_) | Packet::PingResp => {}
                other => return Err(Down::Away(format!("an unexpected packet: {other:?}"))),
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        if self.put(&Packet::Disconnect).await.is_ok() {
            self.wire.close().await;
        }
    }
}
