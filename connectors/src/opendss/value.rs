//! Values: numbers with the engine's inline calculator, arrays, matrices, switches, buses with their nodes.

use super::error::Fault;
use super::lexer::{End, Lexer, Token};

type Result<T> = std::result::Result<T, Fault>;

/// Most numbers in an array (load shapes of a year at one minute have half a million).
const NUMBERS_MAX: usize = 2_000_000;
/// Depth of the calculator's stack.
const STACK: usize = 10;

/// A token with the name of the property it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub property: &'a str,
    pub token: &'a Token<'a>,
}

impl<'a> Value<'a> {
    fn wrong(&self, expected: &'static str) -> Fault {
        Fault::value(self.property, self.token.text, expected)
    }

    /// As it is written.
    pub fn text(&self) -> &'a str {
        self.token.text.trim()
    }

    /// As a name: lower case.
    pub fn name(&self) -> String {
        self.text().to_ascii_lowercase()
    }

    /// A finite number.
    pub fn number(&self) -> Result<f64> {
        scalar(self.token).ok_or_else(|| self.wrong("number"))
    }

    /// A number above zero.
    pub fn positive(&self) -> Result<f64> {
        self.number()?.positive().ok_or_else(|| self.wrong("positive number"))
    }

    /// A whole number between the limits.
    pub fn count(&self, range: std::ops::RangeInclusive<usize>) -> Result<usize> {
        let number = self.number()?.round();
        let count = if (0.0..1e9).contains(&number) { number as usize } else { usize::MAX };
        if range.contains(&count) { Ok(count) } else { Err(self.wrong("count that is possible here")) }
    }

    /// Yes or no, by the first letter.
    pub fn switch(&self) -> Result<bool> {
        match self.text().chars().next().map(|c| c.to_ascii_lowercase()) {
            Some('y' | 't') => Ok(true),
            Some('n' | 'f') => Ok(false),
            _ => Err(self.wrong("yes or no")),
        }
    }

    /// Wye (false) or delta (true).
    pub fn delta(&self) -> Result<bool> {
        delta(self.text()).ok_or_else(|| self.wrong("wye or delta"))
    }

    /// The words of an array.
    pub fn words(&self) -> Vec<&'a str> {
        let mut lexer = Lexer::with_rows(self.token.text);
        std::iter::from_fn(|| lexer.token()).map(|(token, _)| token.text).collect()
    }

    /// Wye or delta for each of several.
    pub fn deltas(&self) -> Result<Vec<bool>> {
        self.words().into_iter().map(|word| delta(word).ok_or_else(|| self.wrong("wye or delta"))).collect()
    }

    /// The numbers of an array.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        Ok(self.rows()?.concat())
    }

    /// The numbers of an array, row by row.
    fn rows(&self) -> Result<Vec<Vec<f64>>> {
        let mut lexer = Lexer::with_rows(self.token.text);
        let mut rows = vec![Vec::new()];
        let mut count = 0;
        while let Some((token, end)) = lexer.token() {
            count += 1;
            if count > NUMBERS_MAX {
                return Err(Fault::TooMany { what: "numbers in an array", limit: NUMBERS_MAX });
            }
            let number = scalar(&token).ok_or_else(|| self.wrong("array of numbers"))?;
            if let Some(row) = rows.last_mut() {
                row.push(number);
            }
            if end == End::Row {
                rows.push(Vec::new());
            }
        }
        Ok(rows)
    }

    /// A symmetric matrix of `order` rows, by rows; rows may end at the diagonal, later ones win.
    pub fn symmetric(&self, order: usize) -> Result<Vec<f64>> {
        let rows = self.rows()?;
        let mut matrix = vec![0.0; order * order];
        for (row, numbers) in rows.iter().enumerate() {
            for (column, &number) in numbers.iter().enumerate() {
                if row >= order || column >= order {
                    return Err(self.wrong("matrix of as many rows as there are phases"));
                }
                matrix[row * order + column] = number;
                matrix[column * order + row] = number;
            }
        }
        Ok(matrix)
    }
}

trait Positive: Sized {
    fn positive(self) -> Option<Self>;
}

impl Positive for f64 {
    fn positive(self) -> Option<f64> {
        (self > 0.0).then_some(self)
    }
}

fn delta(word: &str) -> Option<bool> {
    let word = word.to_ascii_lowercase();
    match word.as_str() {
        "ln" | "y" => Some(false),
        "ll" => Some(true),
        _ if word.starts_with('w') => Some(false),
        _ if word.starts_with('d') => Some(true),
        _ => None,
    }
}

/// A finite number, plain or (in brackets) calculated in reverse Polish notation.
fn scalar(token: &Token) -> Option<f64> {
    if token.bracketed { calculate(token.text) } else { plain(token.text) }
}

fn plain(text: &str) -> Option<f64> {
    let text = text.trim();
    let starts_like_one = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    let number: f64 = text.parse().ok().filter(|_| starts_like_one)?;
    number.is_finite().then_some(number)
}

/// The engine's calculator: a stack of ten, x on top.
fn calculate(text: &str) -> Option<f64> {
    let mut stack = [0.0_f64; STACK];
    let mut lexer = Lexer::with_rows(text);
    let mut any = false;
    while let Some((token, _)) = lexer.token() {
        any = true;
        match plain(token.text) {
            Some(number) => push(&mut stack, number),
            None => operate(&mut stack, &token.text.to_ascii_lowercase())?,
        }
    }
    (any && stack[0].is_finite()).then_some(stack[0])
}

fn push(stack: &mut [f64; STACK], number: f64) {
    stack.rotate_right(1);
    stack[0] = number;
}

fn operate(stack: &mut [f64; STACK], operation: &str) -> Option<()> {
    let (x, y) = (stack[0], stack[1]);
    let of_two = match operation {
        "+" => Some(y + x),
        "-" => Some(y - x),
        "*" => Some(y * x),
        "/" => Some(y / x),
        "^" => Some(y.powf(x)),
        "atan2" => Some(y.atan2(x).to_degrees()),
        _ => None,
    };
    if let Some(result) = of_two {
        // What is below moves up; the bottom stays as it is.
        stack.copy_within(1.., 0);
        stack[0] = result;
        return Some(());
    }
    match operation {
        "sqrt" => stack[0] = x.sqrt(),
        "sqr" => stack[0] = x * x,
        "sin" => stack[0] = x.to_radians().sin(),
        "cos" => stack[0] = x.to_radians().cos(),
        "tan" => stack[0] = x.to_radians().tan(),
        "asin" => stack[0] = x.asin().to_degrees(),
        "acos" => stack[0] = x.acos().to_degrees(),
        "atan" => stack[0] = x.atan().to_degrees(),
        "ln" => stack[0] = x.ln(),
        "log10" => stack[0] = x.log10(),
        "exp" => stack[0] = x.exp(),
        "inv" => stack[0] = 1.0 / x,
        "pi" => push(stack, std::f64::consts::PI),
        "swap" => stack.swap(0, 1),
        "rollup" => stack.copy_within(..STACK - 1, 1),
        "rolldn" => stack.copy_within(1.., 0),
        _ => return None,
    }
    Some(())
}

/// A bus as elements name it: `name.1.2.3`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct BusName {
    /// Lower case; empty when it was never given.
    pub name: String,
    /// The nodes given.
    pub nodes: Vec<u8>,
}

impl BusName {
    /// Reads `name.1.2.3`; node numbers above 8 are refused, the engine's temporary nodes are not needed.
    pub fn new(property: &str, text: &str) -> Result<Self> {
        let mut parts = text.trim().split('.');
        let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let node = |part: &str| {
            let node: Option<u8> = part.trim().parse().ok().filter(|&node| node <= 8);
            node.ok_or_else(|| Fault::value(property, text, "bus with nodes from 0 to 8"))
        };
        let nodes: Vec<u8> = parts.filter(|part| !part.trim().is_empty()).map(node).collect::<Result<_>>()?;
        if name.is_empty() || nodes.len() > 8 {
            return Err(Fault::value(property, text, "bus"));
        }
        Ok(Self { name, nodes })
    }

    /// The nodes of an element with so many phases and conductors: phases are 1, 2, 3 and the rest is earth, unless
    /// said otherwise.
    pub fn conductors(&self, phases: usize, conductors: usize) -> Vec<u8> {
        let usual = |at: usize| if at < phases { at as u8 + 1 } else { 0 };
        (0..conductors).map(|at| self.nodes.get(at).copied().unwrap_or_else(|| usual(at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value<'a>(token: &'a Token<'a>) -> Value<'a> {
        Value { property: "p", token }
    }

    fn bracketed(text: &str) -> Token<'_> {
        Token { text, bracketed: true }
    }

    #[test]
    fn the_calculator_works_in_reverse_polish_notation() {
        assert_eq!(calculate("8 1000 /"), Some(0.008));
        assert_eq!(calculate("0.00625 12 * 1 +"), Some(1.075));
        // A source reactance of the 8500-node feeder: 1.051 − (0.88 − 0.003), times (115 / 12.47) squared.
        let x = calculate("1.051 0.88 0.001 3 * - - 115 12.47 / sqr *").unwrap();
        assert!((x - (1.051 - 0.877) * (115.0_f64 / 12.47).powi(2)).abs() < 1e-12, "{x}");
        assert_eq!(calculate("1 0 /"), None);
        assert_eq!(calculate("frobnicate"), None);
        assert_eq!(calculate(""), None);
    }

    #[test]
    fn only_finite_decimal_numbers_are_numbers() {
        assert_eq!(plain("-.5e1"), Some(-5.0));
        for text in ["inf", "nan", "infinity", "", "1e999", "0x10", "1 2"] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    #[test]
    fn a_triangle_is_completed_and_too_large_a_matrix_refused() {
        let token = bracketed("1 | 2 3 | 4 5 6");
        let full = value(&token).symmetric(3).unwrap();
        assert_eq!(full, [1.0, 2.0, 4.0, 2.0, 3.0, 5.0, 4.0, 5.0, 6.0]);
        assert!(value(&token).symmetric(2).is_err());
    }

    #[test]
    fn nodes_not_given_are_the_phases_and_then_earth() {
        let bus = BusName::new("bus1", "RG60.2").unwrap();
        assert_eq!((bus.name.as_str(), bus.conductors(1, 2)), ("rg60", vec![2, 0]));
        assert_eq!(BusName::new("bus1", "x").unwrap().conductors(3, 4), [1, 2, 3, 0]);
        assert!(BusName::new("bus1", ".1").is_err());
        assert!(BusName::new("bus1", "a.9").is_err());
    }

    proptest! {
        #[test]
        fn nothing_written_makes_a_value_panic(text in "\\PC*", bracketed in any::<bool>()) {
            let token = Token { text: &text, bracketed };
            let value = value(&token);
            if let Ok(number) = value.number() {
                prop_assert!(number.is_finite());
            }
            let _ = (value.numbers(), value.symmetric(3), value.switch(), value.deltas(), value.count(1..=3));
            let _ = BusName::new("bus", &text);
        }
    }
}
