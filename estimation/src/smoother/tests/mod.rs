//! The smoother against a dense solution of the same problem, on random trees, and with loops against sparse least squares.

pub(in crate::smoother) mod nets;
mod oracle;

mod exactness;
mod live;
mod loops;
mod observable;
mod uncertainty;
