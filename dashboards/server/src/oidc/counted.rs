//! What came of sign-ins and renewals, by one word each.

use super::trouble::Trouble;
use access::oidc::Refused;
use actors::figures::{Family, Values};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Browsers that were sent to the provider, and people who were let in.
pub(super) const BEGUN: &str = "begun";
/// Somebody was let in.
pub(super) const ALLOWED: &str = "allowed";
/// Sessions for which the provider vouched once more.
pub(super) const RENEWED: &str = "renewed";

/// Counts by word.
#[derive(Debug)]
pub(super) struct Counted {
    sign_ins: Mutex<BTreeMap<&'static str, u64>>,
    renewals: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Counted {
    fn default() -> Self {
        let reasons = Trouble::CODES.into_iter().chain(Refused::CODES);
        let zeros = |first: &[&'static str]| {
            first.iter().copied().chain(reasons.clone()).map(|word| (word, 0)).collect()
        };
        Self { sign_ins: Mutex::new(zeros(&[BEGUN, ALLOWED])), renewals: Mutex::new(zeros(&[RENEWED])) }
    }
}

impl Counted {
    pub fn sign_in(&self, word: &'static str) {
        *self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner).entry(word).or_default() += 1;
    }

    pub fn renewal(&self, word: &'static str) {
        *self.renewals.lock().unwrap_or_else(PoisonError::into_inner).entry(word).or_default() += 1;
    }

    /// For those who watch.
    pub fn families(&self) -> Vec<Family> {
        let rows = |counts: &Mutex<BTreeMap<&'static str, u64>>| {
            let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            let row = |(word, count): (&&'static str, &u64)| (vec![("outcome", (*word).to_owned())], *count);
            Values::Totals(counts.iter().map(row).collect())
        };
        vec![
            Family {
                name: "oidc_sign_ins_total",
                help: "Sign-ins at the OpenID provider: begun, allowed, and refused by reason.",
                values: rows(&self.sign_ins),
            },
            Family {
                name: "oidc_renewals_total",
                help: "Sessions about which the OpenID provider was asked again: renewed, put off or ended by reason.",
                values: rows(&self.renewals),
            },
        ]
    }
}
