//! The outside world. Foreign names, signs, units, quality codes and byte formats end here: what leaves this
//! crate inwards are `grid` and `market` values, what leaves it outwards is what `docs/mqtt.md` promises.
//!
//! * [`house`]: the MQTT convention of gridflex itself, bytes ⇄ [`Message`], pure functions;
//! * [`flex_offer`]: FlexOffer messages in JSON (three dialects) and XML ⇄ [`market::FlexOffer`];
//! * [`portfolio_file`]: files of FlexOffers ⇄ their aggregates and the schedules of both;
//! * [`doms_bid`]: the DSO's bid as D6.1 writes it, and the answer to it ⇄ [`market::DomsBid`];
//! * [`exchange`]: the bounded hand-over from a connector to the system, and its counters;
//! * [`mqtt`]: a door that speaks MQTT 3.1.1, and a client for any other broker;
//! * [`acquisition`]: a historian's values under pseudonyms, sealed and signed, from an operator to a platform;
//! * [`amqp`]: requests of the service platform from the queue of a broker, and the replies;
//! * [`opcua`]: OPC UA servers listened to, and a server that shows what the system knows;
//! * [`iec104`]: stations of telecontrol listened to over IEC 60870-5-104;
//! * [`modbus`]: meters and controllers asked over Modbus TCP or on a serial line;
//! * [`counter`]: readings of a counter, whatever it was read over, as energies of slots;
//! * [`loopback`]: the same two ends joined inside the process, through the same bytes, for virtual time;
//! * [`point_map`]: what a foreign system calls its values, as CSV;
//! * [`network_file`]: power-grid-model JSON → [`grid::Network`];
//! * [`opendss`]: OpenDSS scripts → [`grid::network::NetworkParts`];
//! * [`pandapower`]: pandapower JSON → a network with its sensors;
//! * [`parsers`]: whatever reads bytes of others, by name, for the test that throws anything at it;
//! * [`watched`]: files that are read again when they change.
//!
//! Two of them are features, because of the libraries that they bring: `opcua` and `modbus`; a third, `postgres`, is what
//! [`acquisition`] reads databases with. A build without one knows its settings no more.
//!
//! Whoever uses a connector holds a [`Link`] and does not see which kind it is. This crate knows no actor and
//! reads no clock: time is handed in.

pub mod acquisition;
pub mod amqp;
pub mod clearing_case;
pub mod counter;
pub mod doms_bid;
pub mod exchange;
pub mod flex_offer;
pub mod house;
pub mod iec104;
pub mod link;
pub mod loopback;
#[cfg(feature = "modbus")]
pub mod modbus;
pub mod mqtt;
pub mod network_file;
pub mod opcua;
pub mod opendss;
pub mod pandapower;
pub mod parsers;
pub mod point_map;
pub mod portfolio_file;
pub mod power_grid_model;
mod raw_list;
mod tls_client;
pub mod watched;

pub use exchange::{Arrival, CounterSnapshot, Counters, Inbox, LinkState, Receipt};
pub use house::{Area, Message, RejectCode, Rejected};
pub use link::{Link, Role, Source};
