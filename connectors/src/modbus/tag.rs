//! How a register is written in a point map: `unit/table/address/format[/order]`, for example `1/holding/3000/f32/cdab`.

use std::str::FromStr;
use thiserror::Error;

/// Which registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Read by function 3.
    Holding,
    /// Read by function 4.
    Input,
}

/// What the registers of a value hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Whole numbers without sign, bits.
    Unsigned(u32),
    /// Whole numbers in two's complement, bits.
    Signed(u32),
    /// IEEE 754, bits.
    Float(u32),
}

impl Format {
    /// Registers of one value.
    pub const fn registers(self) -> u16 {
        let (Format::Unsigned(bits) | Format::Signed(bits) | Format::Float(bits)) = self;
        (bits / 16) as u16
    }
}

/// In which order the bytes of a value come; `a` is the most significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The least significant register comes first.
    pub registers_swapped: bool,
    /// In each register the least significant byte comes first.
    pub bytes_swapped: bool,
}

/// Where a value stands and how it is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// The unit behind the server, 0 to 255; of a meter with its own Ethernet usually 1 or 255.
    pub unit: u8,
    /// Which registers.
    pub table: Table,
    /// The first one, counted from 0 as on the wire.
    pub address: u16,
    /// What they hold.
    pub format: Format,
    /// In which order.
    pub order: Order,
}

/// Why a text names no register.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{reason}; write unit/table/address/format/order, for example 1/holding/3000/f32 or 1/input/0/u32/cdab"
)]
pub struct TagError {
    /// What is wrong and what is possible.
    pub reason: String,
}

impl FromStr for Register {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let wrong = |reason: String| TagError { reason };
        let parts: Vec<&str> = text.split('/').collect();
        let (unit, table, address, format, order) = match parts[..] {
            [unit, table, address, format] => (unit, table, address, format, "abcd"),
            [unit, table, address, format, order] => (unit, table, address, format, order),
            _ => return Err(wrong(format!("{} parts instead of 4 or 5", parts.len()))),
        };
        let unit = unit.parse().map_err(|_| wrong(format!("unit {unit:.20?} is not 0 to 255")))?;
        let table = match table {
            "holding" => Table::Holding,
            "input" => Table::Input,
            _ => return Err(wrong(format!("table {table:.20?} is neither holding nor input"))),
        };
        let address: u16 =
            address.parse().map_err(|_| wrong(format!("address {address:.20?} is not 0 to 65535")))?;
        let format = match format {
            "u16" => Format::Unsigned(16),
            "u32" => Format::Unsigned(32),
            "u64" => Format::Unsigned(64),
            "i16" => Format::Signed(16),
            "i32" => Format::Signed(32),
            "i64" => Format::Signed(64),
            "f32" => Format::Float(32),
            "f64" => Format::Float(64),
            _ => {
                let known = "u16, u32, u64, i16, i32, i64, f32, f64";
                return Err(wrong(format!("format {format:.20?} is none of {known}")));
            }
        };
        let (registers_swapped, bytes_swapped) = match order {
            "abcd" => (false, false),
            "cdab" => (true, false),
            "badc" => (false, true),
            "dcba" => (true, true),
            _ => return Err(wrong(format!("order {order:.20?} is none of abcd, cdab, badc, dcba"))),
        };
        if u32::from(address) + u32::from(format.registers()) > 1 << 16 {
            return Err(wrong(format!("a value at address {address} would end behind 65535")));
        }
        Ok(Self { unit, table, address, format, order: Order { registers_swapped, bytes_swapped } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_read() {
        let register: Register = "17/input/65532/f64/dcba".parse().unwrap();
        assert_eq!((register.unit, register.table, register.address), (17, Table::Input, 65_532));
        assert_eq!((register.format, register.format.registers()), (Format::Float(64), 4));
        assert!(register.order.registers_swapped && register.order.bytes_swapped);
        assert!(!"1/holding/0/i16".parse::<Register>().unwrap().order.registers_swapped);
    }

    #[test]
    fn what_is_no_tag_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "1 parts"),
            ("1/holding/0", "3 parts"),
            ("256/holding/0/u16", "unit"),
            ("1/coil/0/u16", "table"),
            ("1/holding/65536/u16", "address"),
            ("1/holding/-1/u16", "address"),
            ("1/holding/0/int", "format"),
            ("1/holding/0/u16/ab", "order"),
            ("1/holding/65535/u32", "behind 65535"),
            ("1/holding/0/u16/abcd/x", "6 parts"),
        ] {
            let error = text.parse::<Register>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("for example"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[0-9a-z/]{0,40}") {
            let _ = text.parse::<Register>();
        }
    }
}
