//! Many offers at once.
//!
//! What one offer waits for (its own memory, the table of names, its bundle) does not hang together with the next one's.
//! So a few offers go through each step together, and the processor waits for all of them at the same time.

use super::{Coming, Portfolio, PortfolioError};
use crate::bid::ZoneId;
use crate::flex_offer::FlexOffer;
use std::hint::black_box;

/// Offers that go through each step together: their scalars stay in the nearest cache.
const TOGETHER: usize = 64;

impl Portfolio {
    /// Takes up offers, each with the zone its energy flows through, as [`Portfolio::insert`] would one after the
    /// other, for whoever reads the aggregates afterwards and needs no record of single changes. Returns what was
    /// refused, by its place in `offers`, ascending; all others are in.
    pub fn insert_all<'a>(
        &mut self,
        offers: impl IntoIterator<Item = (&'a FlexOffer, ZoneId)>,
    ) -> Vec<(usize, PortfolioError)> {
        let mut offers = offers.into_iter().enumerate();
        self.reserve(offers.size_hint().0);
        let mut refused = Vec::new();
        let mut looked_at: Vec<(usize, &FlexOffer, Coming)> = Vec::with_capacity(TOGETHER);
        loop {
            let mut none = true;
            for (at, (offer, zone)) in offers.by_ref().take(TOGETHER) {
                none = false;
                match self.look_at(offer, zone) {
                    Ok(coming) => looked_at.push((at, offer, coming)),
                    Err(error) => refused.push((at, error)),
                }
            }
            if none {
                break;
            }
            // Nothing comes of it, but that the table's memory is there when the names are taken up.
            for (_, offer, coming) in &looked_at {
                black_box(self.find(coming.hash, &offer.id));
            }
            for (at, offer, coming) in &looked_at {
                if let Err(error) = self.file(offer, coming) {
                    refused.push((*at, error));
                }
            }
            looked_at.clear();
        }
        refused.sort_by_key(|&(at, _)| at);
        refused
    }
}
