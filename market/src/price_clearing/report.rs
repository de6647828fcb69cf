//! What a session says of its clearing: schedules, prices, payments, and for every offer the reason.

use super::arrays::Kind;
use super::outcome::{DeclineReason, Declined, Limit, Payee, Plan, PriceClearing, Worth};
use super::problem::{OfferView, Pricing, WHOLE};
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
        let paid: i64 = plans.iter().map(|plan| plan.payment).sum();
        let mut postings: Vec<(Payee, i64)> =
            plans.iter().map(|plan| (Payee::Offer(plan.offer), plan.payment)).collect();
        postings.push((Payee::Dso, -paid));
        PriceClearing {
            welfare: Worth(welfare),
            bound: Worth(self.bound()),
            proved: self.proved.map(|proved| Worth((proved * WHOLE as f64).ceil() as i128)),
            plans,
            declined,
            prices: self.prices.clone(),
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
        worth::price_constant(&self.problem, &self.prices) + gains.sum::<i128>()
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

    /// Why an offer stays with its default, and what would have won.
    fn declined(&self, index: usize) -> Declined {
        let reply = &self.replies[index];
        let offer = index as u32;
        let none =
            Declined { offer, reason: DeclineReason::NoChoice, winning_ask: 0, asked: 0, against: None };
        if !reply.exists {
            return none;
        }
        let view = self.problem.offer(index);
        let start = usize::from(reply.start);
        let (at, values) = worth::deviation(&view, start, &reply.energies);
        if values.iter().all(|&x| x == 0) {
            // The best energies are the default's: at no price above nothing would others do.
            return self.declined_amount(index, &view).unwrap_or(none);
        }
        self.declined_for(index, &view, at, &values, start)
    }

    fn declined_for(
        &self,
        index: usize,
        view: &OfferView<'_>,
        at: usize,
        values: &[i64],
        start: usize,
    ) -> Declined {
        let prices = &self.node_prices[view.node() as usize];
        let asked = worth::asked(view, start, values);
        let earned = -prices.charge(at, values);
        let reason = if earned > asked { DeclineReason::DoesNotFit } else { DeclineReason::TooDear };
        Declined {
            offer: index as u32,
            reason,
            winning_ask: Worth(earned).micro_floor(),
            asked: Worth(asked).micro_ceil(),
            against: self.against(view.node() as usize, at, values),
        }
    }

    /// For energies that stay best: the cheapest single kWh, or move of a kWh, that the offer allows.
    fn declined_amount(&self, index: usize, view: &OfferView<'_>) -> Option<Declined> {
        let prices = &self.node_prices[view.node() as usize];
        let from = usize::from(view.start_default());
        let total: i64 = view.default.iter().sum();
        let (mut least, mut most): (Option<usize>, Option<usize>) = (None, None);
        for k in 0..view.default.len() {
            let price = prices.linear[from + k];
            if view.upper[k] > view.default[k] && least.is_none_or(|l| price < prices.linear[from + l]) {
                least = Some(k);
            }
            if view.lower[k] < view.default[k] && most.is_none_or(|m| price > prices.linear[from + m]) {
                most = Some(k);
            }
        }
        let head = view.head;
        let room_down = most.map(|k| view.default[k] - view.lower[k]).unwrap_or_default().min(1_000_000);
        let room_up = least.map(|k| view.upper[k] - view.default[k]).unwrap_or_default().min(1_000_000);
        let mut values = vec![0; view.default.len()];
        let alone = room_down.min(total - head.total_lower);
        match (least, most) {
            (_, Some(k)) if alone > 0 => values[k] = -alone,
            (Some(l), Some(m)) if l != m && room_up.min(room_down) > 0 => {
                values[m] = -room_up.min(room_down);
                values[l] = room_up.min(room_down);
            }
            (Some(l), _) if room_up.min(head.total_upper - total) > 0 => {
                values[l] = room_up.min(head.total_upper - total)
            }
            _ => return None,
        }
        Some(self.declined_for(index, view, from, &values, from))
    }

    /// The limit and interval that charge a deviation most.
    fn against(&self, node: usize, at: usize, values: &[i64]) -> Option<(Limit, u16)> {
        let t = self.problem.intervals();
        let mut worst: Option<(i128, Limit, usize)> = None;
        for &(limit, factor) in self.incidence.limits(node) {
            let (prices, lumps, first) = match limit {
                Limit::Bid(bid) => (&self.prices.bid, &self.prices.bid_lump, bid as usize * t),
                Limit::Row(row) => (&self.prices.row, &self.prices.row_lump, row as usize * t),
            };
            for (j, &x) in values.iter().enumerate() {
                let i = at + j;
                let used = i128::from(factor) * i128::from(x);
                let mut charge = i128::from(prices[first + i]) * used;
                if let Some(&nu) = lumps.get(first + i).filter(|&&nu| nu > 0) {
                    charge += i128::from(nu) * worth::lump(used, worth::headroom(&self.problem, limit, i));
                }
                if charge > 0 && worst.is_none_or(|(most, ..)| charge > most) {
                    worst = Some((charge, limit, i));
                }
            }
        }
        worst.map(|(_, limit, i)| (limit, i as u16))
    }
}
