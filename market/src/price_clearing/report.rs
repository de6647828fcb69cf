//! What a session says of its clearing: schedules, prices, payments.

use super::arrays::Kind;
use super::outcome::{Payee, Plan, PriceClearing, Worth};
use super::problem::{Pricing, WHOLE};
use super::solve::Session;
use super::worth;

impl Session {
    /// The clearing as it stands.
    pub fn clearing(&self) -> PriceClearing {
        let plans: Vec<Plan> = (0..self.problem.offers()).filter_map(|offer| self.plan(offer)).collect();
        let mut taken = vec![false; self.arrays.groups.len()];
        for plan in &plans {
            let group = self.arrays.offers[plan.offer as usize].group;
            if let Some(taken) = taken.get_mut(group as usize) {
                *taken = true;
            }
        }
        let mut planned = plans.iter().peekable();
        let mut declined = Vec::with_capacity(self.problem.offers() - plans.len());
        for offer in 0..self.problem.offers() {
            if planned.next_if(|plan| plan.offer as usize == offer).is_none() {
                let group = self.arrays.offers[offer].group as usize;
                declined.push(self.declined(offer, taken.get(group).copied().unwrap_or(false)));
            }
        }
        let (welfare, row_use) = worth::welfare(&self.problem, &plans);
        let bound = Worth(self.bound());
        let paid = plans.iter().fold(0_i64, |sum, plan| sum.saturating_add(plan.payment));
        let mut postings: Vec<(Payee, i64)> =
            plans.iter().map(|plan| (Payee::Offer(plan.offer), plan.payment)).collect();
        postings.push((Payee::Dso, paid.saturating_neg()));
        PriceClearing {
            welfare: Worth(welfare),
            bound,
            claimed: self.proved.map(|proved| proved.bound.min(bound).max(Worth(welfare))),
            claimed_offers: self.proved.map_or(0, |proved| proved.offers),
            plans,
            declined,
            prices: self.prices.clone(),
            node_prices: self.node_parts.clone(),
            row_use,
            postings,
        }
    }

    /// What the prices prove, exactly.
    pub(super) fn bound(&self) -> i128 {
        let mut of_groups: Vec<Option<i128>> = vec![None; self.arrays.groups.len()];
        let mut gains = 0;
        for (reply, offer) in self.replies.iter().zip(&self.arrays.offers) {
            let gain = if offer.may_rest { reply.gain.max(0) } else { reply.gain };
            match of_groups.get_mut(offer.group as usize) {
                // Of a group at most one leaves its default.
                Some(most) => *most = Some(most.map_or(gain, |most| most.max(gain))),
                None => gains += gain,
            }
        }
        worth::price_constant(&self.problem, &self.prices)
            + self.lumps.constant(&self.problem, &self.incidence, &self.prices)
            + of_groups.into_iter().flatten().sum::<i128>()
            + gains
    }

    /// The schedule of an offer, on integers; `None` when it is its default.
    fn plan(&self, index: usize) -> Option<Plan> {
        let (offer, answer) = (&self.arrays.offers[index], self.state.answers[index]);
        if !answer.active {
            return None;
        }
        let view = self.problem.offer(index);
        let slices = offer.at as usize..(offer.at + offer.slices) as usize;
        let factor =
            if offer.kind == Kind::Option { (answer.factor * WHOLE as f64).round() as u32 } else { 0 };
        let energies: Vec<i64> = match offer.kind {
            Kind::Shift => view.lower.to_vec(),
            Kind::General => self.state.energies[slices].iter().map(|&e| e as i64).collect(),
            Kind::Amount => {
                view.default.iter().zip(&self.state.energies[slices]).map(|(d, &x)| d + x as i64).collect()
            }
            Kind::Option => {
                let values = worth::scaled(view.option.unwrap_or_default(), factor);
                view.default.iter().zip(&values).map(|(d, x)| d + x).collect()
            }
        };
        let start = answer.start as usize;
        let (at, values) = worth::deviation(&view, start, &energies);
        if start == usize::from(view.start_default()) && values.iter().all(|&x| x == 0) {
            return None;
        }
        let moved: i128 = values.iter().map(|&x| i128::from(x.abs())).sum();
        if offer.may_rest && moved < i128::from(view.head.least) {
            // Less than the offer accepts is not sold.
            return None;
        }
        let asked = worth::asked(&view, start, &values);
        let earned = -self.node_prices[offer.node as usize].charge_linear(at, &values);
        let asked_micro = Worth(asked).micro_ceil();
        let earned_micro = Worth(earned).micro_floor();
        let payment = match self.problem.pricing {
            Pricing::PayAsBid => asked_micro,
            Pricing::Uniform => earned_micro,
            Pricing::UniformMakeWhole => earned_micro.max(asked_micro),
        };
        Some(Plan {
            offer: index as u32,
            start: start as u16,
            energies,
            factor,
            asked: asked_micro,
            payment,
            profit: Worth(earned - asked).micro_floor(),
        })
    }
}
