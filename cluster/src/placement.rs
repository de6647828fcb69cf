//! How many areas each member serves: as even as can be, and never none because of that.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an area that nobody serves is left to members that serve fewer.
pub const DEFER: Duration = Duration::from_millis(700);

/// What a member says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Areas it can serve at once: it has a copy that is up to date, and nothing is wrong with it.
    pub may: Vec<String>,
    /// Areas it serves.
    pub serves: Vec<String>,
}

/// What is known of the members that live.
pub type Members = BTreeMap<String, Announcement>;

/// Whether a member should take an area that nobody has served for `vacant`.
pub fn should_take(members: &Members, member: &str, area: &str, vacant: Duration) -> bool {
    vacant >= DEFER || {
        let serves = |of: &Announcement| of.serves.len();
        let mine = members.get(member).map_or(0, serves);
        let others =
            members.iter().filter(|(name, other)| *name != member && other.may.iter().any(|may| may == area));
        // Of those that serve as few, the first by name of member and area: each area has another first one.
        let rank = |name: &str| fnv(name.bytes().chain(area.bytes()));
        others.map(|(name, other)| (serves(other), rank(name))).all(|other| (mine, rank(member)) < other)
    }
}

/// An area that a member should hand to another one, which serves at least two fewer.
pub fn should_leave(members: &Members, member: &str) -> Option<String> {
    let me = members.get(member)?;
    let lighter = |area: &&String| {
        members.iter().any(|(name, other)| {
            name != member && other.may.contains(area) && other.serves.len() + 2 <= me.serves.len()
        })
    };
    me.serves.iter().rev().find(lighter).cloned()
}

fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(of: &[(&str, &[&str])]) -> Members {
        let may: Vec<String> = ["a", "b", "c", "d"].map(String::from).into();
        let serves = |areas: &[&str]| areas.iter().map(|area| (*area).to_owned()).collect();
        of.iter()
            .map(|(name, areas)| {
                ((*name).to_owned(), Announcement { may: may.clone(), serves: serves(areas) })
            })
            .collect()
    }

    #[test]
    fn exactly_one_member_takes_a_free_area_at_once_and_it_serves_fewest() {
        let members = members(&[("one", &["a"]), ("two", &[]), ("three", &[]), ("four", &["b", "c"])]);
        let takers: Vec<_> =
            members.keys().filter(|member| should_take(&members, member, "d", Duration::ZERO)).collect();
        assert_eq!(takers.len(), 1);
        assert!(takers[0] == "two" || takers[0] == "three");
    }

    #[test]
    fn after_a_while_anybody_takes_it() {
        let members = members(&[("one", &["a", "b", "c"]), ("two", &[])]);
        assert!(!should_take(&members, "one", "d", Duration::ZERO));
        assert!(should_take(&members, "one", "d", DEFER));
        assert!(should_take(&Members::new(), "one", "d", DEFER));
    }

    #[test]
    fn areas_are_handed_on_until_they_are_even_and_no_further() {
        let uneven = members(&[("one", &["a", "b", "c"]), ("two", &[]), ("three", &["d"])]);
        assert_eq!(should_leave(&uneven, "one"), Some("c".into()));
        let even = members(&[("one", &["a", "b"]), ("two", &["c"]), ("three", &["d"])]);
        assert!(even.keys().all(|member| should_leave(&even, member).is_none()));
    }
}
