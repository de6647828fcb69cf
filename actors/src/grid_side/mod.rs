//! From telemetry to the need: nodes, the region that estimates and forecasts, and the DSO's DOMS.

pub mod doms;
pub mod ingress;
pub mod node;
pub mod preference;
pub mod region;

pub use doms::{Doms, DomsMsg};
pub use ingress::{Ingress, IngressMsg, Routes, pump};
pub use node::{Node, NodeMsg};
pub use preference::{Listed, Origin, Ranks};
pub use region::{Region, RegionMsg};
