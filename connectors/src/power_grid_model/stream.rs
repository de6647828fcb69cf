//! Lists of components, streamed: every row lands in one reused store and is handed on at once, so that a file of
//! hundreds of megabytes needs no tree of its own.

use super::columns::{Component, Kind};
use super::error::{ReadError, brief_text};
use super::row::Row;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Attributes without effect on the calculation, allowed on every component.
const INFORMATION: [&str; 5] = ["name", "id_reference", "comment", "extra", "extra_info"];

/// What happens to attributes of object rows that power-grid-model does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Skipped, as power-grid-model does.
    Skip,
    /// Refused, unless they are known to be information only.
    Refuse,
}

/// Takes the rows of a list.
pub(super) trait Sink {
    fn row(&mut self, row: &Row<'_>) -> Result<(), ReadError>;
}

/// One list of components.
pub(super) struct List<'s, S> {
    pub(super) component: Component,
    /// The columns of list rows; `None` when `attributes` does not explain them.
    pub(super) header: Option<&'s [usize]>,
    pub(super) unknown: Unknown,
    /// Whether rows without an id are accepted.
    pub(super) id_optional: bool,
    pub(super) sink: &'s mut S,
    /// Where an error with facts waits while serde carries its stand-in.
    pub(super) failed: &'s mut Option<ReadError>,
}

impl<'de, S: Sink> DeserializeSeed<'de> for List<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for List<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", self.component.name())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let mut store = Store::new(self.component);
        loop {
            store.clear();
            let seed = RowSeed { store: &mut store, header: self.header, unknown: self.unknown };
            if rows.next_element_seed(seed)?.is_none() {
                return Ok(());
            }
            store.number += 1;
            let taken = store.checked(self.id_optional).and_then(|row| self.sink.row(&row));
            if let Err(error) = taken {
                *self.failed = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
    }
}

/// The row being read.
struct Store {
    component: Component,
    number: usize,
    values: Vec<[f64; 3]>,
    given: u64,
    wrong: Option<Wrong>,
}

/// What is wrong with the row being read; told when its id is known.
enum Wrong {
    Value(usize, String),
    Unknown(String),
    Whole(String),
}

impl Store {
    fn new(component: Component) -> Self {
        let values = vec![[f64::NAN; 3]; component.columns().len()];
        Self { component, number: 0, values, given: 0, wrong: None }
    }

    fn clear(&mut self) {
        self.values.fill([f64::NAN; 3]);
        self.given = 0;
    }

    /// Marks a column as given.
    fn give(&mut self, column: usize) {
        let bit = 1_u64 << column;
        if self.given & bit != 0 {
            self.wrong.get_or_insert(Wrong::Value(column, "is given twice".into()));
        }
        self.given |= bit;
    }

    fn checked(&mut self, id_optional: bool) -> Result<Row<'_>, ReadError> {
        let (component, number) = (self.component, self.number);
        let row_error = |reason: String| ReadError::Row { component: component.name(), row: number, reason };
        match self.wrong.take() {
            Some(Wrong::Whole(reason)) => return Err(row_error(reason)),
            Some(Wrong::Value(0, reason)) => return Err(row_error(format!("id {reason}"))),
            wrong => self.wrong = wrong,
        }
        let row = Row { component, number, given: self.given, values: &self.values };
        if row.optional_id().is_none() && !id_optional {
            return Err(row_error("the id is missing".into()));
        }
        match self.wrong.take() {
            Some(Wrong::Value(column, reason)) => Err(row.wrong(column, reason)),
            Some(Wrong::Unknown(attribute)) => Err(ReadError::Attribute {
                component: component.name(),
                id: row.id(),
                attribute,
                reason: "is not an attribute known here; remove it if it has no effect".into(),
            }),
            _ => Ok(row),
        }
    }
}

struct RowSeed<'s> {
    store: &'s mut Store,
    header: Option<&'s [usize]>,
    unknown: Unknown,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one {} as an object or a list", self.store.component.name())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
        let mut next = 0;
        while let Some(key) = row.next_key_seed(Key { component: self.store.component, hint: next })? {
            match key {
                Ok(column) => {
                    self.store.give(column);
                    row.next_value_seed(Value { store: self.store, column })?;
                    next = column + 1;
                }
                Err(name) => {
                    row.next_value::<IgnoredAny>()?;
                    if self.unknown == Unknown::Refuse && !INFORMATION.contains(&name.as_str()) {
                        self.store.wrong.get_or_insert(Wrong::Unknown(brief_text(&name)));
                    }
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
        let Some(header) = self.header else {
            self.store.wrong = Some(Wrong::Whole("a list, but attributes does not explain it".into()));
            while row.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let mut count = 0;
        for &column in header {
            self.store.give(column);
            if row.next_element_seed(Value { store: self.store, column })?.is_none() {
                break;
            }
            count += 1;
        }
        while row.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        if count != header.len() {
            let reason = format!("{count} values, attributes names {}", header.len());
            self.store.wrong = Some(Wrong::Whole(reason));
        }
        Ok(())
    }
}

/// The name of an attribute: its column, or the name when there is none.
struct Key {
    component: Component,
    hint: usize,
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an attribute")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.component.column(name, self.hint).ok_or_else(|| name.to_owned()))
    }
}

/// One value into its column. Whatever is not understood is noted, not failed, until the id is known.
struct Value<'s> {
    store: &'s mut Store,
    column: usize,
}

impl Value<'_> {
    fn kind(&self) -> Kind {
        self.store.component.columns()[self.column].kind
    }

    fn take(self, value: f64, as_written: impl fmt::Display) {
        let whole = |limit: f64| value.fract() == 0.0 && value.abs() <= limit;
        match self.kind() {
            Kind::Real => self.store.values[self.column][0] = value,
            Kind::Id if whole(2_147_483_647.0) && value >= 0.0 => self.store.values[self.column][0] = value,
            // The smallest integers stand for "not given".
            Kind::Id if value == -2_147_483_648.0 => {}
            Kind::Code if value == -128.0 => {}
            Kind::Code if whole(1e9) => self.store.values[self.column][0] = value,
            _ => self.refuse(as_written),
        }
    }

    fn refuse(self, as_written: impl fmt::Display) {
        let needed = match self.kind() {
            Kind::Id => "an id",
            Kind::Code => "a whole number",
            Kind::Real => "a number",
            Kind::Phases => "a list of three numbers",
        };
        let wrong = Wrong::Value(self.column, format!("is {as_written}, {needed} is needed"));
        self.store.wrong.get_or_insert(wrong);
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.take(value, format_args!("{value:?}"));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.take(value as f64, value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.take(value as f64, value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.refuse(value);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        match (self.kind(), special(text)) {
            (Kind::Real, Some(value)) => self.store.values[self.column][0] = value,
            _ => self.refuse(format_args!("{:?}", brief_text(text))),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.refuse("an object");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let (mut values, mut count, mut good) = ([f64::NAN; 3], 0, self.kind() == Kind::Phases);
        while let Some(value) = list.next_element_seed(Phase)? {
            match (values.get_mut(count), value) {
                (Some(place), Some(value)) => *place = value,
                _ => good = false,
            }
            count += 1;
        }
        if good && count == 3 {
            self.store.values[self.column] = values;
        } else if count > 3 {
            self.refuse(format_args!("a list of {count}"));
        } else {
            let written: Vec<String> = values[..count].iter().map(f64::to_string).collect();
            self.refuse(format_args!("[{}]", written.join(", ")));
        }
        Ok(())
    }
}

/// NaN and infinity as words: JSON has no numbers for them.
fn special(text: &str) -> Option<f64> {
    match text {
        "nan" | "NaN" => Some(f64::NAN),
        "inf" | "+inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// The value of one phase; NaN for null, `None` when it is no number.
struct Phase;

impl<'de> DeserializeSeed<'de> for Phase {
    type Value = Option<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Phase {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of one phase")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(f64::NAN))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(special(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
