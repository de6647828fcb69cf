//! What a session says of its clearing: schedules, prices, payments.

use super::arrays::Kind;
use super::outcome::{Payee, Plan, PriceClearing, Worth};
use super::problem::{Pricing, WHOLE};
use super::solve::Session;
use super::worth;

impl Session {
    /// The clearing as it stands.
    pub fn clearing(&self) -> PriceClearing {
        let mut plans = Vec::new();
        let mut declined = Vec::new();
        for offer in 0..self.problem.offers() {
            match self.plan(offer) {
                Some(plan) => plans.push(plan),
                None => declined.push(self.declined(offer)),
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
            claimed: self.proved.map(|proved| {
                let claimed = Worth((proved * WHOLE as f64).ceil() as i128);
                claimed.min(bound).max(Worth(welfare))
            }),
            plans,
            declined,
            prices: self.prices.clone(),
            node_prices: self.node_parts.clone(),
            row_use,
            postings,
        }
    }

    /// What the prices prove, exactly.
    fn bound(&self) -> i128 {
        let gains = self
            .replies
            .iter()
            .zip(&self.arrays.offers)
            .map(|(reply, offer)| if offer.may_rest { reply.gain.max(0) } else { reply.gain });
        worth::price_constant(&self.problem, &self.prices)
            + self.lumps.constant(&self.problem, &self.incidence, &self.prices)
            + gains.sum::<i128>()
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
