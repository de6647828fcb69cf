//! A connection that the gate can end, and that ends by itself when its peer does not fetch what it is told.

use super::Place;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// Bytes from and to a peer.
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// They, under the eyes of the gate.
pub(crate) struct Guarded {
    io: Io,
    place: Place,
    has_spoken: bool,
    stall: Duration,
    /// Runs while something waits to be fetched.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(super) fn new(io: Io, place: Place, stall: Duration) -> Self {
        Self { io, place, has_spoken: false, stall, stalled: None }
    }

    fn check_cut(&self, cx: &Context<'_>) -> io::Result<()> {
        match self.place.poll_cut(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// What became of an attempt to write: progress ends the wait for it, and a wait that is too long ends the connection.
    fn written<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            self.place.moved();
            return outcome;
        }
        let stall = self.stall;
        let waiting = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(waiting.as_mut().poll(cx));
        self.place.stalled();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_cut(cx)?;
        let before = buffer.filled().len();
        let read = match &mut this.io {
            Io::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_read(cx, buffer),
        };
        if buffer.filled().len() > before {
            this.place.moved();
            if !std::mem::replace(&mut this.has_spoken, true) {
                this.place.spoke();
            }
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_cut(cx)?;
        let outcome = match &mut this.io {
            Io::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_write(cx, bytes),
        };
        this.written(cx, outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_cut(cx)?;
        // Without TLS nothing waits here, so that it says nothing of what was fetched.
        let Io::Tls(io) = &mut this.io else { return Poll::Ready(Ok(())) };
        let outcome = Pin::new(io.as_mut()).poll_flush(cx);
        this.written(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
        }
    }
}
