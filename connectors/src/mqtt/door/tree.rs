//! Who subscribed to what, as a tree of topic levels: finding the subscribers of a topic costs its levels, not the
//! number of filters.

use super::filter::LevelsOf;
use rumqttc::mqttbytes::QoS;
use std::collections::BTreeMap;

/// Number of a session.
pub(super) type SessionKey = u64;
/// Sessions with the best quality of service each is to receive.
pub(super) type Receivers = BTreeMap<SessionKey, QoS>;

#[derive(Debug, Default)]
pub(super) struct Tree {
    /// By next level; `+` is a level like others.
    children: BTreeMap<Box<str>, Tree>,
    /// Filters that end here.
    here: Receivers,
    /// Filters that end here with `#`.
    below: Receivers,
}

impl Tree {
    /// Adds a subscription or changes its quality of service.
    pub(super) fn insert(&mut self, filter: &str, session: SessionKey, qos: QoS) {
        let mut node = self;
        for level in filter.split('/') {
            if level == "#" {
                node.below.insert(session, qos);
                return;
            }
            node = node.children.entry(level.into()).or_default();
        }
        node.here.insert(session, qos);
    }

    /// Removes a subscription and the branches that nobody needs any more.
    pub(super) fn remove(&mut self, filter: &str, session: SessionKey) {
        let mut levels = filter.split('/');
        self.remove_below(&mut levels, session);
    }

    fn remove_below(&mut self, levels: &mut LevelsOf<'_>, session: SessionKey) {
        match levels.next() {
            None => {
                self.here.remove(&session);
            }
            Some("#") => {
                self.below.remove(&session);
            }
            Some(level) => {
                let Some(child) = self.children.get_mut(level) else { return };
                child.remove_below(levels, session);
                if child.is_empty() {
                    self.children.remove(level);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty() && self.below.is_empty()
    }

    /// Everyone who subscribed to a topic. It must not begin with `$`.
    pub(super) fn receivers(&self, topic: &str) -> Receivers {
        let mut found = Receivers::new();
        self.collect(topic.split('/'), &mut found);
        found
    }

    fn collect(&self, mut levels: LevelsOf<'_>, found: &mut Receivers) {
        add(found, &self.below);
        let Some(level) = levels.next() else { return add(found, &self.here) };
        for name in [level, "+"] {
            if let Some(child) = self.children.get(name) {
                child.collect(levels.clone(), found);
            }
        }
    }
}

fn add(found: &mut Receivers, more: &Receivers) {
    for (&session, &qos) in more {
        let best = found.entry(session).or_insert(qos);
        if *best < qos {
            *best = qos;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::matches;
    use super::*;
    use proptest::prelude::*;

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "", "+"])
    }

    fn filter() -> impl Strategy<Value = String> {
        (prop::collection::vec(level(), 1..4), any::<bool>()).prop_map(|(levels, below)| {
            let text = levels.join("/");
            if below { format!("{text}/#") } else { text }
        })
    }

    proptest! {
        #[test]
        fn the_tree_finds_whom_the_filters_match(
            filters in prop::collection::vec(filter(), 0..12),
            gone in prop::collection::vec(any::<bool>(), 12),
            topic in prop::collection::vec(prop::sample::select(vec!["a", "b", ""]), 1..5),
        ) {
            let topic = topic.join("/");
            let mut tree = Tree::default();
            for (session, filter) in filters.iter().enumerate() {
                tree.insert(filter, session as u64, QoS::AtLeastOnce);
            }
            let mut expected = Vec::new();
            for (session, filter) in filters.iter().enumerate() {
                if gone[session] {
                    tree.remove(filter, session as u64);
                } else if !topic.is_empty() && matches(filter, &topic) {
                    expected.push(session as u64);
                }
            }
            if !topic.is_empty() {
                prop_assert_eq!(tree.receivers(&topic).into_keys().collect::<Vec<_>>(), expected);
            }
            for (session, filter) in filters.iter().enumerate() {
                tree.remove(filter, session as u64);
            }
            prop_assert!(tree.is_empty());
        }
    }

    #[test]
    fn overlapping_filters_deliver_once_at_the_better_quality() {
        let mut tree = Tree::default();
        tree.insert("a/#", 1, QoS::AtMostOnce);
        tree.insert("a/+", 1, QoS::AtLeastOnce);
        assert_eq!(tree.receivers("a/b").into_iter().collect::<Vec<_>>(), [(1, QoS::AtLeastOnce)]);
    }
}
