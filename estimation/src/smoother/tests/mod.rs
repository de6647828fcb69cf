//! The smoother against a dense solution of the same problem, on random trees.

pub(in crate::smoother) mod nets;
mod oracle;

mod exactness;
mod live;
mod observable;
mod uncertainty;
