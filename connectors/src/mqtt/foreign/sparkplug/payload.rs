//! Payloads of Sparkplug B (Eclipse Sparkplug 3.0, `sparkplug_b.proto`): bytes → metrics, and the one command that is sent.

use super::protobuf::{Field, Fields, Malformed, put_short, put_varint};
use grid::Timestamp;

/// What people ask a node to be born again with.
const REBIRTH: &str = "Node Control/Rebirth";
/// The number of a birth, which its death repeats.
const BIRTH_NUMBER: &str = "bdSeq";
/// A property that says how good a value is.
const QUALITY: &str = "Quality";
const QUALITY_GOOD: u64 = 192;

/// Numbers of data types.
const INT8: u64 = 1;
const INT64: u64 = 4;
const UINT8: u64 = 5;
const UINT64: u64 = 8;
const BOOLEAN: u64 = 11;

/// One message.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Payload<'a> {
    /// When it was sent, ms since 1970.
    pub time: Option<u64>,
    /// Its number among those of its node, 0 to 255.
    pub number: u64,
    /// In the order in which they stand.
    pub metrics: Vec<Metric<'a>>,
}

/// One value, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Metric<'a> {
    /// A birth has it, data may leave it out.
    pub name: Option<&'a str>,
    /// Stands for the name.
    pub alias: Option<u64>,
    /// When it was measured, ms since 1970.
    pub time: Option<u64>,
    /// How it is to be understood; a birth says it, data may leave it out.
    pub kind: Option<u64>,
    /// It was kept while the connection was away; it says nothing of now.
    pub is_historical: bool,
    is_null: bool,
    is_bad: bool,
    value: Option<Raw<'a>>,
}

/// A value as it is packed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Raw<'a> {
    Whole(u64),
    Float(f64),
    Truth(bool),
    Text(&'a str),
    /// Bytes, tables, templates.
    Other,
}

/// What a metric says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Said {
    /// A number, finite.
    Number(f64),
    /// That it has none, or none that is good.
    Nothing,
    /// Something that is no number.
    NoNumber,
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

impl<'a> Payload<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut payload = Payload::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Varint(time)) => payload.time = Some(time),
                (2, Field::Bytes(metric)) => payload.metrics.push(Metric::read(metric)?),
                (3, Field::Varint(number)) => payload.number = number,
                (1..=3, _) => return Err(Malformed),
                // Names of forms and bodies, which carry no metrics.
                _ => {}
            }
        }
        Ok(payload)
    }

    /// Which birth it is, or the death of which.
    pub fn birth_number(&self) -> Option<u64> {
        let is_it = |metric: &&Metric| metric.name == Some(BIRTH_NUMBER);
        match self.metrics.iter().find(is_it)?.value {
            Some(Raw::Whole(number)) => Some(number),
            _ => None,
        }
    }
}

impl<'a> Metric<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut metric = Metric::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(name)) => metric.name = Some(text(name)?),
                (2, Field::Varint(alias)) => metric.alias = Some(alias),
                (3, Field::Varint(time)) => metric.time = Some(time),
                (4, Field::Varint(kind)) => metric.kind = Some(kind),
                (5, Field::Varint(is)) => metric.is_historical = is != 0,
                (7, Field::Varint(is)) => metric.is_null = is != 0,
                (9, Field::Bytes(properties)) => metric.is_bad = is_bad(properties)?,
                (10 | 11, Field::Varint(number)) => metric.value = Some(Raw::Whole(number)),
                (12, Field::Four(bytes)) => {
                    metric.value = Some(Raw::Float(f64::from(f32::from_le_bytes(bytes))));
                }
                (13, Field::Eight(bytes)) => metric.value = Some(Raw::Float(f64::from_le_bytes(bytes))),
                (14, Field::Varint(is)) => metric.value = Some(Raw::Truth(is != 0)),
                (15, Field::Bytes(bytes)) => metric.value = Some(Raw::Text(text(bytes)?)),
                (16..=19, Field::Bytes(_)) => metric.value = Some(Raw::Other),
                (1..=5 | 7 | 9..=19, _) => return Err(Malformed),
                _ => {}
            }
        }
        Ok(metric)
    }

    /// What it says, as a value of this kind unless it names its own.
    pub fn said(&self, kind: Option<u64>) -> Said {
        let Some(value) = self.value.filter(|_| !self.is_null && !self.is_bad) else { return Said::Nothing };
        let number = match value {
            Raw::Whole(bits) => whole(bits, self.kind.or(kind)),
            Raw::Float(number) => Some(number),
            Raw::Truth(is) => Some(f64::from(u8::from(is))),
            Raw::Text(text) => text.trim().parse().ok(),
            Raw::Other => None,
        };
        match number {
            Some(number) if number.is_finite() => Said::Number(number),
            // By which meters say that they do not know.
            Some(_) => Said::Nothing,
            None => Said::NoNumber,
        }
    }
}

/// A whole number of a data type: the first four have a sign, in two's complement.
fn whole(bits: u64, kind: Option<u64>) -> Option<f64> {
    match kind? {
        kind @ INT8..=INT64 => {
            let unused = 64 - (8 << (kind - INT8));
            Some(((bits << unused) as i64 >> unused) as f64)
        }
        UINT8..=UINT64 => Some(bits as f64),
        BOOLEAN => Some(f64::from(u8::from(bits != 0))),
        _ => None,
    }
}

/// Whether properties say that a value is not good.
fn is_bad(properties: &[u8]) -> Result<bool, Malformed> {
    let (mut quality, mut keys, mut values) = (None, 0, 0);
    for field in Fields(properties) {
        match field? {
            (1, Field::Bytes(key)) => {
                if text(key)? == QUALITY {
                    quality = Some(keys);
                }
                keys += 1;
            }
            (2, Field::Bytes(_)) => values += 1,
            (1 | 2, _) => return Err(Malformed),
            _ => {}
        }
    }
    let Some(place) = quality else { return Ok(false) };
    if keys != values {
        return Err(Malformed);
    }
    let values = Fields(properties).filter_map(|field| match field {
        Ok((2, Field::Bytes(value))) => Some(value),
        _ => None,
    });
    let value = values.into_iter().nth(place).ok_or(Malformed)?;
    let mut good = false;
    for field in Fields(value) {
        if let (3 | 4, Field::Varint(code)) = field? {
            good = code == QUALITY_GOOD;
        }
    }
    Ok(!good)
}

/// The command by which a node is asked to say again all that it has.
pub(super) fn rebirth(now: Timestamp) -> Vec<u8> {
    let time = (now.since(Timestamp::from_seconds(0)).as_millis()).min(u128::from(u64::MAX)) as u64;
    let mut metric = Vec::new();
    put_short(&mut metric, 1, REBIRTH.as_bytes());
    put_varint(&mut metric, 3, time);
    put_varint(&mut metric, 4, BOOLEAN);
    put_varint(&mut metric, 14, 1);
    let mut payload = Vec::new();
    put_varint(&mut payload, 1, time);
    put_short(&mut payload, 2, &metric);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(fields: &[(u32, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        fields.iter().for_each(|(number, value)| put_varint(&mut bytes, *number, *value));
        bytes
    }

    fn said(bytes: &[u8]) -> Said {
        Metric::read(bytes).unwrap().said(None)
    }

    #[test]
    fn whole_numbers_have_the_sign_of_their_data_type() {
        for (kind, bits, number) in [
            (1, 0xff, -1.0),
            (1, 0xffff_ffff, -1.0),
            (2, 0xffff, -1.0),
            (3, 0xffff_fffe, -2.0),
            (4, u64::MAX - 2, -3.0),
            (5, 0xff, 255.0),
            (7, 0xffff_ffff, 4_294_967_295.0),
            (8, 1 << 60, (1_u64 << 60) as f64),
            (11, 1, 1.0),
        ] {
            assert_eq!(said(&metric(&[(4, kind), (11, bits)])), Said::Number(number), "{kind} {bits}");
        }
        assert_eq!(said(&metric(&[(4, 13), (11, 7)])), Said::NoNumber, "an instant is no value");
        assert_eq!(said(&metric(&[(11, 7)])), Said::NoNumber, "nobody says what it is");
        assert_eq!(Metric::read(&metric(&[(11, 7)])).unwrap().said(Some(8)), Said::Number(7.0));
    }

    #[test]
    fn null_not_a_number_and_bad_quality_are_nothing() {
        assert_eq!(said(&metric(&[(4, 7), (7, 1)])), Said::Nothing);
        assert_eq!(said(&metric(&[(4, 7)])), Said::Nothing);
        let float = |number: f32| [&[12 << 3 | 5][..], &number.to_le_bytes()].concat();
        assert_eq!(said(&float(230.5)), Said::Number(230.5));
        assert_eq!(said(&float(f32::NAN)), Said::Nothing);
        let with = |code| {
            let (mut properties, mut bytes) = (Vec::new(), float(230.5));
            let value = metric(&[(1, 3), (3, code)]);
            put_short(&mut properties, 1, b"unit");
            put_short(&mut properties, 1, QUALITY.as_bytes());
            put_short(&mut properties, 2, &metric(&[(1, 3), (3, 7)]));
            put_short(&mut properties, 2, &value);
            put_short(&mut bytes, 9, &properties);
            bytes
        };
        assert_eq!(said(&with(192)), Said::Number(230.5));
        assert_eq!((said(&with(500)), said(&with(0))), (Said::Nothing, Said::Nothing));
    }

    #[test]
    fn a_command_is_a_payload() {
        let at = Timestamp::from_seconds(1_768_500_000);
        let bytes = rebirth(at);
        let payload = Payload::read(&bytes).unwrap();
        assert_eq!((payload.time, payload.metrics.len()), (Some(1_768_500_000_000), 1));
        let [metric] = payload.metrics[..] else { panic!("{payload:?}") };
        assert_eq!(
            (metric.name, metric.kind, metric.said(None)),
            (Some(REBIRTH), Some(BOOLEAN), Said::Number(1.0))
        );
    }
}
