//! Protocol Buffers as bytes: fields one after the other, and the few that a command is written with. Lengths are those of the
//! bytes that are there, so nothing is taken that was not sent.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'a> {
    /// A whole number.
    Varint(u64),
    /// Eight bytes.
    Eight([u8; 8]),
    /// Text, bytes, or a message of its own.
    Bytes(&'a [u8]),
    /// Four bytes.
    Four([u8; 4]),
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a message with their numbers, in the order in which they stand; ends after the first that is none.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for at in 0..10 {
            let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (chunk, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*chunk)
    }

    fn field(&mut self) -> Result<(u32, Field<'a>), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0).ok_or(Malformed)?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Eight(self.chunk()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            5 => Field::Four(self.chunk()?),
            // Groups, which nobody writes any more, and what is no kind at all.
            _ => return Err(Malformed),
        };
        Ok((number, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Appends a whole number.
pub(super) fn put_varint(into: &mut Vec<u8>, number: u32, mut value: u64) {
    into.push((number << 3) as u8);
    while value > 0x7f {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Appends text or a message of fewer than 128 bytes.
pub(super) fn put_short(into: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    into.extend([(number << 3) as u8 | 2, bytes.len() as u8]);
    into.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Vec<Result<(u32, Field<'_>), Malformed>> {
        Fields(bytes).collect()
    }

    #[test]
    fn fields_of_each_kind_are_read() {
        // The examples of the published description of the encoding, and a number of eight bytes.
        assert_eq!(read(&[0x08, 0x96, 0x01]), [Ok((1, Field::Varint(150)))]);
        assert_eq!(
            read(&[0x12, 7, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]),
            [Ok((2, Field::Bytes(b"testing")))]
        );
        let bytes = [&[0x19][..], &1.5_f64.to_le_bytes(), &[0x25], &2.5_f32.to_le_bytes()].concat();
        assert_eq!(
            read(&bytes),
            [Ok((3, Field::Eight(1.5_f64.to_le_bytes()))), Ok((4, Field::Four(2.5_f32.to_le_bytes())))]
        );
        let minus_one = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
        assert_eq!(read(&minus_one), [Ok((1, Field::Varint(u64::MAX)))]);
    }

    #[test]
    fn what_is_cut_endless_or_of_no_kind_is_the_end() {
        for bytes in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12, 7, 0x74],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x19, 0, 0],
            &[0x0b, 0x0c],
            &[0x00, 0x00],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(read(bytes), [Err(Malformed)], "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 1..16_u32, value in any::<u64>(), text in "[a-z]{0,100}") {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number, value);
            put_short(&mut bytes, number, text.as_bytes());
            let expected = [Ok((number, Field::Varint(value))), Ok((number, Field::Bytes(text.as_bytes())))];
            prop_assert_eq!(read(&bytes), expected);
        }
    }
}
