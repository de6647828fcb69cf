//! The dual: prices of the limits, and the bound that they prove.
//!
//! For any prices μ between 0 and the penalties, no clearing is worth more than
//! Σ p·a + Σ μ·head-room + Σ over offers of what each gains at most at μ. `Dual::value` evaluates that; `improve`
//! lowers it by the volume algorithm: the answers are averaged, and the prices follow the averaged use.

use super::arrays::Arrays;
use super::respond::{Deviation, Scratch};
use super::state::spread;

/// Prices of the limits and what they prove.
#[derive(Debug, Clone)]
pub(super) struct Dual {
    /// Price per limit and interval, micro-units per kWh.
    pub price: Vec<f64>,
    /// The bound at these prices.
    pub bound: f64,
    node_price: Vec<f64>,
    at_node: Vec<f64>,
    flow: Vec<f64>,
    deviation: Deviation,
}

impl Dual {
    pub fn new(arrays: &Arrays, price: Vec<f64>) -> Self {
        let size = arrays.limits * arrays.t;
        Self {
            price,
            bound: f64::INFINITY,
            node_price: vec![0.0; arrays.t],
            at_node: vec![0.0; arrays.t],
            flow: vec![0.0; size],
            deviation: Deviation::default(),
        }
    }

    /// The bound at `price`, and the use of the limits by the answers in `self.flow`.
    pub fn value(&mut self, arrays: &Arrays, price: &[f64], scratch: &mut Scratch) -> f64 {
        let mut sum = arrays.constant;
        for (p, h) in price.iter().zip(&arrays.headroom) {
            sum += p * h;
        }
        self.flow.iter_mut().for_each(|f| *f = 0.0);
        for node in 0..arrays.nodes {
            let offers = arrays.offers_of(node);
            if offers.is_empty() {
                continue;
            }
            node_price(arrays, price, node, &mut self.node_price);
            self.at_node.iter_mut().for_each(|x| *x = 0.0);
            for &index in offers {
                let offer = &arrays.offers[index as usize];
                let answer = arrays.respond::<false>(offer, &self.node_price, &[], scratch);
                sum -= answer.cost;
                if answer.active {
                    arrays.deviation(offer, &answer, &scratch.energies, &mut self.deviation);
                    let to = &mut self.at_node[self.deviation.at..];
                    self.deviation.values.iter().zip(to).for_each(|(x, to)| *to += x);
                }
            }
            spread(arrays, &mut self.flow, node, &self.at_node);
        }
        sum
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
