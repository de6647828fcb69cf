//! One line of a script as tokens.
//!
//! A token ends at white space, a comma, an equals sign or a comment (`!` or `//`). Brackets and quotes of any of the
//! kinds `() [] {} "" ''` keep what is between them together, up to the first closing one of the same kind; they do not
//! nest. Commas and equals signs may stand free.

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Token<'a> {
    /// Its text, without brackets.
    pub text: &'a str,
    /// Whether it stood in brackets or quotes.
    pub bracketed: bool,
}

/// A value with the name before its equals sign, when there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    /// Name, or empty.
    pub name: &'a str,
    /// Value.
    pub value: Token<'a>,
}

/// Splits a line, or the inside of brackets.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    /// Whether `|` separates as well (rows of a matrix).
    rows: bool,
}

/// What stood behind a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// White space, a comma, or the end of the line.
    Plain,
    /// `=`.
    Equals,
    /// `|`.
    Row,
}

impl<'a> Lexer<'a> {
    /// For the parameters of a line.
    pub fn new(line: &'a str) -> Self {
        Self { rest: line, rows: false }
    }

    /// For the numbers of an array or matrix.
    pub fn with_rows(inside: &'a str) -> Self {
        Self { rest: inside, rows: true }
    }

    fn skip(&mut self, also: &[char]) {
        self.rest = self.rest.trim_start_matches(|c: char| is_space(c) || also.contains(&c));
        if is_comment(self.rest) {
            self.rest = "";
        }
    }

    /// The next token with what stands behind it; `None` at the end of the line.
    pub fn token(&mut self) -> Option<(Token<'a>, End)> {
        self.skip(&[',']);
        let first = self.rest.chars().next()?;
        let token = match closing(first) {
            Some(close) => {
                let inside = &self.rest[first.len_utf8()..];
                let end = inside.find(close).unwrap_or(inside.len());
                self.rest = inside[end..].strip_prefix(close).unwrap_or("");
                Token { text: &inside[..end], bracketed: true }
            }
            None => {
                let end = self.word_end();
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                Token { text, bracketed: false }
            }
        };
        self.skip(&[]);
        let end = match self.rest.chars().next() {
            Some('=') if !self.rows => End::Equals,
            Some('|') if self.rows => End::Row,
            _ => return Some((token, End::Plain)),
        };
        self.rest = &self.rest[1..];
        Some((token, end))
    }

    fn word_end(&self) -> usize {
        let ends = |(at, c): (usize, char)| {
            is_space(c)
                || c == ','
                || (c == '=' && !self.rows)
                || (c == '|' && self.rows)
                || is_comment(&self.rest[at..])
        };
        self.rest.char_indices().find(|&at| ends(at)).map_or(self.rest.len(), |(at, _)| at)
    }

    /// The next parameter: `name=value` or `value`.
    pub fn parameter(&mut self) -> Option<Parameter<'a>> {
        let (token, end) = self.token()?;
        if end != End::Equals {
            return Some(Parameter { name: "", value: token });
        }
        let value = self.token().map_or_else(Token::default, |(value, _)| value);
        Some(Parameter { name: token.text, value })
    }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

fn is_comment(text: &str) -> bool {
    text.starts_with('!') || text.starts_with("//")
}

fn closing(open: char) -> Option<char> {
    Some(match open {
        '(' => ')',
        '[' => ']',
        '{' => '}',
        '"' | '\'' => open,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parameters(line: &str) -> Vec<(String, String)> {
        let mut lexer = Lexer::new(line);
        std::iter::from_fn(|| lexer.parameter())
            .map(|p| (p.name.to_owned(), p.value.text.to_owned()))
            .collect()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn names_values_brackets_and_comments_are_told_apart() {
        let read = parameters("New Line.a  bus1 = x.1.2, R=( 1 2 /) kVs=\"1 2\" ! rest=1");
        let expected =
            pairs(&[("", "New"), ("", "Line.a"), ("bus1", "x.1.2"), ("R", " 1 2 /"), ("kVs", "1 2")]);
        assert_eq!(read, expected);
        assert_eq!(parameters("a=1//b=2"), pairs(&[("a", "1")]));
        assert_eq!(parameters("a=(open"), pairs(&[("a", "open")]));
        assert_eq!(parameters("a="), pairs(&[("a", "")]));
        assert_eq!(parameters("{580 1.25 *} x"), pairs(&[("", "580 1.25 *"), ("", "x")]));
    }

    #[test]
    fn a_bar_separates_rows_only_inside_an_array() {
        let mut lexer = Lexer::with_rows("1 2 | 3,4|5");
        let read: Vec<(String, End)> =
            std::iter::from_fn(|| lexer.token()).map(|(t, e)| (t.text.to_owned(), e)).collect();
        let ends: Vec<End> = read.iter().map(|(_, end)| *end).collect();
        assert_eq!(ends, [End::Plain, End::Row, End::Plain, End::Row, End::Plain]);
        assert_eq!(parameters("a|b"), pairs(&[("", "a|b")]));
    }

    proptest! {
        #[test]
        fn any_line_ends_and_gives_no_more_than_it_has(line in "\\PC*") {
            let mut lexer = Lexer::new(&line);
            let mut length = 0;
            let mut count = 0;
            while let Some((token, _)) = lexer.token() {
                length += token.text.len();
                count += 1;
                prop_assert!(count <= line.len());
            }
            prop_assert!(length <= line.len());
        }

        #[test]
        fn words_come_back_as_written(words in proptest::collection::vec("[a-z0-9.%_-]{1,8}", 0..9)) {
            let mut lexer = Lexer::new("");
            prop_assert!(lexer.token().is_none());
            let line = words.join("  ");
            let read: Vec<String> = parameters(&line).into_iter().map(|(_, value)| value).collect();
            prop_assert_eq!(read, words);
        }
    }
}
