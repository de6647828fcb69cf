//! A build without OPC UA shows the picture to nobody that way.

use std::net::SocketAddr;

/// A server that is never opened.
pub enum Published {}

impl Published {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match *self {}
    }

    /// Ends it.
    pub async fn close(self) {
        match self {}
    }
}
