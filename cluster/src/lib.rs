//! Sites spread over processes: each site runs on one of several machines and moves to another when that one is gone.
//!
//! The unit is the site, one market area with its estimator, market and contracts. NATS JetStream carries between the
//! machines: a stream for each area holds its journal, a bucket holds who serves what ([`nats`]).
//!
//! * A member that does not serve a site *follows* it: it keeps a copy of the journal on its own disk ([`replica`]).
//! * A member that serves it writes each group of records to its own disk and to the stream ([`mirrored`]), and only when
//!   both have it does anything take effect. Each write names the one it goes on from, and the stream refuses it when
//!   another member has written since. That, and no clock, is what keeps two members from serving a site at once.
//! * Telemetry and estimates go the same way, group by group ([`copies`]).
//! * Who serves is settled by [`lease`]s that lapse; how many sites each member serves, by [`placement`].
//!
//! One process without NATS does not know this crate: a journal writes to a [`journal::Disk`], and here it is given another.

mod copies;
mod lease;
mod member;
mod mirrored;
mod nats;
mod operation;
mod placement;
mod replica;
mod server_disk;
mod serving;
#[cfg(test)]
mod test_server;
mod view;

pub use member::{Event, Member, Options, members};
pub use nats::{NatsError, Servers};
pub use placement::{Announcement, Members};
pub use serving::ServingError;
