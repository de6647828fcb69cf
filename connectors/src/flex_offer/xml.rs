//! The small part of XML that messages need, as a JSON value and back.
//!
//! Elements with elements inside are objects, repeated ones lists, the others texts; attributes count as elements;
//! namespaces and prefixes are dropped. There are no document types, no entities but the five of XML and numbers,
//! and no processing instructions but the declaration: whatever could refer to something outside is refused.

use serde_json::{Map, Value};

/// Deepest nesting read.
const DEPTH_MAX: usize = 32;
/// Most elements and attributes read.
const NODES_MAX: usize = 30_000_000;

/// Reads a document; the root element's name is dropped unless it is that of an offer.
pub(super) fn read(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("XML that is not UTF-8: {error}"))?;
    let mut reader = Reader { text, at: 0, nodes: 0 };
    reader.between()?;
    let (name, value) = reader.element(0)?;
    reader.between()?;
    if reader.at < text.len() {
        return Err(reader.wrong("something after the root element"));
    }
    match name.as_str() {
        "flexOffer" => Ok(Value::Object(Map::from_iter([(name, value)]))),
        _ => Ok(value),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &str) -> String {
        format!("XML with {what} at byte {}", self.at)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn until(&mut self, token: &str) -> Result<&'a str, String> {
        match self.rest().find(token) {
            Some(length) => {
                let part = &self.rest()[..length];
                self.at += length + token.len();
                Ok(part)
            }
            None => Err(self.wrong("an unfinished part")),
        }
    }

    /// Blanks, comments and the declaration.
    fn between(&mut self) -> Result<(), String> {
        loop {
            self.blanks();
            if self.skip("<!--") {
                self.until("-->")?;
            } else if self.rest().starts_with("<?xml ") {
                self.until("?>")?;
            } else if self.rest().starts_with("<!") || self.rest().starts_with("<?") {
                return Err(self.wrong("a document type or processing instruction, which are not read"));
            } else {
                return Ok(());
            }
        }
    }

    /// A name without its prefix.
    fn name(&mut self) -> Result<(&'a str, String), String> {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')))
            .unwrap_or(rest.len());
        if length == 0 || length > 128 {
            return Err(self.wrong("no name, or too long a one"));
        }
        self.at += length;
        let whole = &rest[..length];
        Ok((whole, whole.rsplit(':').next().unwrap_or(whole).to_owned()))
    }

    fn element(&mut self, depth: usize) -> Result<(String, Value), String> {
        if depth >= DEPTH_MAX {
            return Err(self.wrong("too many elements inside each other"));
        }
        if !self.skip("<") {
            return Err(self.wrong("no element"));
        }
        let (whole, name) = self.name()?;
        let mut content = Map::new();
        loop {
            self.blanks();
            if self.skip("/>") {
                return Ok((name, value_of(content, String::new())));
            }
            if self.skip(">") {
                break;
            }
            let (attribute, key) = self.name()?;
            self.blanks();
            if !self.skip("=") {
                return Err(self.wrong("an attribute without a value"));
            }
            self.blanks();
            let quote = if self.skip("\"") { "\"" } else { "'" };
            if quote == "'" && !self.skip("'") {
                return Err(self.wrong("an attribute without quotes"));
            }
            let value = self.until(quote)?;
            if attribute != "xmlns" && !attribute.starts_with("xmlns:") && !attribute.starts_with("xsi:") {
                let value = Value::String(self.plain(value)?);
                self.put(&mut content, key, value)?;
            }
        }
        let mut text = String::new();
        loop {
            let part = self.rest().find('<').ok_or_else(|| self.wrong("an unfinished element"))?;
            text += &self.plain(&self.rest()[..part])?;
            self.at += part;
            if self.skip("</") {
                let closing = self.until(">")?;
                return match closing.trim_end() == whole {
                    true => Ok((name, value_of(content, text))),
                    false => Err(self.wrong("an element that is closed by another name")),
                };
            } else if self.skip("<!--") {
                self.until("-->")?;
            } else if self.skip("<![CDATA[") {
                text += self.until("]]>")?;
            } else if self.rest().starts_with("<!") || self.rest().starts_with("<?") {
                return Err(self.wrong("a declaration inside an element"));
            } else {
                let (key, value) = self.element(depth + 1)?;
                self.put(&mut content, key, value)?;
            }
        }
    }

    /// Adds a child; the second of a name makes a list of both.
    fn put(&mut self, content: &mut Map<String, Value>, key: String, value: Value) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.wrong("too many elements"));
        }
        match content.get_mut(&key) {
            None => {
                content.insert(key, value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
        Ok(())
    }

    /// A text with its entities replaced.
    fn plain(&self, text: &str) -> Result<String, String> {
        let Some(mut at) = text.find('&') else { return Ok(text.to_owned()) };
        let (mut plain, mut rest) = (String::new(), text);
        loop {
            plain += &rest[..at];
            let end = rest[at..].find(';').filter(|&end| end <= 10).ok_or_else(|| self.wrong("a stray &"))?;
            let entity = &rest[at + 1..at + end];
            let number = entity.strip_prefix('#').map(|digits| match digits.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            });
            plain.push(match (entity, number) {
                ("amp", _) => '&',
                ("lt", _) => '<',
                ("gt", _) => '>',
                ("quot", _) => '"',
                ("apos", _) => '\'',
                (_, Some(Ok(number))) => {
                    char::from_u32(number).ok_or_else(|| self.wrong("a character that is none"))?
                }
                _ => return Err(self.wrong("an entity that is not one of XML's own")),
            });
            rest = &rest[at + end + 1..];
            match rest.find('&') {
                Some(next) => at = next,
                None => return Ok(plain + rest),
            }
        }
    }
}

fn value_of(content: Map<String, Value>, text: String) -> Value {
    match content.is_empty() {
        true => Value::String(text),
        false => Value::Object(content),
    }
}

/// Writes a value as a document. Items of a list repeat its name; a list of numbers inside a list is one
/// text, `a b c`.
pub(super) fn write(root: &str, value: &Value) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    write_element(root, value, &mut out);
    out.push('\n');
    out
}

fn write_element(name: &str, value: &Value, out: &mut String) {
    let tag = |out: &mut String, open: &str| {
        out.push_str(open);
        out.push_str(name);
        out.push('>');
    };
    match value {
        Value::Object(map) => {
            tag(out, "<");
            for (key, inner) in map {
                match inner {
                    Value::Array(items) => items.iter().for_each(|item| write_item(key, item, out)),
                    other => write_element(key, other, out),
                }
            }
            tag(out, "</");
        }
        Value::Array(_) => write_item(name, value, out),
        other => {
            tag(out, "<");
            match other {
                Value::String(text) => escape(text, out),
                Value::Null => {}
                scalar => out.push_str(&scalar.to_string()),
            }
            tag(out, "</");
        }
    }
}

fn write_item(name: &str, item: &Value, out: &mut String) {
    match item {
        Value::Array(inner) => {
            let words: Vec<String> = inner.iter().map(Value::to_string).collect();
            write_element(name, &Value::String(words.join(" ")), out);
        }
        other => write_element(name, other, out),
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Blanks at the ends would be lost, control characters are no XML.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
}
