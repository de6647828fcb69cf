//! Topics of Sparkplug B, `spBv1.0/group/KIND/node/device`, and how a metric is written in a point map:
//! `spBv1.0/group/node/device#metric`.

use crate::mqtt::door::filter::is_topic;

/// What every topic begins with.
pub(super) const NAMESPACE: &str = "spBv1.0";

/// An edge node: what connects to the broker, and in whose order messages are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeNode {
    /// Its group.
    pub group: String,
    /// Its own name.
    pub name: String,
}

/// A metric of a node, or of a device behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricTag {
    /// Whose.
    pub node: EdgeNode,
    /// Behind it; `None`: the node's own.
    pub device: Option<String>,
    /// Its name, which may have any character.
    pub metric: String,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All that there is, and its values.
    Birth,
    /// What has changed.
    Data,
    /// Nothing more will come.
    Death,
}

impl MetricTag {
    /// Whether a tag is meant to be one of a metric.
    pub fn is_meant(text: &str) -> bool {
        text.strip_prefix(NAMESPACE).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Reads a tag.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = |reason: &str| {
            format!("{reason}; write {NAMESPACE}/group/node#metric or {NAMESPACE}/group/node/device#metric")
        };
        let (place, metric) = text.split_once('#').ok_or_else(|| wrong("no metric is named"))?;
        if metric.is_empty() {
            return Err(wrong("no metric is named"));
        }
        if !is_topic(place) {
            return Err(wrong("wildcards cannot be read"));
        }
        let mut levels = place.split('/').skip(1).map(str::to_owned);
        let (Some(group), Some(name), device, None) =
            (levels.next(), levels.next(), levels.next(), levels.next())
        else {
            return Err(wrong("a group, a node and perhaps a device are named"));
        };
        if [Some(&group), Some(&name), device.as_ref()].into_iter().flatten().any(String::is_empty) {
            return Err(wrong("a name is empty"));
        }
        if matches!(name.as_str(), "NDATA" | "DDATA" | "NBIRTH" | "DBIRTH") {
            return Err(wrong("the kind of message is left out"));
        }
        Ok(Self { node: EdgeNode { group, name }, device, metric: metric.to_owned() })
    }
}

impl EdgeNode {
    /// What is subscribed to, so that nothing that counts is missed.
    pub fn filters(&self) -> [String; 6] {
        let Self { group, name } = self;
        let own = |kind: &str| format!("{NAMESPACE}/{group}/{kind}/{name}");
        let of_devices = |kind: &str| format!("{NAMESPACE}/{group}/{kind}/{name}/+");
        [
            own("NBIRTH"),
            own("NDATA"),
            own("NDEATH"),
            of_devices("DBIRTH"),
            of_devices("DDATA"),
            of_devices("DDEATH"),
        ]
    }

    /// Where it hears commands.
    pub fn commands(&self) -> String {
        format!("{NAMESPACE}/{}/NCMD/{}", self.group, self.name)
    }
}

/// Whose message it is, of which kind, and of which device; `None`: no topic that was asked for.
pub(super) fn read(topic: &str) -> Option<(EdgeNode, Kind, Option<&str>)> {
    let mut levels = topic.split('/');
    let (NAMESPACE, group, kind, name) = (levels.next()?, levels.next()?, levels.next()?, levels.next()?)
    else {
        return None;
    };
    let (device, None) = (levels.next(), levels.next()) else { return None };
    let (who, kind) = kind.split_at_checked(1)?;
    let kind = match kind {
        "BIRTH" => Kind::Birth,
        "DATA" => Kind::Data,
        "DEATH" => Kind::Death,
        _ => return None,
    };
    let fits = matches!((who, device), ("N", None) | ("D", Some(_)));
    fits.then(|| (EdgeNode { group: group.to_owned(), name: name.to_owned() }, kind, device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node() -> EdgeNode {
        EdgeNode { group: "north".into(), name: "cellar".into() }
    }

    #[test]
    fn tags_are_read_or_refused_with_the_reason() {
        let tag = MetricTag::read("spBv1.0/north/cellar/meter 7#Power/Phase A#total").unwrap();
        assert_eq!((&tag.node, tag.device.as_deref()), (&node(), Some("meter 7")));
        assert_eq!(tag.metric, "Power/Phase A#total");
        assert_eq!(MetricTag::read("spBv1.0/north/cellar#u").unwrap().device, None);
        for (text, reason) in [
            ("spBv1.0/north/cellar", "no metric"),
            ("spBv1.0/north/cellar#", "no metric"),
            ("spBv1.0/north#u", "a group, a node"),
            ("spBv1.0/north/cellar/meter/u#u", "a group, a node"),
            ("spBv1.0/north/+#u", "wildcards"),
            ("spBv1.0//cellar#u", "empty"),
            ("spBv1.0/north/DDATA/cellar#u", "left out"),
        ] {
            let said = MetricTag::read(text).unwrap_err();
            assert!(said.contains(reason) && said.contains("group/node"), "{text}: {said}");
        }
        assert!(MetricTag::is_meant("spBv1.0/x") && !MetricTag::is_meant("spBv1.01/x"));
    }

    #[test]
    fn topics_are_those_that_are_subscribed_to() {
        assert_eq!(read("spBv1.0/north/NBIRTH/cellar"), Some((node(), Kind::Birth, None)));
        assert_eq!(read("spBv1.0/north/DDATA/cellar/m"), Some((node(), Kind::Data, Some("m"))));
        for topic in [
            "spBv1.0/north/NBIRTH/cellar/m",
            "spBv1.0/north/DDATA/cellar",
            "spBv1.0/north/NCMD/cellar",
            "spBv1.0/STATE/x",
            "x",
            "",
        ] {
            assert_eq!(read(topic), None, "{topic}");
        }
        for filter in node().filters() {
            assert!(read(&filter.replace('+', "m")).is_some_and(|(whose, ..)| whose == node()), "{filter}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(spBv1.0/)?[A-Za-z/#+0-9]{0,40}") {
            let _ = (MetricTag::read(&text), read(&text));
        }
    }
}
