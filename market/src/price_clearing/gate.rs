//! Inside the gate nothing can be changed any more: what an offer runs there, by its default or by what an earlier
//! clearing decided, is fixed before a problem is cleared.

use super::course;
use super::fault::ProblemFault;
use super::offer::OfferTerms;
use super::problem::{ClearingProblem, WHOLE};
use super::worth::scaled;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Narrows an offer of a problem to what is open from interval `gate` on. `committed` is what an earlier clearing
/// decided, its start and energies; without one the default runs.
///
/// A schedule that begins inside the gate keeps its start and the energies of the slices inside; an option that has
/// begun is kept whole. One that begins later may still be moved, but not back inside.
pub fn freeze_offer(
    problem: &mut ClearingProblem,
    offer: usize,
    terms: &OfferTerms,
    gate: u16,
    committed: Option<(u16, &[i64])>,
) -> Result<(), ProblemFault> {
    if offer >= problem.offers() {
        return Err(ProblemFault::Unknown { what: "offer", number: offer as u64 });
    }
    if let Some((start, energies)) = committed
        && !terms.holds(start, energies)
    {
        return Err(ProblemFault::Commitment { offer });
    }
    let (start, energies) = committed.unwrap_or((terms.start_default, &terms.default));
    let head = &mut problem.heads[offer];
    if start >= gate {
        head.start_first = head.start_first.max(gate);
        return Ok(());
    }
    (head.start_first, head.start_last) = (start, start);
    let decided =
        if terms.option.is_some() { energies.len() } else { usize::from(gate - start).min(energies.len()) };
    head.first_option = u32::MAX;
    let at = head.first_slice as usize;
    problem.lower[at..at + decided].copy_from_slice(&energies[..decided]);
    problem.upper[at..at + decided].copy_from_slice(&energies[..decided]);
    if terms.option.is_some() {
        let total = energies.iter().sum();
        let head = &mut problem.heads[offer];
        (head.total_lower, head.total_upper) = (total, total);
    }
    Ok(())
}

impl OfferTerms {
    /// Whether a schedule lies inside of what is offered.
    pub fn holds(&self, start: u16, energies: &[i64]) -> bool {
        if energies.len() != self.default.len() {
            return false;
        }
        if let Some(option) = &self.option {
            let taken: Vec<i64> =
                energies.iter().zip(&self.default).map(|(e, d)| e.saturating_sub(*d)).collect();
            let whole =
                [0, option.factor_min, WHOLE as u32].iter().any(|&f| scaled(&option.deviation, f) == taken);
            return start == self.start_default && (whole || self.factor_of(&taken).is_some());
        }
        let inside =
            (0..energies.len()).all(|k| self.lower[k] <= energies[k] && energies[k] <= self.upper[k]);
        inside
            && self.accepts(start, energies)
            && (self.start_first..=self.start_last).contains(&start)
            && (self.total_lower..=self.total_upper).contains(&energies.iter().sum())
            && course::keeps(self.running, energies)
    }

    /// Whether a schedule is the default or deviates by no less than the offer accepts.
    fn accepts(&self, start: u16, energies: &[i64]) -> bool {
        if self.least == 0 || (start == self.start_default && energies == self.default) {
            return true;
        }
        let (new, old) = (usize::from(start), usize::from(self.start_default));
        let taken = |first: usize, energies: &[i64], interval: usize| {
            interval.checked_sub(first).and_then(|k| energies.get(k)).copied().map_or(0, i128::from)
        };
        let intervals = new.min(old)..new.max(old) + energies.len();
        let moved = |i| (taken(new, energies, i) - taken(old, &self.default, i)).abs();
        intervals.map(moved).sum::<i128>() >= i128::from(self.least)
    }

    /// The factor that makes an option's deviation this one.
    fn factor_of(&self, taken: &[i64]) -> Option<u32> {
        let option = self.option.as_ref()?;
        let k = (0..taken.len()).max_by_key(|&k| option.deviation[k].unsigned_abs())?;
        let whole = option.deviation[k];
        let near = i128::from(taken[k]) * i128::from(WHOLE) / i128::from(if whole == 0 { 1 } else { whole });
        let first = (near - 2).max(i128::from(option.factor_min)) as u32;
        (first..=first.saturating_add(4))
            .find(|&f| i64::from(f) <= WHOLE && scaled(&option.deviation, f) == taken)
    }
}

impl ClearingProblem {
    /// Lets the other offers of an exclusive group rest where one of it is committed to leave its default. Returns the
    /// offers that are committed against another of their group.
    pub fn settle_groups(&mut self) -> Vec<usize> {
        let mut committed: BTreeMap<u32, usize> = BTreeMap::new();
        let mut against = Vec::new();
        for offer in (0..self.offers()).filter(|&offer| self.heads[offer].group != 0) {
            if !self.offer(offer).may_rest() {
                match committed.entry(self.heads[offer].group) {
                    Entry::Vacant(free) => drop(free.insert(offer)),
                    Entry::Occupied(_) => against.push(offer),
                }
            }
        }
        for offer in 0..self.offers() {
            let by = committed.get(&self.heads[offer].group).copied();
            if by.is_some_and(|by| by != offer) && self.offer(offer).may_rest() {
                self.rest(offer);
            }
        }
        against
    }

    /// Leaves an offer nothing but its default.
    fn rest(&mut self, offer: usize) {
        let head = &mut self.heads[offer];
        let slices = head.first_slice as usize..head.first_slice as usize + usize::from(head.slices);
        (head.start_first, head.start_last) = (head.start_default, head.start_default);
        head.first_option = u32::MAX;
        let total = self.default[slices.clone()].iter().sum();
        (head.total_lower, head.total_upper) = (total, total);
        self.lower[slices.clone()].copy_from_slice(&self.default[slices.clone()]);
        self.upper[slices.clone()].copy_from_slice(&self.default[slices]);
    }

    /// Takes an offer out; those after it move down by one. Nothing happens when there is no such offer.
    pub fn remove_offer(&mut self, offer: usize) {
        if offer >= self.heads.len() {
            return;
        }
        let head = self.heads.remove(offer);
        let (at, n) = (head.first_slice as usize, usize::from(head.slices));
        for slices in [&mut self.default, &mut self.lower, &mut self.upper] {
            slices.drain(at..at + n);
        }
        if head.first_option != u32::MAX {
            let at = head.first_option as usize;
            self.option.drain(at..at + n);
        }
        for later in &mut self.heads[offer..] {
            later.first_slice -= u32::from(head.slices);
            if later.first_option != u32::MAX && head.first_option != u32::MAX {
                later.first_option -= u32::from(head.slices);
            }
        }
    }

    /// Takes out the offers for which `gone` (one entry per offer) is true, in one pass over the problem however many
    /// they are; those that stay keep their order and move down. Offers beyond the end of `gone` stay.
    pub fn remove_offers(&mut self, gone: &[bool]) {
        let before = std::mem::take(&mut self.heads);
        let stay = |number: &usize| !gone.get(*number).copied().unwrap_or(false);
        let slices_before =
            [&mut self.default, &mut self.lower, &mut self.upper, &mut self.option].map(std::mem::take);
        let [default, lower, upper, option] = &slices_before;
        for (_, mut head) in before.into_iter().enumerate().filter(|(number, _)| stay(number)) {
            let n = usize::from(head.slices);
            let own = head.first_slice as usize..head.first_slice as usize + n;
            head.first_slice = self.default.len() as u32;
            self.default.extend_from_slice(&default[own.clone()]);
            self.lower.extend_from_slice(&lower[own.clone()]);
            self.upper.extend_from_slice(&upper[own]);
            if head.first_option != u32::MAX {
                let own = head.first_option as usize..head.first_option as usize + n;
                head.first_option = self.option.len() as u32;
                self.option.extend_from_slice(&option[own]);
            }
            self.heads.push(head);
        }
    }

    /// Takes the last offer out again.
    pub fn withdraw_last(&mut self) {
        if let Some(head) = self.heads.pop() {
            let at = head.first_slice as usize;
            self.default.truncate(at);
            self.lower.truncate(at);
            self.upper.truncate(at);
            if head.first_option != u32::MAX {
                self.option.truncate(head.first_option as usize);
            }
        }
    }
}
