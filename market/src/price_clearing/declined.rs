//! Why an offer stays with its default: its best other schedule at the prices, and what stands against that.

use super::course::Slack;
use super::energies::Profile;
use super::lump::References;
use super::offer::OfferView;
use super::outcome::{Alternative, DeclineReason, Declined, Limit, Worth};
use super::problem::WHOLE;
use super::solve::Session;
use super::worth;

/// Most that is moved of an offer whose best energies are the default's: one kWh, mWh.
const PROBE: i64 = 1_000_000;

impl Session {
    /// Why an offer stays with its default, and what would have won. `other_taken`: another one of its exclusive group leaves its
    /// default.
    pub(super) fn declined(&self, index: usize, other_taken: bool) -> Declined {
        let reply = &self.replies[index];
        let view = self.problem.offer(index);
        if view.head.least > 0 {
            return match self.least_way(index, &view) {
                Some(alternative) => self.declined_for(index, &view, alternative, other_taken),
                None => without_schedule(index, DeclineReason::TooLittle),
            };
        }
        let best = Alternative { start: reply.start, energies: reply.energies.clone(), factor: reply.factor };
        let found = if reply.exists && moves(&view, &best) {
            Some(best)
        } else {
            // The best energies are the default's: at no price above nothing would others do.
            self.probe(&view).or_else(|| self.elsewhere(index, &view))
        };
        match found {
            Some(alternative) => self.declined_for(index, &view, alternative, other_taken),
            None => without_schedule(index, DeclineReason::NoChoice),
        }
    }

    fn declined_for(
        &self,
        index: usize,
        view: &OfferView<'_>,
        alternative: Alternative,
        other_taken: bool,
    ) -> Declined {
        let prices = &self.node_prices[view.node() as usize];
        let start = usize::from(alternative.start);
        let (at, values) = worth::deviation(view, start, &alternative.energies);
        let asked = worth::asked(view, start, &values);
        let references = self.lumps.references(index, view, &prices.lumps);
        let earned = -prices.charge(at, &values, &references);
        let reason = match earned > asked {
            false => DeclineReason::TooDear,
            true if other_taken => DeclineReason::OtherOfGroup,
            true => DeclineReason::DoesNotFit,
        };
        Declined {
            offer: index as u32,
            reason,
            winning_ask: Worth(earned).micro_floor(),
            asked: Worth(asked).micro_ceil(),
            against: self.against(view.node() as usize, at, &values, &references),
            alternative: Some(alternative),
        }
    }

    /// A schedule that deviates by what the offer accepts at least: its best energies, moved further away where they are
    /// too near; of its starts the first one where that can be, beginning with the best.
    fn least_way(&self, index: usize, view: &OfferView<'_>) -> Option<Alternative> {
        let (offer, reply) = (&self.arrays.offers[index], &self.replies[index]);
        let price = &self.node_prices[view.node() as usize].linear;
        let starts = view.head.start_first..=view.head.start_last;
        std::iter::once(reply.start).filter(|_| reply.exists).chain(starts).find_map(|start| {
            let first = usize::from(start);
            let mut profile = Profile::default();
            self.arrays.pose(offer, first, &mut profile, |i| (price[i] as f64, 0.0));
            let scale = WHOLE as f64;
            (profile.up, profile.down) = (offer.up * scale, offer.down * scale);
            if start == reply.start && reply.exists {
                let base = self.arrays.relative(offer, first, &reply.energies);
                profile.x.extend(base);
            } else {
                profile.linear();
            }
            let least = view.head.least as f64 - self.arrays.left_behind(offer, first);
            if profile.reach_least(least) == Some(false) {
                return None;
            }
            let mut energies = Vec::new();
            self.arrays.absolute(offer, first, &profile.x, &mut energies);
            let energies: Vec<i64> = energies.iter().map(|energy| energy.round() as i64).collect();
            let found = Alternative { start, energies, factor: 0 };
            // On integers once more, so that what is said is one of its schedules.
            (moves(view, &found) && view.terms().holds(start, &found.energies)).then_some(found)
        })
    }

    /// The cheapest kWh less, move of a kWh, or kWh more that the offer allows without shifting; of an option all of it: its
    /// least part can be less than a mWh.
    fn probe(&self, view: &OfferView<'_>) -> Option<Alternative> {
        let head = view.head;
        if let Some(option) = view.option {
            let energies = view.default.iter().zip(option).map(|(energy, more)| energy + more).collect();
            let whole = Alternative { start: head.start_default, energies, factor: WHOLE as u32 };
            return moves(view, &whole).then_some(whole);
        }
        if !(head.start_first..=head.start_last).contains(&head.start_default) {
            return None;
        }
        let price = &self.node_prices[view.node() as usize].linear[usize::from(head.start_default)..];
        let n = view.default.len();
        let total: i64 = view.default.iter().sum();
        let slack = Slack::of(view);
        let (room_down, room_up) = (total - head.total_lower, head.total_upper - total);
        let less = |k: usize| (view.default[k] - view.lower[k]).min(PROBE);
        let more = |k: usize| (view.upper[k] - view.default[k]).min(PROBE);
        let fall = |k: usize| less(k).min(room_down).min(slack.less(k));
        let rise = |k: usize| more(k).min(room_up).min(slack.more(k));
        let moved = |m: usize, l: usize| less(m).min(more(l)).min(slack.moved(m, l));
        let mut energies = view.default.to_vec();
        let falling = (0..n).filter(|&k| fall(k) > 0).max_by_key(|&k| (price[k], n - k));
        let pairs = (0..n).flat_map(|m| (0..n).map(move |l| (m, l)));
        let pair = || {
            pairs
                .filter(|&(m, l)| m != l && moved(m, l) > 0)
                .max_by_key(|&(m, l)| (price[m] - price[l], n - m, n - l))
        };
        if let Some(k) = falling {
            energies[k] -= fall(k);
        } else if let Some((m, l)) = pair() {
            energies[m] -= moved(m, l);
            energies[l] += moved(m, l);
        } else {
            let k = (0..n).filter(|&k| rise(k) > 0).min_by_key(|&k| (price[k], k))?;
            energies[k] += rise(k);
        }
        Some(Alternative { start: head.start_default, energies, factor: 0 })
    }

    /// The best schedule with another start.
    fn elsewhere(&self, index: usize, view: &OfferView<'_>) -> Option<Alternative> {
        let prices = &self.node_prices[view.node() as usize];
        let references = self.lumps.references(index, view, &prices.lumps);
        let (_, start, energies) = prices.best_elsewhere(view, &references)?;
        let found = Alternative { start: start as u16, energies, factor: 0 };
        moves(view, &found).then_some(found)
    }

    /// The limit and interval that charge a deviation most, the first of equals.
    fn against(
        &self,
        node: usize,
        at: usize,
        values: &[i64],
        references: &References,
    ) -> Option<(Limit, u16)> {
        let t = self.problem.intervals();
        let prices = &self.node_prices[node];
        let mut worst: Option<(i128, Limit, usize)> = None;
        for &(limit, factor) in self.incidence.limits(node) {
            let (of, first) = match limit {
                Limit::Bid(bid) => (&self.prices.bid, bid as usize * t),
                Limit::Row(row) => (&self.prices.row, row as usize * t),
            };
            for (j, &x) in values.iter().enumerate().filter(|&(_, &x)| x != 0) {
                let i = at + j;
                let mut charge = i128::from(of[first + i]) * i128::from(factor) * i128::from(x);
                for k in prices.lumps_of(i) {
                    if prices.lumps[k].limit(&self.prices) == limit {
                        charge += prices.lumps[k].charge(x.into(), k, references);
                    }
                }
                if charge > 0 && worst.is_none_or(|(most, ..)| charge > most) {
                    worst = Some((charge, limit, i));
                }
            }
        }
        worst.map(|(_, limit, i)| (limit, i as u16))
    }
}

fn without_schedule(index: usize, reason: DeclineReason) -> Declined {
    let offer = index as u32;
    Declined { offer, reason, winning_ask: 0, asked: 0, against: None, alternative: None }
}

/// Whether a schedule takes anything else than the default.
fn moves(view: &OfferView<'_>, schedule: &Alternative) -> bool {
    if schedule.start == view.start_default() {
        return schedule.energies != view.default;
    }
    worth::deviation(view, usize::from(schedule.start), &schedule.energies).1.iter().any(|&x| x != 0)
}
