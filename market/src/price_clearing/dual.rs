//! The dual: prices of the limits, and the bound that they prove.
//!
//! For any prices μ between 0 and the penalties, no clearing is worth more than
//! Σ p·a + Σ μ·head-room + Σ over offers of what each gains at most at μ. `Dual::value` evaluates that; `improve`
//! lowers it by the volume algorithm: the answers are averaged, and the prices follow the averaged use.

use super::arrays::Arrays;
use super::respond::Scratch;

/// Prices of the limits and what they prove.
#[derive(Debug, Clone)]
pub(super) struct Dual {
    /// Price per limit and interval, micro-units per kWh.
    pub price: Vec<f64>,
    /// The bound at these prices.
    pub bound: f64,
    node_price: Vec<f64>,
    /// What the best answer of each exclusive group costs.
    of_groups: Vec<f64>,
}

impl Dual {
    pub fn new(arrays: &Arrays, price: Vec<f64>) -> Self {
        Self { price, bound: f64::INFINITY, node_price: vec![0.0; arrays.t], of_groups: Vec::new() }
    }

    /// The bound at `price`.
    pub fn value(&mut self, arrays: &Arrays, price: &[f64], scratch: &mut Scratch) -> f64 {
        let mut sum = arrays.constant;
        for (p, h) in price.iter().zip(&arrays.headroom) {
            sum += p * h;
        }
        self.of_groups.clear();
        self.of_groups.resize(arrays.groups.len(), 0.0);
        for node in 0..arrays.nodes {
            let offers = arrays.offers_of(node);
            if offers.is_empty() {
                continue;
            }
            node_price(arrays, price, node, &mut self.node_price);
            for &index in offers {
                let offer = &arrays.offers[index as usize];
                let answer = arrays.respond::<false>(offer, &self.node_price, &[], scratch);
                match self.of_groups.get_mut(offer.group as usize) {
                    Some(least) => *least = least.min(answer.cost),
                    None => sum -= answer.cost,
                }
            }
        }
        sum - self.of_groups.iter().sum::<f64>()
    }

    /// Tries prices; keeps them when they prove more.
    pub fn offer(&mut self, arrays: &Arrays, price: &[f64], scratch: &mut Scratch) -> f64 {
        let value = self.value(arrays, price, scratch);
        if value < self.bound {
            self.bound = value;
            self.price.copy_from_slice(price);
        }
        value
    }
}

/// Σ factor × price over the limits of a node.
pub(super) fn node_price(arrays: &Arrays, price: &[f64], node: usize, out: &mut [f64]) {
    out.iter_mut().for_each(|p| *p = 0.0);
    for &(limit, factor) in arrays.limits_of(node) {
        let row = &price[limit as usize * arrays.t..][..arrays.t];
        for (to, p) in out.iter_mut().zip(row) {
            *to += factor * p;
        }
    }
}
