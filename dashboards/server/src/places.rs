//! Places at what goes on for long: so many in all, and so many for each who asks, so that nobody takes them all.

use access::Principal;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many there are. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    all_max: usize,
    each_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_name: BTreeMap<String, usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    name: Option<String>,
    taken: Arc<Mutex<Taken>>,
}

/// Why there is none, with the number that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// All are taken.
    Full(usize),
    /// The one who asks has so many.
    Enough(usize),
}

impl Places {
    pub fn new(all_max: usize, each_max: usize) -> Self {
        Self { all_max, each_max, taken: Arc::default() }
    }

    /// Takes one. Whoever has no name (a system without accounts is this machine's only) shares the number of all.
    pub fn take(&self, who: Option<&Principal>) -> Result<Place, NoPlace> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = who.and_then(|who| taken.by_name.get(&who.name)).copied().unwrap_or_default();
        if own >= self.each_max {
            return Err(NoPlace::Enough(self.each_max));
        }
        if taken.all >= self.all_max {
            return Err(NoPlace::Full(self.all_max));
        }
        taken.all += 1;
        let name = who.map(|who| who.name.clone());
        if let Some(name) = &name {
            *taken.by_name.entry(name.clone()).or_default() += 1;
        }
        Ok(Place { name, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        let Some(name) = &self.name else { return };
        if let Some(own) = taken.by_name.get_mut(name) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_name.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use access::{Role, Scope};

    #[test]
    fn one_name_takes_its_own_places_only_and_gives_them_back() {
        let places = Places::new(5, 3);
        let named = |name: &str| Principal {
            name: name.to_owned(),
            roles: vec![Role::Prosumer],
            scope: Scope::Nothing,
            lacks_second_factor: false,
        };
        let (one, other) = (named("one"), named("other"));
        let mut taken: Vec<Place> = (0..3).map(|_| places.take(Some(&one)).unwrap()).collect();
        assert_eq!(places.take(Some(&one)).unwrap_err(), NoPlace::Enough(3));
        taken.push(places.take(Some(&other)).unwrap());
        taken.push(places.take(None).unwrap());
        assert_eq!(places.take(Some(&other)).unwrap_err(), NoPlace::Full(5));
        taken.clear();
        assert!(places.take(Some(&one)).is_ok());
        assert!(places.taken.lock().unwrap().by_name.is_empty());
    }
}
