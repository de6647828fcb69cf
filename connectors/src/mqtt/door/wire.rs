//! Packets on a stream: bounded buffers, and no waiting without an end.

use bytes::BytesMut;
use rumqttc::mqttbytes::Error;
use rumqttc::mqttbytes::v4::Packet;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

const READ_BYTES: usize = 4096;

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The client closed it or it broke.
    Closed,
    /// What it sends is no MQTT 3.1.1.
    Malformed,
    /// It speaks another version of MQTT.
    Version,
    /// A packet above the limit.
    TooLarge,
    /// It does not take what is sent to it.
    Stalled,
}

pub(crate) struct Wire<S> {
    stream: S,
    input: BytesMut,
    output: BytesMut,
    packet_bytes_max: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, packet_bytes_max: usize) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), packet_bytes_max }
    }

    /// Takes larger packets from now on.
    pub(crate) fn allow(&mut self, packet_bytes_max: usize) {
        self.packet_bytes_max = packet_bytes_max;
    }

    /// The next whole packet of what was read.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, Broken> {
        match Packet::read(&mut self.input, self.packet_bytes_max) {
            Ok(packet) => Ok(Some(packet)),
            Err(Error::InsufficientBytes(_)) => Ok(None),
            Err(Error::PayloadSizeLimitExceeded(_)) => Err(Broken::TooLarge),
            Err(Error::InvalidProtocol | Error::InvalidProtocolLevel(_)) => Err(Broken::Version),
            Err(_) => Err(Broken::Malformed),
        }
    }

    /// Whether a packet has begun and is not complete.
    pub(crate) fn has_begun(&self) -> bool {
        !self.input.is_empty()
    }

    /// Reads some more. Cancelling loses nothing.
    pub(crate) async fn fill(&mut self) -> Result<(), Broken> {
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) | Err(_) => Err(Broken::Closed),
            Ok(_) => Ok(()),
        }
    }

    /// Adds a packet to what will be sent.
    pub(crate) fn put(&mut self, packet: &Packet) -> Result<(), Broken> {
        // Only the standard's own limit applies outwards: what got in may get out.
        packet.write(&mut self.output, usize::MAX).map(|_| ()).map_err(|_| Broken::TooLarge)
    }

    /// Sends what was added.
    pub(crate) async fn flush(&mut self, within: Duration) -> Result<(), Broken> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sending = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        match timeout(within, sending).await {
            Ok(Ok(())) => {
                self.output.clear();
                Ok(())
            }
            Ok(Err(_)) => Err(Broken::Closed),
            Err(_) => Err(Broken::Stalled),
        }
    }

    /// Says the last word, TLS's own included, without waiting long for it.
    pub(crate) async fn close(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}
