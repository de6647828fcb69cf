//! The transport's rules, what comes of objects, and any bytes at all.

mod bytes;
mod reports;
mod transport;
