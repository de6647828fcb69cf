//! Registers → numbers, a pure function.

use super::tag::{Format, Order};

/// What registers say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number without sign: a value, or the reading of a counter.
    Unsigned(u64),
    /// A whole number.
    Signed(i64),
    /// Finite.
    Float(f64),
}

impl Number {
    /// As a physical number; whole ones beyond 2⁵³ are rounded.
    pub fn value(self) -> f64 {
        match self {
            Number::Unsigned(number) => number as f64,
            Number::Signed(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

/// Reads a number. `None` when there are not exactly as many registers as the format has, and for NaN and infinities, by which
/// meters say that they do not know.
pub fn decode(format: Format, order: Order, registers: &[u16]) -> Option<Number> {
    if registers.len() != usize::from(format.registers()) {
        return None;
    }
    let one = |bits: u64, register: u16| {
        let register = if order.bytes_swapped { register.swap_bytes() } else { register };
        bits << 16 | u64::from(register)
    };
    let registers = registers.iter().copied();
    let bits = if order.registers_swapped { registers.rev().fold(0, one) } else { registers.fold(0, one) };
    let number = match format {
        Format::Unsigned(_) => Number::Unsigned(bits),
        // Moved to the top and back, the sign comes along.
        Format::Signed(width) => Number::Signed((bits << (64 - width)) as i64 >> (64 - width)),
        Format::Float(32) => Number::Float(f64::from(f32::from_bits(bits as u32))),
        Format::Float(_) => Number::Float(f64::from_bits(bits)),
    };
    number.value().is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORDERS: [Order; 4] = [
        Order { registers_swapped: false, bytes_swapped: false },
        Order { registers_swapped: true, bytes_swapped: false },
        Order { registers_swapped: false, bytes_swapped: true },
        Order { registers_swapped: true, bytes_swapped: true },
    ];

    /// Registers as a meter with that order would hold them: bytes named by the letters of its order.
    fn held(bytes: &[u8], order: Order) -> Vec<u16> {
        let mut registers: Vec<u16> =
            bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        if order.registers_swapped {
            registers.reverse();
        }
        if order.bytes_swapped {
            registers.iter_mut().for_each(|register| *register = register.swap_bytes());
        }
        registers
    }

    #[test]
    fn the_four_orders_are_those_of_the_letters() {
        let [abcd, cdab, badc, dcba] = ORDERS.map(|order| held(&[0xa, 0xb, 0xc, 0xd], order));
        assert_eq!((abcd, cdab), (vec![0x0a0b, 0x0c0d], vec![0x0c0d, 0x0a0b]));
        assert_eq!((badc, dcba), (vec![0x0b0a, 0x0d0c], vec![0x0d0c, 0x0b0a]));
    }

    #[test]
    fn numbers_of_every_format_are_read() {
        let plain = ORDERS[0];
        for (format, registers, expected) in [
            (Format::Unsigned(16), &[0xffff][..], Number::Unsigned(65_535)),
            (Format::Signed(16), &[0xffff], Number::Signed(-1)),
            (Format::Signed(32), &[0x8000, 0], Number::Signed(-2_147_483_648)),
            (Format::Unsigned(32), &[0x8000, 0], Number::Unsigned(2_147_483_648)),
            (Format::Unsigned(64), &[0xffff, 0xffff, 0xffff, 0xffff], Number::Unsigned(u64::MAX)),
            (Format::Signed(64), &[0xffff, 0xffff, 0xffff, 0xfffe], Number::Signed(-2)),
            (Format::Float(32), &[0x4366, 0x8000], Number::Float(230.5)),
            (Format::Float(64), &[0x406c, 0xd000, 0, 0], Number::Float(230.5)),
        ] {
            assert_eq!(decode(format, plain, registers), Some(expected), "{format:?}");
        }
    }

    #[test]
    fn what_is_not_finite_or_not_whole_is_no_number() {
        let plain = ORDERS[0];
        for registers in [[0x7fc0, 0], [0x7f80, 0], [0xff80, 0]] {
            assert_eq!(decode(Format::Float(32), plain, &registers), None);
        }
        assert_eq!(decode(Format::Float(32), plain, &[0x4366]), None);
        assert_eq!(decode(Format::Unsigned(16), plain, &[]), None);
    }

    proptest! {
        #[test]
        fn what_a_meter_holds_is_read_back(number in any::<i64>(), float in any::<f64>(), at in 0..4_usize) {
            let order = ORDERS[at];
            let read = |format, bytes: &[u8]| decode(format, order, &held(bytes, order));
            prop_assert_eq!(read(Format::Signed(64), &number.to_be_bytes()), Some(Number::Signed(number)));
            prop_assert_eq!(read(Format::Signed(32), &(number as i32).to_be_bytes()), Some(Number::Signed((number as i32).into())));
            prop_assert_eq!(read(Format::Unsigned(16), &(number as u16).to_be_bytes()), Some(Number::Unsigned((number as u16).into())));
            let expected = float.is_finite().then_some(Number::Float(float));
            prop_assert_eq!(read(Format::Float(64), &float.to_be_bytes()), expected);
        }
    }
}
