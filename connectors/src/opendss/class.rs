//! What all classes of elements have in common: a table of them by name, and properties that are set by name, by an
//! abbreviation or by position.

use super::error::Fault;
use super::lexer::Lexer;
use super::model::{Codes, Model};
use super::value::Value;
use std::collections::BTreeMap;

/// Most elements of one class.
const ELEMENTS_MAX: usize = 1_000_000;
/// Most conductors of one terminal.
pub(super) const PHASES_MAX: usize = 6;

/// What setting a property may need besides the element.
pub(super) struct Context<'c> {
    /// What elements refer to by name.
    pub codes: &'c Codes,
    /// Base frequency of the circuit, Hz.
    pub frequency_hz: f64,
    /// Reads a data file named in a script.
    pub load: &'c mut dyn FnMut(&str) -> Result<Vec<u8>, Fault>,
}

/// A class of elements, and the state of one of them while it is edited.
pub(super) trait Class: Clone {
    /// As in scripts, lower case.
    const NAME: &'static str;
    /// Its properties in the engine's order: positions and abbreviations count along it.
    const PROPERTIES: &'static [&'static str];
    /// Those of them without effect on a power flow at nominal frequency.
    const INERT: &'static [&'static str];

    /// An element as the engine makes it.
    fn new(frequency_hz: f64) -> Self;
    /// Where elements of this class are kept.
    fn table(model: &Model) -> &Table<Self>;
    /// The same, to change.
    fn table_mut(model: &mut Model) -> &mut Table<Self>;
    /// Sets one property; `Ok(false)` when this reader does not know what it would change.
    fn set(&mut self, property: &'static str, value: Value, context: &mut Context) -> Result<bool, Fault>;
    /// Switches the element on or off.
    fn enable(&mut self, _on: bool) {}
    /// Forgets where the element is connected, after it became like another.
    fn forget_buses(&mut self) {}
    /// Called when an edit is complete.
    fn edited(&mut self, _frequency_hz: f64) {}
}

/// Elements of one class in the order of their definition.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    pub names: Vec<String>,
    pub items: Vec<T>,
    index: BTreeMap<String, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { names: Vec::new(), items: Vec::new(), index: BTreeMap::new() }
    }
}

impl<T: Class> Table<T> {
    /// The position of an element.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// An element that has to be there.
    pub fn get(&self, name: &str) -> Result<&T, Fault> {
        let missing = || Fault::Missing { class: T::NAME.into(), name: name.into() };
        self.find(name).map(|at| &self.items[at]).ok_or_else(missing)
    }

    /// Every element with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.names.iter().map(String::as_str).zip(&self.items)
    }

    /// Adds an element.
    pub fn add(&mut self, name: String, item: T) -> Result<usize, Fault> {
        if self.index.contains_key(&name) {
            return Err(Fault::Twice { class: T::NAME, name });
        }
        if self.items.len() >= ELEMENTS_MAX {
            return Err(Fault::TooMany { what: "elements of a class", limit: ELEMENTS_MAX });
        }
        self.index.insert(name.clone(), self.items.len());
        self.names.push(name);
        self.items.push(item);
        Ok(self.items.len() - 1)
    }
}

/// The functions of a class, for a list of classes.
pub(super) struct Entry {
    pub name: &'static str,
    pub create: fn(&mut Model, String) -> Result<usize, Fault>,
    pub find: fn(&Model, &str) -> Option<usize>,
    pub names: fn(&Model) -> Vec<String>,
    pub edit: Edit,
}

/// Edits an element with the rest of a line. The first property may be given beforehand: `class.name.property=value`.
pub(super) type Edit = fn(&mut Model, usize, Option<&str>, &mut Lexer, Load) -> Result<(), Fault>;
/// Reads a data file.
pub(super) type Load<'l> = &'l mut dyn FnMut(&str) -> Result<Vec<u8>, Fault>;

impl Entry {
    /// For a class.
    pub const fn of<T: Class + 'static>() -> Self {
        Self {
            name: T::NAME,
            create: |model, name| {
                let item = T::new(model.frequency_hz);
                T::table_mut(model).add(name, item)
            },
            find: |model, name| T::table(model).find(name),
            names: |model| T::table(model).names.clone(),
            edit: edit::<T>,
        }
    }
}

fn edit<T: Class>(
    model: &mut Model,
    at: usize,
    first: Option<&str>,
    lexer: &mut Lexer,
    load: Load,
) -> Result<(), Fault> {
    let frequency_hz = model.frequency_hz;
    let mut item = T::table(model).items[at].clone();
    let mut position = 0;
    let mut first = first;
    loop {
        let (name, token) = match first.take() {
            Some(name) => (name, lexer.token().map(|(token, _)| token).unwrap_or_default()),
            None => match lexer.parameter() {
                Some(parameter) => (parameter.name, parameter.value),
                None => break,
            },
        };
        let property = property::<T>(name, &mut position)?;
        let value = Value { property, token: &token };
        match property {
            "like" => {
                item = T::table(model).get(&value.name())?.clone();
                item.forget_buses();
            }
            "enabled" => item.enable(value.switch()?),
            _ if T::INERT.contains(&property) => {}
            _ => {
                let mut context = Context { codes: &model.codes, frequency_hz, load: &mut *load };
                if !item.set(property, value, &mut context)? {
                    let what = format!("property {property} of {}", T::NAME);
                    return Err(Fault::unsupported(what, "leave it out or describe the element without it"));
                }
            }
        }
    }
    item.edited(frequency_hz);
    T::table_mut(model).items[at] = item;
    Ok(())
}

/// Properties that every class has after its own.
const COMMON: [&str; 3] = ["basefreq", "enabled", "like"];

/// The property meant by a name (exact, else the first that begins with it) or by the next position.
fn property<T: Class>(name: &str, position: &mut usize) -> Result<&'static str, Fault> {
    let all = || T::PROPERTIES.iter().chain(&COMMON).copied();
    let unknown = || Fault::UnknownProperty { class: T::NAME, property: name.chars().take(40).collect() };
    if name.is_empty() {
        *position += 1;
        return all().nth(*position - 1).ok_or_else(unknown);
    }
    let lower = name.to_ascii_lowercase();
    let exact = all().position(|property| property == lower);
    let at = exact.or_else(|| all().position(|property| property.starts_with(&lower))).ok_or_else(unknown)?;
    *position = at + 1;
    all().nth(at).ok_or_else(unknown)
}
