//! Samples made wrong in the ways in which messages are: bits, bytes, pieces, numbers, words, lengths, nesting.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Longest input, bytes; a sample may be longer.
const BYTES_MAX: usize = 64 << 10;
/// Changes to one sample.
const CHANGES_MAX: usize = 8;
/// Bytes at which readers of bytes turn.
const BYTES: &[u8] = &[0, 1, 2, 0x0a, 0x20, 0x22, 0x2f, 0x5c, 0x68, 0x7f, 0x80, 0xc0, 0xce, 0xfe, 0xff];
/// Words at which readers of text turn.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\t",
    "#",
    "//",
    "<",
    ">",
    "&amp;",
    "&#x110000;",
    "<![CDATA[",
    "null",
    "true",
    "false",
    "NaN",
    "-inf",
    "1e309",
    "-1e309",
    "1e-400",
    "-0",
    "0",
    "0.5",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "2147483648",
    "4294967295",
    "65536",
    "1e18",
    "1e15",
    "\u{0}",
    "\u{feff}",
    "ü",
    "\\ud800",
    "1970-01-01T00:00:00Z",
    "2200-12-31T23:59:59Z",
    "2026-02-30T25:61:61Z",
    "+262143-12-31T23:59:59Z",
    "-9999-01-01T00:00:00-25:59",
    "2026-10-25T02:30:00",
    "99999999999999999999999999",
];

/// Changes a sample; `others` lend pieces.
pub fn mutate(sample: &[u8], others: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..rng.random_range(1..=CHANGES_MAX) {
        change(&mut bytes, others, rng);
    }
    bytes.truncate(BYTES_MAX.max(sample.len()));
    bytes
}

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    match rng.random_range(0..12) {
        0 => {
            if let Some(byte) = any(bytes, rng) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        1 => {
            let other = BYTES[rng.random_range(0..BYTES.len())];
            if let Some(byte) = any(bytes, rng) {
                *byte = other;
            }
        }
        2 => {
            let random: Vec<u8> = (0..rng.random_range(1..9)).map(|_| rng.random()).collect();
            insert(bytes, &random, rng);
        }
        3 => drop(bytes.drain(piece(bytes.len(), rng))),
        4 => {
            let again = bytes[piece(bytes.len(), rng)].to_vec();
            insert(bytes, &again, rng);
        }
        5 => {
            let other = &others[rng.random_range(0..others.len())];
            let lent = other[piece(other.len(), rng)].to_vec();
            insert(bytes, &lent, rng);
        }
        6 | 7 => number(bytes, rng),
        8 => {
            let word = WORDS[rng.random_range(0..WORDS.len())].as_bytes();
            insert(bytes, word, rng);
        }
        9 => bytes.truncate(rng.random_range(0..=bytes.len())),
        10 => {
            let deep = bytes[piece(bytes.len().min(16), rng)].repeat(rng.random_range(1..200));
            insert(bytes, &deep, rng);
        }
        _ => {
            let (from, to) = (piece(bytes.len(), rng), piece(bytes.len(), rng));
            let moved = bytes[from].to_vec();
            bytes.splice(to, moved);
        }
    }
}

fn any<'a>(bytes: &'a mut [u8], rng: &mut ChaCha8Rng) -> Option<&'a mut u8> {
    let place = rng.random_range(0..bytes.len().max(1));
    bytes.get_mut(place)
}

/// A piece, mostly a short one.
fn piece(length: usize, rng: &mut ChaCha8Rng) -> Range<usize> {
    let start = rng.random_range(0..=length);
    let most = if rng.random_bool(0.8) { 16 } else { length };
    start..(start + rng.random_range(0..=most)).min(length)
}

fn insert(bytes: &mut Vec<u8>, what: &[u8], rng: &mut ChaCha8Rng) {
    if bytes.len() + what.len() <= 2 * BYTES_MAX {
        let at = rng.random_range(0..=bytes.len());
        bytes.splice(at..at, what.iter().copied());
    }
}

/// Puts another word in the place of a number or word.
fn number(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'_');
    let from = rng.random_range(0..=bytes.len());
    let Some(start) = bytes[from..].iter().position(is_part).map(|at| from + at) else { return };
    let end = bytes[start..].iter().position(|byte| !is_part(byte)).map_or(bytes.len(), |at| start + at);
    let word = WORDS[rng.random_range(0..WORDS.len())];
    bytes.splice(start..end, word.bytes());
}
