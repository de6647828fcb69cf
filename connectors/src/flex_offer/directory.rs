//! Foreign names of parties and places, and our numbers for them.

use super::fault::{ReadFault, shown};
use grid::{ProsumerId, UsagePointId};
use std::collections::BTreeMap;

/// Most names of a kind.
const NAMES_MAX: usize = 5_000_000;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 128;

/// Names ⇄ numbers, both ways. Numbers given out begin above those that were registered.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    prosumers: Names,
    places: Names,
    /// Whether places that are not registered are refused.
    closed: bool,
}

#[derive(Debug, Clone, Default)]
struct Names {
    numbers: BTreeMap<String, u32>,
    names: BTreeMap<u32, String>,
    next: u32,
}

impl Directory {
    /// A directory that learns every name it hears.
    pub fn open() -> Self {
        Self::default()
    }

    /// A directory that learns every name it hears and gives parties without a number of their own one from `first` on.
    pub fn open_from(first: u32) -> Self {
        Self { prosumers: Names { next: first, ..Names::default() }, ..Self::default() }
    }

    /// A directory of these places, numbered in their order; other places are refused, parties are learned.
    pub fn of_places<'a>(places: impl IntoIterator<Item = &'a str>) -> Self {
        let mut directory = Self { closed: true, ..Self::default() };
        for place in places {
            directory.places.learn(place);
        }
        directory
    }

    /// Registers a party under a number of ours.
    pub fn register_prosumer(&mut self, name: &str, number: ProsumerId) {
        self.prosumers.register(name, number.0);
    }

    /// Registers a place under a number of ours.
    pub fn register_place(&mut self, name: &str, number: UsagePointId) {
        self.places.register(name, number.0);
    }

    /// The number of a party; a new one for a name that is heard the first time.
    pub fn prosumer(&mut self, name: &str) -> Result<ProsumerId, ReadFault> {
        self.prosumers.find_or_learn(name).map(ProsumerId)
    }

    /// The number of a place; a new one for a name that is heard the first time, unless the places are fixed.
    pub fn place(&mut self, name: &str) -> Result<UsagePointId, ReadFault> {
        match self.closed {
            false => self.places.find_or_learn(name).map(UsagePointId),
            true => match self.places.numbers.get(name) {
                Some(&number) => Ok(UsagePointId(number)),
                None => Err(ReadFault::Location { text: shown(name) }),
            },
        }
    }

    /// A party's foreign name; its number when it has none.
    pub fn prosumer_name(&self, number: ProsumerId) -> String {
        self.prosumers.names.get(&number.0).cloned().unwrap_or_else(|| number.0.to_string())
    }

    /// A place's foreign name; its number when it has none.
    pub fn place_name(&self, number: UsagePointId) -> String {
        self.places.names.get(&number.0).cloned().unwrap_or_else(|| number.0.to_string())
    }
}

impl Names {
    fn register(&mut self, name: &str, number: u32) {
        self.numbers.insert(name.to_owned(), number);
        self.names.insert(number, name.to_owned());
        self.next = self.next.max(number.saturating_add(1));
    }

    fn learn(&mut self, name: &str) -> u32 {
        match self.numbers.get(name) {
            Some(&number) => number,
            None => {
                let number = self.next;
                self.register(name, number);
                number
            }
        }
    }

    fn find_or_learn(&mut self, name: &str) -> Result<u32, ReadFault> {
        if let Some(&number) = self.numbers.get(name) {
            return Ok(number);
        }
        let refuse = |reason: &str| ReadFault::Name { text: shown(name), reason: reason.to_owned() };
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(refuse("1 to 128 bytes are accepted"));
        }
        if self.numbers.len() >= NAMES_MAX {
            return Err(refuse("too many names were heard before"));
        }
        // A name that is a number keeps it, unless it is taken.
        match name.parse::<u32>() {
            Ok(number)
                if number < u32::MAX && number.to_string() == name && !self.names.contains_key(&number) =>
            {
                self.numbers.insert(name.to_owned(), number);
                self.names.insert(number, name.to_owned());
                Ok(number)
            }
            _ => {
                while self.names.contains_key(&self.next) {
                    self.next = self.next.saturating_add(1);
                }
                Ok(self.learn(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers_both_ways() {
        let mut directory = Directory::open();
        assert_eq!(directory.prosumer("7500001").unwrap(), ProsumerId(7_500_001));
        let harry = directory.prosumer("harry@8006").unwrap();
        let zero = directory.prosumer("0").unwrap();
        assert_ne!(harry, zero);
        assert_eq!(directory.prosumer("harry@8006").unwrap(), harry);
        assert_eq!(directory.prosumer_name(harry), "harry@8006");
        assert_eq!(directory.prosumer_name(ProsumerId(9)), "9");
        assert!(directory.prosumer(&"x".repeat(200)).is_err());
        let mut closed = Directory::of_places(["b0", "b1"]);
        assert_eq!(closed.place("b1").unwrap(), UsagePointId(1));
        assert!(matches!(closed.place("b2"), Err(ReadFault::Location { .. })));
    }
}
