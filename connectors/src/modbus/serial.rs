//! A serial line as a stream of bytes: a terminal of the operating system, in raw mode, at the speed and with the frame that the
//! site's file says, and locked, so that no second program asks on it.

use super::address::{Parity, SerialLine};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An open line.
pub(super) struct Serial(AsyncFd<OwnedFd>);

impl Serial {
    /// Opens a line; what it held is thrown away. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What is wrong: no such device, no right to it, another program has it, or it cannot do what it is told.
    pub fn open(line: &SerialLine) -> Result<Self, String> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let device = open(&line.device, flags, Mode::empty()).map_err(|error| match error {
            rustix::io::Errno::ACCESS => {
                "no right to open it; on Debian the group dialout has that".to_owned()
            }
            error => error.to_string(),
        })?;
        flock(&device, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| format!("another program uses it: {error}"))?;
        let mut settings = tcgetattr(&device).map_err(|error| format!("it is no serial line: {error}"))?;
        settings.make_raw();
        set_frame(&mut settings, line);
        settings.set_speed(line.speed).map_err(|error| format!("{} bits per second: {error}", line.speed))?;
        tcsetattr(&device, OptionalActions::Now, &settings).map_err(|error| error.to_string())?;
        // The operating system says yes when it could do any of it.
        let kept = tcgetattr(&device).map_err(|error| error.to_string())?;
        let frame = ControlModes::CSIZE | ControlModes::PARENB | ControlModes::PARODD | ControlModes::CSTOPB;
        if (kept.control_modes & frame) != (settings.control_modes & frame)
            || kept.output_speed() != line.speed
        {
            return Err("it cannot do this speed, parity or number of stop bits".to_owned());
        }
        tcflush(&device, QueueSelector::IOFlush).map_err(|error| error.to_string())?;
        registered(device).map(Self).map_err(|error| error.to_string())
    }
}

/// What took the place of `new` is unsafe, and nothing is here: it asks that the device is owned and stays open, which it is and does.
#[allow(deprecated)]
fn registered(device: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(device)
}

fn set_frame(settings: &mut Termios, line: &SerialLine) {
    let modes = &mut settings.control_modes;
    modes.remove(ControlModes::CSIZE | ControlModes::PARENB | ControlModes::PARODD);
    modes.remove(ControlModes::CSTOPB | ControlModes::CRTSCTS);
    modes.insert(ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL);
    match line.parity {
        Parity::None => {}
        Parity::Even => modes.insert(ControlModes::PARENB),
        Parity::Odd => modes.insert(ControlModes::PARENB | ControlModes::PARODD),
    }
    modes.set(ControlModes::CSTOPB, line.two_stop_bits);
    settings.special_codes[SpecialCodeIndex::VMIN] = 1;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
}

impl AsyncRead for Serial {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            let read = ready.try_io(|device| Ok(rustix::io::read(device, into.initialize_unfilled())?));
            if let Ok(count) = read {
                return Poll::Ready(count.map(|count| into.advance(count)));
            }
        }
    }
}

impl AsyncWrite for Serial {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(context))?;
            if let Ok(count) = ready.try_io(|device| Ok(rustix::io::write(device, bytes)?)) {
                return Poll::Ready(count);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
