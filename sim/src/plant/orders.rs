//! The schedules a device has accepted, and what they ask of the present minute.

use grid::{Slot, Timestamp};
use market::Activation;

/// One accepted schedule.
#[derive(Debug, Clone)]
struct Order {
    /// First slot in which the default no longer runs.
    from: Slot,
    /// First slot with a planned energy.
    start: Slot,
    /// Energy per slot from `start` on, Wh.
    energies_wh: Vec<f64>,
}

impl Order {
    fn end(&self) -> Slot {
        self.start.plus(self.energies_wh.len() as i64)
    }
}

/// All schedules of one device; the newest that covers a slot rules it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    orders: Vec<Order>,
}

impl Orders {
    pub(crate) fn accept(&mut self, activation: &Activation) {
        let schedule = &activation.schedule;
        self.orders.push(Order {
            from: activation.replaces_from.min(schedule.start),
            start: schedule.start,
            energies_wh: schedule.energies.iter().map(|energy| energy.watt_hours()).collect(),
        });
    }

    /// Energy planned for a slot, Wh; `None` when the default runs.
    pub(crate) fn target_wh(&self, slot: Slot) -> Option<f64> {
        let order = self.orders.iter().rev().find(|order| (order.from..order.end()).contains(&slot))?;
        let position = usize::try_from(slot.0 - order.start.0);
        Some(position.ok().and_then(|at| order.energies_wh.get(at).copied()).unwrap_or(0.0))
    }

    /// Forgets what lies before `slot`.
    pub(crate) fn forget_before(&mut self, slot: Slot) {
        self.orders.retain(|order| order.end() > slot);
    }

    /// Forgets everything: the vehicle has left.
    pub(crate) fn clear(&mut self) {
        self.orders.clear();
    }
}

/// The power that brings the slot's energy to its target, held for the rest of the slot, W.
pub(crate) fn power_for_target_w(target_wh: f64, taken_wh: f64, minute_begin: Timestamp) -> f64 {
    let rest = minute_begin.slot().end().since(minute_begin).as_secs_f64() / 3600.0;
    if rest > 0.0 { (target_wh - taken_wh) / rest } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{ActivationId, ContractId, FlexOfferId, Schedule};

    fn activation(from: i64, start: i64, energies: &[i64]) -> Activation {
        Activation {
            id: ActivationId::new("a").unwrap(),
            device: grid::DeviceId(1),
            offer: FlexOfferId::new("o").unwrap(),
            contract: ContractId::new("c").unwrap(),
            schedule: Schedule {
                start: Slot(start),
                energies: energies.iter().map(|&e| grid::EnergyMwh(e)).collect(),
            },
            replaces_from: Slot(from),
        }
    }

    #[test]
    fn the_default_stops_where_the_order_says_and_the_newest_order_rules() {
        let mut orders = Orders::default();
        orders.accept(&activation(10, 12, &[1000, 2000]));
        let seen: Vec<_> = (9..15).map(|slot| orders.target_wh(Slot(slot))).collect();
        assert_eq!(seen, [None, Some(0.0), Some(0.0), Some(1.0), Some(2.0), None]);
        orders.accept(&activation(13, 13, &[7000]));
        assert_eq!(orders.target_wh(Slot(13)), Some(7.0));
        assert_eq!(orders.target_wh(Slot(12)), Some(1.0));
        orders.forget_before(Slot(14));
        assert_eq!(orders.target_wh(Slot(12)), None);
    }

    #[test]
    fn what_a_late_start_missed_is_taken_in_the_rest_of_the_slot() {
        let begin = Slot(100).start().plus(std::time::Duration::from_secs(600));
        assert!((power_for_target_w(500.0, 100.0, begin) - 400.0 * 12.0).abs() < 1e-9);
    }
}
