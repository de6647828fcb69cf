//! An aggregate that was sealed, from its members: they stay together whatever the tolerances are by now.

use super::tolerance::{Bounds, Group, Tolerances};
use super::{Portfolio, PortfolioError};
use crate::bid::ZoneId;
use crate::flex_offer::{FlexOffer, SLICES_MAX};
use grid::EnergyMwh;

impl Portfolio {
    /// A portfolio of one bundle with exactly these members, in their order; its number is the first of
    /// [`Portfolio::numbers`]. Refused when they cannot move together.
    pub fn of_sealed(zone: ZoneId, members: &[&FlexOffer]) -> Result<Self, PortfolioError> {
        let bounds = Bounds {
            members_min: 1,
            members_max: usize::MAX,
            energy_min: EnergyMwh::ZERO,
            energy_max: EnergyMwh(i64::MAX),
        };
        let mut portfolio = Self::new(Tolerances::default(), bounds);
        let Some(base) = members.iter().map(|offer| offer.start_after).min() else { return Ok(portfolio) };
        let mut first: Option<Group> = None;
        for offer in members {
            let mut coming = portfolio.look_at(offer, zone)?;
            let group = coming.group.sealed(base, first.map_or(offer.terms.mode, |first| first.mode));
            let last = offer.start_after.0.saturating_sub(base.0).saturating_add(offer.slices.len() as i64);
            if *first.get_or_insert(group) != group || last > SLICES_MAX as i64 {
                return Err(PortfolioError::Unlike { offer: offer.id.clone() });
            }
            coming.group_hash = group.hash(portfolio.hash_key);
            coming.kept.set_offset(offer, base);
            coming.group = group;
            portfolio.file(offer, &coming)?;
        }
        Ok(portfolio)
    }
}
