//! Bytes → objects: frames that c104 2.2 and others sent, each type by hand, and bytes that are nothing.

use crate::iec104::apci::{Control, Frame, Split, split};
use crate::iec104::asdu::{Asdu, AsduError, Flags, Object, Value, activation};
use crate::iec104::config::Timers;
use crate::iec104::cp;
use crate::iec104::kind::Kind;
use crate::iec104::point::{Point, Taken};
use crate::iec104::session::{Brought, Session};
use crate::iec104::tag::Address;
use crate::point_map;
use proptest::prelude::*;

fn unhex(text: &str) -> Vec<u8> {
    let text: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    text.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The ASDU of a whole I frame.
fn carried(bytes: &[u8]) -> &[u8] {
    match split(bytes) {
        Ok(Split::Frame(Frame::I { asdu, .. }, length)) if length == bytes.len() => asdu,
        other => panic!("{other:?}"),
    }
}

/// The objects of a frame.
fn objects(hex: &str) -> Vec<Object> {
    let bytes = unhex(hex);
    Asdu::read(carried(&bytes)).unwrap().objects().unwrap().unwrap()
}

fn object(ca: u16, ioa: u32, value: Value) -> Object {
    Object { address: Address { ca, ioa }, value, flags: Flags::default(), time: None }
}

#[test]
fn what_c104_answered_to_an_interrogation_is_read() {
    let time = |shown: &str| {
        let shown = shown.parse::<grid::Timestamp>().unwrap().nanos();
        Some(cp::Tag::Date { shown, is_summer: false })
    };
    assert_eq!(objects("680e02000200 018114000100 a40f00 01"), [object(1, 4004, Value::Single(true))]);
    assert_eq!(
        objects("681204000200 0d8114000100 a10f00 0080664300"),
        [object(1, 4001, Value::Float(230.5))]
    );
    let told = Object { time: time("2026-11-27T16:06:59.925Z"), ..object(1, 4002, Value::Float(2.75)) };
    assert_eq!(objects("681906000200 248114000100 a20f00 0000304000 15ea06101b0b1a"), [told]);
    let counted = Value::Counter { count: 65_530, adjusted: false };
    assert_eq!(objects("68120c000400 0f8125000100 a30f00 faff000000"), [object(1, 4003, counted)]);
    // Spontaneous, invalid and not topical.
    let flags = Flags { invalid: true, not_topical: true, ..Flags::default() };
    let told = Object { flags, time: time("2026-11-27T16:06:54.777Z"), ..object(1, 4002, Value::Float(1.5)) };
    assert_eq!(objects("681914000600 240103000100 a20f00 0000c03fc0 f9d506101b0b1a"), [told]);
}

#[test]
fn a_negative_confirmation_and_an_unknown_address_are_read() {
    let bytes = unhex("680e10000600 640147000900 000000 14");
    let asdu = Asdu::read(carried(&bytes)).unwrap();
    assert_eq!((asdu.kind, asdu.ca, asdu.cause.number, asdu.cause.negative), (Kind::C_IC_NA_1, 9, 7, true));
    let bytes = unhex("680e12000600 64012e000900 000000 14");
    let asdu = Asdu::read(carried(&bytes)).unwrap();
    assert_eq!(asdu.cause.refusal(), "it does not know this common address");
}

#[test]
fn seven_scaled_values_of_a_station_in_the_field_are_read() {
    // Published as a capture in the tests of the crate iec104.
    let hex = "68345A147C00 0B0703000C00 103000BE0900 113000900900 0E3000750000 283000250900 293000750000 0F30000F0A00 2E3000AE0500";
    let read: Vec<_> = objects(hex).iter().map(|object| (object.address.ioa, object.value)).collect();
    let expected = [
        (12304, 2494),
        (12305, 2448),
        (12302, 117),
        (12328, 2341),
        (12329, 117),
        (12303, 2575),
        (12334, 1454),
    ];
    assert_eq!(read, expected.map(|(ioa, value)| (ioa, Value::Scaled(value))));
}

#[test]
fn a_sequence_counts_addresses_on_from_its_first() {
    // Three single points from 100 on: off, on blocked, on invalid.
    let bytes = unhex("01 83 14 00 0200 640000 00 11 81");
    let read = Asdu::read(&bytes).unwrap().objects().unwrap().unwrap();
    let with = |ioa, on, flags| Object { flags, ..object(2, ioa, Value::Single(on)) };
    let blocked = Flags { blocked: true, ..Flags::default() };
    let invalid = Flags { invalid: true, ..Flags::default() };
    assert_eq!(
        read,
        [with(100, false, Flags::default()), with(101, true, blocked), with(102, true, invalid)]
    );
}

#[test]
fn each_type_that_is_taken_is_read_with_its_sizes() {
    let minute = Some(cp::Tag::InHour(61_000_000_000));
    let day = "2026-01-15T12:30:01Z".parse::<grid::Timestamp>().unwrap().nanos();
    let date = Some(cp::Tag::Date { shown: day, is_summer: true });
    let counted = Value::Counter { count: 0xffff_fffe, adjusted: true };
    for (kinds, value, hex) in [
        ([1, 2, 30], Value::Single(true), "01"),
        ([3, 4, 31], Value::Double(Some(false)), "01"),
        ([3, 4, 31], Value::Double(Some(true)), "02"),
        ([3, 4, 31], Value::Double(None), "03"),
        ([3, 4, 31], Value::Double(None), "00"),
        ([9, 10, 34], Value::Normalised(-1.0), "0080 00"),
        ([9, 10, 34], Value::Normalised(0.5), "0040 00"),
        ([11, 12, 35], Value::Scaled(-2), "feff 00"),
        ([13, 14, 36], Value::Float(-2.5), "000020c0 00"),
        ([15, 16, 37], counted, "feffffff 63"),
    ] {
        for (kind, time, tag) in
            [(kinds[0], None, ""), (kinds[1], minute, "e803 01"), (kinds[2], date, "e803 1e 8c 0f 01 1a")]
        {
            let bytes = unhex(&format!("{kind:02x} 01 03 00 0100 a10f00 {hex} {tag}"));
            let read = Asdu::read(&bytes).unwrap().objects().unwrap().unwrap();
            assert_eq!(read, [Object { time, ..object(1, 4001, value) }], "type {kind}");
        }
    }
    let bytes = unhex("15 01 03 00 0100 a10f00 0040");
    assert_eq!(
        Asdu::read(&bytes).unwrap().objects().unwrap().unwrap(),
        [object(1, 4001, Value::Normalised(0.5))]
    );
}

#[test]
fn each_bit_of_quality_is_its_own() {
    let read = |octet: &str| objects(&format!("6812 0000 0000 0d0103000100 a10f00 00000000{octet}"))[0].flags;
    let none = Flags::default();
    assert_eq!(read("01"), Flags { overflow: true, ..none });
    assert_eq!(read("10"), Flags { blocked: true, ..none });
    assert_eq!(read("20"), Flags { substituted: true, ..none });
    assert_eq!(read("40"), Flags { not_topical: true, ..none });
    assert_eq!(read("80"), Flags { invalid: true, ..none });
}

#[test]
fn a_length_that_does_not_fit_is_named_and_a_type_that_is_not_taken_has_no_objects() {
    let bytes = unhex("0d 02 03 00 0100 a10f00 0000000000");
    let error = Asdu::read(&bytes).unwrap().objects().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "M_ME_NC_1 with 2 objects has 8 bytes of them instead of 16");
    assert_eq!(Asdu::read(&bytes[..5]), Err(AsduError::Header(5)));
    let bytes = unhex("07 01 03 00 0100 a10f00 0000000000");
    let asdu = Asdu::read(&bytes).unwrap();
    assert!(asdu.objects().is_none());
    assert_eq!((asdu.kind.name(), Kind(199).name()), ("M_BO_NA_1".to_owned(), "type 199".to_owned()));
}

#[test]
fn an_interrogation_is_written_as_the_standard_has_it() {
    assert_eq!(activation(Kind::C_IC_NA_1, 3, 0x0102, &[20]), unhex("64 01 06 03 0201 000000 14"));
}

proptest! {
    #[test]
    fn any_bytes_are_answered_with_at_most_127_objects(mut bytes in proptest::collection::vec(any::<u8>(), 0..260), kind in 0..40_u8, exact in any::<bool>()) {
        if exact && bytes.len() >= 6 {
            // Near what is right, so that much of it is: a known type, and a count that nearly fits.
            bytes[0] = kind;
            if let Some((content, tagged)) = Kind(kind).layout() {
                let size = content.octets() + tagged.octets();
                bytes[1] = if bytes[1] & 0x80 != 0 { 0x80 | (bytes.len().saturating_sub(9) / size) as u8 } else { ((bytes.len() - 6) / (3 + size)) as u8 };
            }
        }
        if let Ok(asdu) = Asdu::read(&bytes) && let Some(Ok(objects)) = asdu.objects() {
            prop_assert!(objects.len() == asdu.count && objects.len() <= 127);
            prop_assert!(objects.capacity() <= 256);
        }
    }

    #[test]
    fn a_stream_of_anything_goes_through_all_of_it_and_only_what_is_valid_comes_out_as_measured(
        frames in proptest::collection::vec((any::<bool>(), 0..40_u8, proptest::collection::vec(any::<u8>(), 0..60)), 1..40)
    ) {
        let now = tokio::time::Instant::now();
        let mut session = Session::start(Timers::default(), now);
        session.take(Frame::U(Control::StartCon), now).unwrap();
        let text = "tag,element,quantity,unit\nca=1 ioa=7,branch.21,p,kW\n";
        let row = point_map::read(text.as_bytes()).unwrap().rows[0].clone();
        let mut point = Point::new((row.tag.parse().unwrap(), row));
        let at = grid::Timestamp::from_seconds(1_768_500_000);
        let (mut stream, mut number) = (Vec::new(), 0);
        for (is_noise, kind, bytes) in &frames {
            match Kind(*kind).layout() {
                _ if *is_noise && bytes.len() > 40 => stream.extend(bytes),
                Some((content, tagged)) if bytes.len() >= content.octets() + tagged.octets() => {
                    let asdu = [&[*kind, 1, 3, 0, 1, 0, 7, 0, 0], &bytes[..content.octets() + tagged.octets()]].concat();
                    Frame::I { send: number, receive: 0, asdu: &asdu }.write(&mut stream);
                    number += 1;
                }
                _ => {}
            }
        }
        let mut rest = &stream[..];
        while let Ok(Split::Frame(frame, length)) = split(rest) {
            prop_assert!(length <= rest.len());
            rest = &rest[length..];
            let Ok(Brought::Data(bytes)) = session.take(frame, now) else { continue };
            let Some(Ok(objects)) = Asdu::read(bytes).ok().and_then(|asdu| asdu.objects()) else { continue };
            for object in objects {
                if let Ok(Taken::News(told)) = point.take(&object, false, at, 0) {
                    let is_good = !(object.flags.invalid || object.flags.not_topical || object.flags.blocked);
                    prop_assert!(told.value.is_finite());
                    prop_assert!(told.quality == grid::Quality::Missing || is_good);
                }
            }
        }
        prop_assert!(session.out.len() <= 6 * (frames.len() + 1));
    }

    #[test]
    fn what_is_written_is_read_back(values in proptest::collection::vec((1..0xff_ffff_u32, any::<f32>(), any::<u8>()), 1..30), ca in 1..65_535_u16) {
        let mut bytes = vec![13, values.len() as u8, 3, 0];
        bytes.extend(ca.to_le_bytes());
        for (ioa, value, octet) in &values {
            bytes.extend(&ioa.to_le_bytes()[..3]);
            bytes.extend(value.to_le_bytes());
            bytes.push(*octet);
        }
        let read = Asdu::read(&bytes).unwrap().objects().unwrap().unwrap();
        prop_assert_eq!(read.len(), values.len());
        for (object, (ioa, value, octet)) in read.iter().zip(&values) {
            prop_assert_eq!(object.address, Address { ca, ioa: *ioa });
            prop_assert!(matches!(object.value, Value::Float(read) if read.to_bits() == value.to_bits()));
            prop_assert_eq!((object.flags.invalid, object.flags.overflow), (octet & 0x80 != 0, octet & 1 != 0));
        }
    }
}
