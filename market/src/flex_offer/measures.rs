//! How flexible an offer is, after Valsomatzis et al. 2015. Energies in mWh, time in slots.

use super::FlexOffer;

/// Measures of one offer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Slots between the latest and the earliest start.
    pub time_slots: i64,
    /// Sum over the slices of upper minus lower bound, no more than the total bounds leave, mWh.
    pub energy_mwh: i64,
    /// Time × energy, slot·mWh.
    pub product: i128,
    /// Euclidean length of (time, energy in kWh).
    pub vector_norm: f64,
    /// Natural logarithm of the number of schedules on the grid of whole mWh, total bounds apart:
    /// (time + 1) · Π (upper − lower + 1).
    pub assignments_ln: f64,
    /// Area, slot·mWh, that schedules can cover: for every slot and energy between zero and a bound. The least
    /// energy that every schedule takes is subtracted.
    pub absolute_area: i128,
}

impl FlexOffer {
    /// How flexible the (checked) offer is.
    pub fn measures(&self) -> Measures {
        let time_slots = self.start_before.0 - self.start_after.0;
        let (least, most) = self.profile().reach();
        let total = self.total_energy;
        let least_total = total.map_or(least.0, |total| total.min.0.max(least.0));
        let most_total = total.map_or(most.0, |total| total.max.0.min(most.0));
        let energy_mwh = (most.0 - least.0).min((most_total - least_total).max(0));
        let widths = self.slices.iter().map(|slice| (slice.max.0 - slice.min.0) as f64 + 1.0);
        let energy_kwh = energy_mwh as f64 / 1e6;
        Measures {
            time_slots,
            energy_mwh,
            product: i128::from(time_slots) * i128::from(energy_mwh),
            vector_norm: (time_slots as f64).hypot(energy_kwh),
            assignments_ln: (time_slots as f64 + 1.0).ln() + widths.map(f64::ln).sum::<f64>(),
            absolute_area: self.covered() - i128::from(self.least_magnitude()),
        }
    }

    /// Slot by slot the union of all schedules' areas.
    fn covered(&self) -> i128 {
        let (mut area, slices) = (0_i128, self.slices.len() as i64);
        for slot in self.start_after.0..self.start_before.0 + slices {
            let (mut above, mut below) = (0_i64, 0_i64);
            // Slices that can lie on this slot: starts within the window.
            let first = (slot - self.start_before.0).max(0);
            let last = (slot - self.start_after.0).min(slices - 1);
            for slice in self.slices.iter().take((last + 1).max(0) as usize).skip(first as usize) {
                above = above.max(slice.max.0);
                below = below.min(slice.min.0);
            }
            area += i128::from(above) - i128::from(below);
        }
        area
    }

    fn least_magnitude(&self) -> i64 {
        self.slices.iter().map(|slice| slice.min.0.max(0).max(-slice.max.0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use crate::flex_offer::{EnergyBounds, FlexOffer};
    use crate::sample::{offer, slices, slot};
    use grid::EnergyMwh;

    #[test]
    fn a_hand_computed_offer() {
        // Two slices of 1 to 3 mWh and 2 to 2 mWh, three starts.
        let offer = FlexOffer { slices: slices(&[(1, 3), (2, 2)]), start_before: slot(2), ..offer("fo-1") };
        let measures = offer.measures();
        assert_eq!((measures.time_slots, measures.energy_mwh, measures.product), (2, 2, 4));
        assert!((measures.assignments_ln - 9_f64.ln()).abs() < 1e-12);
        // Slots 0 to 2 can carry the first slice (3), slot 3 only the second (2): 11; every schedule takes 3.
        assert_eq!(measures.absolute_area, 8);
        assert!((measures.vector_norm - 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_total_takes_flexibility_away() {
        let total = EnergyBounds { min: EnergyMwh(900), max: EnergyMwh(1_100) };
        let bound = FlexOffer { total_energy: Some(total), ..offer("fo-1") };
        assert_eq!(bound.measures().energy_mwh, 200);
        assert_eq!(offer("fo-2").measures().energy_mwh, 2_000);
    }
}
