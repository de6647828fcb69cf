//! The frame of a file: version, type, names of list values, and the lists of components, of one scenario or many.

use super::columns::Component;
use super::error::{ReadError, brief_text};
use super::stream::{List, Sink, Unknown};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Advice on components that are not read.
const FAULTS: &str = "short-circuit calculations are out of scope, leave it out";
const OTHERS: &str = "leave it out";

/// What a file is read into.
pub(super) trait Document: Sink {
    /// The `type` of the file.
    const KIND: &'static str;
    /// Whether rows may come without ids, as in updates.
    const ID_OPTIONAL: bool;
    /// Whether several scenarios are accepted.
    const BATCH: bool;
    /// A scenario begins.
    fn scenario(&mut self) -> Result<(), ReadError>;
    /// A list begins.
    fn list(&mut self, component: Component) -> Result<(), ReadError>;
}

/// What was found beside the data.
#[derive(Debug, Default)]
pub(super) struct Frame {
    version: Option<String>,
    kind: Option<String>,
    batch: Option<bool>,
    headers: Option<Vec<(Component, Vec<usize>)>>,
    /// A name for people (ours).
    pub(super) name: Option<String>,
    data: bool,
    /// The data came before what explains them: read the file again.
    again: bool,
}

/// Reads a file into a document.
pub(super) fn read<T: Document>(
    bytes: &[u8],
    unknown: Unknown,
    document: &mut T,
) -> Result<Frame, ReadError> {
    let mut frame = Frame::default();
    pass(bytes, unknown, document, &mut frame)?;
    if frame.again {
        frame.data = false;
        pass(bytes, unknown, document, &mut frame)?;
    }
    if !frame.data {
        return Err(ReadError::Frame("data is missing".into()));
    }
    Ok(frame)
}

fn pass<T: Document>(
    bytes: &[u8],
    unknown: Unknown,
    document: &mut T,
    frame: &mut Frame,
) -> Result<(), ReadError> {
    let mut failed = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let second = frame.again;
    let root = Root { unknown, document, frame, failed: &mut failed, second };
    let outcome = root.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match (failed, outcome) {
        (Some(error), _) => Err(error),
        (None, Ok(())) if second => Ok(()),
        (None, Ok(())) => frame.check::<T>(),
        (None, Err(error)) if error.is_data() => Err(ReadError::Frame(error.to_string())),
        (None, Err(error)) => Err(ReadError::Json(error)),
    }
}

impl Frame {
    fn check<T: Document>(&self) -> Result<(), ReadError> {
        for (key, found, expected) in [("version", &self.version, "1.0"), ("type", &self.kind, T::KIND)] {
            if found.as_deref() != Some(expected) {
                return Err(ReadError::Frame(format!("{key} is not {expected:?}")));
            }
        }
        match self.batch {
            None => return Err(ReadError::Frame("is_batch is missing".into())),
            Some(true) if !T::BATCH => {
                let reason = "it is a batch; give one scenario with is_batch false";
                return Err(ReadError::Frame(reason.into()));
            }
            _ => {}
        }
        if self.headers.is_none() {
            return Err(ReadError::Frame("attributes is missing".into()));
        }
        Ok(())
    }

    /// Whether everything that explains the data is known.
    fn explains(&self) -> bool {
        self.version.is_some() && self.kind.is_some() && self.batch.is_some() && self.headers.is_some()
    }
}

struct Root<'s, T> {
    unknown: Unknown,
    document: &'s mut T,
    frame: &'s mut Frame,
    failed: &'s mut Option<ReadError>,
    /// Whether the frame is known from a first pass.
    second: bool,
}

impl<'de, T: Document> DeserializeSeed<'de> for Root<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Document> Visitor<'de> for Root<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with version, type, is_batch, attributes and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let twice = |given: bool| {
                if given {
                    Err(A::Error::custom(format!("{} is given twice", brief_text(&key))))
                } else {
                    Ok(())
                }
            };
            let in_key = |error: A::Error| A::Error::custom(format!("{key}: {error}"));
            match key.as_str() {
                "data" => {
                    twice(self.frame.data)?;
                    self.frame.data = true;
                    if !self.frame.explains() {
                        self.frame.again = true;
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if let Err(error) = self.frame.check::<T>() {
                        *self.failed = Some(error);
                        return Err(A::Error::custom("refused"));
                    }
                    let headers = self.frame.headers.as_deref().unwrap_or_default();
                    let batch = self.frame.batch == Some(true);
                    let (unknown, document, failed) = (self.unknown, &mut *self.document, &mut *self.failed);
                    map.next_value_seed(Data { headers, batch, unknown, document, failed })
                        .map_err(in_key)?;
                }
                _ if self.second => {
                    map.next_value::<IgnoredAny>()?;
                }
                "version" => {
                    twice(self.frame.version.is_some())?;
                    self.frame.version = Some(map.next_value().map_err(in_key)?);
                }
                "type" => {
                    twice(self.frame.kind.is_some())?;
                    self.frame.kind = Some(map.next_value().map_err(in_key)?);
                }
                "is_batch" => {
                    twice(self.frame.batch.is_some())?;
                    self.frame.batch = Some(map.next_value().map_err(in_key)?);
                }
                "attributes" => {
                    twice(self.frame.headers.is_some())?;
                    let update = T::KIND == "update";
                    self.frame.headers = Some(map.next_value_seed(Headers { update }).map_err(in_key)?);
                }
                "name" if self.unknown == Unknown::Refuse => {
                    self.frame.name =
                        Some(map.next_value::<String>().map(|name| brief_text(&name)).map_err(in_key)?);
                }
                _ if self.unknown == Unknown::Skip => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    return Err(A::Error::custom(format!(
                        "{:?} is unknown beside version, type, is_batch, attributes, data",
                        brief_text(&key)
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Component → columns of its list rows.
struct Headers {
    update: bool,
}

impl<'de> DeserializeSeed<'de> for Headers {
    type Value = Vec<(Component, Vec<usize>)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Headers {
    type Value = Vec<(Component, Vec<usize>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of names by component")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut headers: Self::Value = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some(component) = Component::named(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let Names(names) = map.next_value()?;
            let mut columns = Vec::with_capacity(names.len());
            for attribute in &names {
                let wrong = |what: &str| {
                    let attribute = brief_text(attribute);
                    A::Error::custom(format!("attributes of {name}: {attribute} {what}"))
                };
                let column = component.column(attribute, columns.len());
                let column = column.ok_or_else(|| wrong("is not an attribute known here"))?;
                if columns.contains(&column) {
                    return Err(wrong("is named twice"));
                }
                if self.update && column != 0 && !component.columns()[column].changes {
                    return Err(wrong("cannot be changed by an update"));
                }
                columns.push(column);
            }
            if headers.iter().any(|(known, _)| *known == component) {
                return Err(A::Error::custom(format!("attributes of {name} are given twice")));
            }
            headers.push((component, columns));
        }
        Ok(headers)
    }
}

/// A list of at most 64 names.
struct Names(Vec<String>);

impl<'de> serde::Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of at most 64 names of attributes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    if names.len() == 64 {
                        return Err(A::Error::custom("attributes names more than 64"));
                    }
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

struct Data<'s, T> {
    headers: &'s [(Component, Vec<usize>)],
    batch: bool,
    unknown: Unknown,
    document: &'s mut T,
    failed: &'s mut Option<ReadError>,
}

impl<'de, T: Document> DeserializeSeed<'de> for Data<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.batch { deserializer.deserialize_seq(self) } else { deserializer.deserialize_map(self) }
    }
}

impl<'de, T: Document> Visitor<'de> for Data<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.batch { "data as a list of scenarios" } else { "data as an object" })
    }

    /// Many scenarios.
    fn visit_seq<A: SeqAccess<'de>>(self, mut scenarios: A) -> Result<(), A::Error> {
        let mut count = 0;
        loop {
            let (headers, unknown) = (self.headers, self.unknown);
            let (document, failed) = (&mut *self.document, &mut *self.failed);
            let scenario = Data { headers, batch: false, unknown, document, failed };
            match scenarios.next_element_seed(scenario) {
                Ok(Some(())) => count += 1,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let inner = self.failed.take();
                    *self.failed =
                        inner.map(|inner| ReadError::Scenario { scenario: count, error: Box::new(inner) });
                    return Err(error);
                }
            }
        }
    }

    /// One scenario.
    fn visit_map<A: MapAccess<'de>>(self, mut lists: A) -> Result<(), A::Error> {
        macro_rules! take {
            ($outcome:expr) => {
                if let Err(error) = $outcome {
                    *self.failed = Some(error);
                    return Err(A::Error::custom("refused"));
                }
            };
        }
        take!(self.document.scenario());
        let mut seen = Vec::new();
        while let Some(name) = lists.next_key::<String>()? {
            let Some(component) = Component::named(&name) else {
                let Count(count) = lists.next_value()?;
                // Faults do not touch a power flow or an estimate.
                let idle = name == "fault" && self.unknown == Unknown::Skip;
                if count > 0 && !idle {
                    let advice = if name == "fault" { FAULTS } else { OTHERS };
                    let component = brief_text(&name);
                    take!(Err::<(), _>(ReadError::Unsupported { component, count, advice }));
                }
                continue;
            };
            if seen.contains(&component) {
                return Err(A::Error::custom(format!("{name} is given twice")));
            }
            seen.push(component);
            take!(self.document.list(component));
            let header = self.headers.iter().find(|(known, _)| *known == component);
            lists.next_value_seed(List {
                component,
                header: header.map(|(_, columns)| columns.as_slice()),
                unknown: self.unknown,
                id_optional: T::ID_OPTIONAL,
                sink: &mut *self.document,
                failed: &mut *self.failed,
            })?;
        }
        Ok(())
    }
}

/// How many entries a list has.
struct Count(usize);

impl<'de> serde::Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of components")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(Counting)
    }
}
