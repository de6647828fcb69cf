//! Frames of Modbus RTU, pure functions: a question as bytes, and whether bytes hold the answer to it.
//!
//! The frame on a line has no length and no number; it is known by who asks. So the answer is looked for as what it must be:
//! from this unit, of this function, of this length, with its check sum right. Bytes before it, an echo of the question or what
//! a line picks up when its driver turns round, are passed over.

use super::plan::Request;
use super::tag::Table;
use tokio_modbus::ExceptionCode;

/// Bytes that may stand before an answer.
const BEFORE_MAX: usize = 32;
/// Most bytes of a frame, by the specification.
const FRAME_MAX: usize = 256;
/// Most bytes in which an answer is looked for.
pub(super) const HEARD_MAX: usize = BEFORE_MAX + FRAME_MAX;

/// What bytes hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// The registers that were asked for.
    Registers(Vec<u16>),
    /// The unit says no.
    Refused(ExceptionCode),
    /// No answer yet.
    Nothing,
}

/// CRC-16 with the polynomial of Modbus, as on the wire: the lower byte first.
fn check_sum(bytes: &[u8]) -> [u8; 2] {
    let step = |sum: u16, _| if sum & 1 == 1 { sum >> 1 ^ 0xa001 } else { sum >> 1 };
    let sum = bytes.iter().fold(0xffff_u16, |sum, byte| (0..8).fold(sum ^ u16::from(*byte), step));
    sum.to_le_bytes()
}

fn function(table: Table) -> u8 {
    match table {
        Table::Holding => 3,
        Table::Input => 4,
    }
}

/// A whole frame: the unit, what it is told, and the check sum.
fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = vec![unit];
    bytes.extend_from_slice(pdu);
    bytes.extend(check_sum(&bytes));
    bytes
}

/// A question as bytes.
pub(super) fn question(request: &Request) -> Vec<u8> {
    let ([a, b], [c, d]) = (request.address.to_be_bytes(), request.count.to_be_bytes());
    frame(request.unit, &[function(request.table), a, b, c, d])
}

/// How many bytes an answer has.
pub(super) fn answer_bytes(request: &Request) -> usize {
    5 + 2 * usize::from(request.count)
}

/// Looks for the answer to a question.
pub(super) fn answer(request: &Request, heard: &[u8]) -> Heard {
    let starts = 0..heard.len().min(BEFORE_MAX + 1);
    let found = starts.filter_map(|start| at_its_place(request, heard.get(start..)?)).next();
    found.unwrap_or(Heard::Nothing)
}

/// The answer, if it stands at the beginning.
fn at_its_place(request: &Request, bytes: &[u8]) -> Option<Heard> {
    let function = function(request.table);
    let whole = |length: usize| {
        let (frame, sum) = bytes.get(..length)?.split_last_chunk::<2>()?;
        (check_sum(frame) == *sum).then_some(frame)
    };
    match *bytes {
        [unit, asked, ..] if unit == request.unit && asked == function => {
            let [_, _, count, registers @ ..] = whole(answer_bytes(request))? else { return None };
            let (pairs, rest) = registers.as_chunks::<2>();
            let fits = usize::from(*count) == registers.len() && rest.is_empty();
            fits.then(|| Heard::Registers(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect()))
        }
        [unit, asked, code, ..] if unit == request.unit && asked == function | 0x80 => {
            whole(5).map(|_| Heard::Refused(ExceptionCode::new(code)))
        }
        _ => None,
    }
}

/// What is wrong with bytes in which there is no answer.
pub(super) fn fault(request: &Request, heard: &[u8]) -> String {
    let (wanted, function) = (answer_bytes(request), function(request.table));
    match *heard {
        [] => "nothing came".to_owned(),
        [unit, ..] if unit != request.unit => {
            format!("unit {unit} answers instead of {}, or a byte is wrong", request.unit)
        }
        [_, asked, ..] if asked != function && asked != function | 0x80 => {
            format!("an answer to function {asked} instead of {function}, or a byte is wrong")
        }
        _ if heard.len() < wanted => format!("it breaks off after {} of {wanted} bytes", heard.len()),
        _ => "its check sum is wrong".to_owned(),
    }
}

/// Reads any bytes: a server's name in the first line, and what is heard after it.
pub(crate) fn read_any(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (name, rest) = bytes.split_at_checked(line).unwrap_or_default();
    let _ = String::from_utf8_lossy(name).parse::<super::Server>();
    let heard = rest.get(1..).unwrap_or_default();
    let unit = heard.first().copied().unwrap_or(1);
    for (table, count) in [(Table::Holding, 1), (Table::Input, 2), (Table::Input, 125)] {
        let request = Request { unit, table, address: 0, count, points: Vec::new() };
        let _ = (answer(&request, heard), fault(&request, heard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(unit: u8, table: Table, count: u16) -> Request {
        Request { unit, table, address: 0x6b, count, points: Vec::new() }
    }

    fn answered(request: &Request, registers: &[u16]) -> Vec<u8> {
        let mut pdu = vec![function(request.table), (registers.len() * 2) as u8];
        registers.iter().for_each(|register| pdu.extend(register.to_be_bytes()));
        frame(request.unit, &pdu)
    }

    #[test]
    fn the_check_sum_is_that_of_published_frames() {
        // The example in chapter 6.2.2 of the guide to Modbus over serial lines, and the catalogue's check value of CRC-16/MODBUS.
        assert_eq!(check_sum(&[2, 7]), [0x41, 0x12]);
        assert_eq!(check_sum(b"123456789"), 0x4b37_u16.to_le_bytes());
        assert_eq!(question(&request(0x11, Table::Holding, 3)), [0x11, 3, 0, 0x6b, 0, 3, 0x76, 0x87]);
    }

    #[test]
    fn an_answer_is_found_behind_an_echo_and_what_the_line_picked_up() {
        let request = request(7, Table::Input, 2);
        let good = answered(&request, &[230, 0xffff]);
        assert_eq!(answer(&request, &good), Heard::Registers(vec![230, 0xffff]));
        let echoed = [&question(&request)[..], &good, &[0]].concat();
        assert_eq!(answer(&request, &echoed), Heard::Registers(vec![230, 0xffff]));
        assert_eq!(answer(&request, &[&[0, 0xff][..], &good].concat()), Heard::Registers(vec![230, 0xffff]));
        assert_eq!(
            answer(&request, &frame(7, &[0x84, 2])),
            Heard::Refused(ExceptionCode::IllegalDataAddress)
        );
    }

    #[test]
    fn what_is_no_answer_is_none_and_is_named() {
        let request = request(7, Table::Input, 2);
        let good = answered(&request, &[230, 231]);
        let mut spoilt = good.clone();
        spoilt[4] ^= 1;
        let other_unit = answered(&Request { unit: 8, ..request.clone() }, &[230, 231]);
        let other_table = answered(&Request { table: Table::Holding, ..request.clone() }, &[230, 231]);
        let longer = answered(&request, &[230, 231, 232]);
        for (bytes, named) in [
            (spoilt, "check sum"),
            (other_unit, "unit 8 answers instead of 7"),
            (other_table, "function 3 instead of 4"),
            (good[..5].to_vec(), "breaks off after 5 of 9"),
            (longer, "check sum"),
            (Vec::new(), "nothing"),
        ] {
            assert_eq!(answer(&request, &bytes), Heard::Nothing, "{named}");
            assert!(fault(&request, &bytes).contains(named), "{named}: {}", fault(&request, &bytes));
        }
    }

    proptest! {
        #[test]
        fn an_answer_with_one_bit_changed_is_none(registers in prop::collection::vec(any::<u16>(), 1..125), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let request = request(9, Table::Holding, registers.len() as u16);
            let mut bytes = answered(&request, &registers);
            prop_assert_eq!(answer(&request, &bytes), Heard::Registers(registers));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(answer(&request, &bytes), Heard::Nothing);
        }
    }
}
