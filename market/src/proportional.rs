//! Sharing a whole amount among ranges at one common fraction, exactly.
//!
//! Each share is the difference of two rounded running sums, so the shares add up to the amount and each lies
//! within 1 of its exact value and inside its range.

/// Shares of `amount` among `widths` (each at least 0), in their order. The caller has checked that the amount is
/// between 0 and the sum of the widths.
pub(crate) struct Shares {
    amount: u128,
    room: u128,
    narrow: bool,
    width_sum: u128,
    given: i64,
}

impl Shares {
    /// `room` is the sum of all widths that will be asked for.
    pub(crate) fn new(amount: i64, room: i64) -> Self {
        let (amount, room) = (amount.max(0).unsigned_abs(), room.max(1).unsigned_abs());
        let narrow = amount < 1 << 32 && room < 1 << 32;
        Self { amount: amount.into(), room: room.into(), narrow, width_sum: 0, given: 0 }
    }

    /// The share of a range by itself, rounded down: such shares do not add up.
    pub(crate) fn by_itself(&self, width: i64) -> i64 {
        let share = u128::from(width.unsigned_abs()) * self.amount / self.room;
        i64::try_from(share).unwrap_or(i64::MAX)
    }

    /// The share of the next range.
    pub(crate) fn next(&mut self, width: i64) -> i64 {
        self.width_sum += u128::from(width.unsigned_abs());
        let due = match self.narrow {
            // Products of two numbers below 2³² need no wide division.
            true => u128::from(self.width_sum as u64 * self.amount as u64 / self.room as u64),
            false => self.width_sum * self.amount / self.room,
        };
        let due = i64::try_from(due).unwrap_or(i64::MAX);
        let share = due - self.given;
        self.given = due;
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_add_up_and_keep_to_their_ranges(
            widths in proptest::collection::vec(prop_oneof![0_i64..4, 0_i64..1_000_000_000_000_000], 1..40),
            fraction in 0.0_f64..=1.0,
        ) {
            let room: i64 = widths.iter().sum();
            let amount = ((room as f64 * fraction) as i64).clamp(0, room);
            let mut shares = Shares::new(amount, room);
            let mut sum = 0;
            for &width in &widths {
                let share = shares.next(width);
                prop_assert!((0..=width).contains(&share));
                let exact = width as f64 * (amount as f64 / room.max(1) as f64);
                prop_assert!((share as f64 - exact).abs() <= 1.0 + exact * 1e-9);
                sum += share;
            }
            prop_assert_eq!(sum, amount);
        }
    }
}
