//! How a node is written in a point map: `ns=2;s=Feeder1.U`, or `nsu=http://vendor.example/rtu;s=Feeder1.U`.

use opcua::types::NodeId;
use std::str::FromStr;
use thiserror::Error;

/// A node of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The name of its namespace; `None`: the number in `node` is meant as it stands.
    pub namespace: Option<String>,
    /// The node; its namespace's number is 0 where the name counts.
    pub node: NodeId,
}

/// Why a text names no node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{reason}; write for example ns=2;s=Feeder1.U, ns=2;i=1001, or with the namespace's name nsu=urn:vendor:rtu;s=Feeder1.U"
)]
pub struct TagError {
    /// What is wrong.
    pub reason: String,
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let wrong = |reason: String| TagError { reason };
        let (namespace, node) = match text.strip_prefix("nsu=") {
            None => (None, text),
            Some(rest) => {
                // A name may hold semicolons; an identifier begins with one of four letters.
                let ends = ["i=", "s=", "g=", "b="].map(|kind| rest.find(&format!(";{kind}")));
                let end = ends.into_iter().flatten().min();
                let end = end.ok_or_else(|| wrong(format!("{text:.60?} has no identifier")))?;
                (Some(rest[..end].to_owned()), &rest[end + 1..])
            }
        };
        if namespace.as_ref().is_some_and(String::is_empty) {
            return Err(wrong("the namespace has no name".to_owned()));
        }
        let node: NodeId = node.parse().map_err(|_| wrong(format!("{text:.60?} is no node")))?;
        Ok(Self { namespace, node })
    }
}

impl Tag {
    /// The node by the numbers of a server's namespaces; `None` when it has no namespace of that name.
    pub fn resolve(&self, namespaces: &[String]) -> Option<NodeId> {
        let Some(name) = &self.namespace else { return Some(self.node.clone()) };
        let number = namespaces.iter().position(|namespace| namespace == name)?;
        Some(NodeId { namespace: u16::try_from(number).ok()?, identifier: self.node.identifier.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opcua::types::Identifier;
    use proptest::prelude::*;

    #[test]
    fn tags_are_read() {
        let tag: Tag = "ns=2;s=Feeder1.U;L1".parse().unwrap();
        assert_eq!(tag, Tag { namespace: None, node: NodeId::new(2, "Feeder1.U;L1") });
        let tag: Tag = "i=2258".parse().unwrap();
        assert_eq!((tag.node.namespace, tag.node.identifier), (0, Identifier::Numeric(2258)));
        let tag: Tag = "nsu=urn:vendor;x:rtu;s=a;i=3".parse().unwrap();
        assert_eq!((tag.namespace.as_deref(), tag.node), (Some("urn:vendor;x:rtu"), NodeId::new(0, "a;i=3")));
    }

    #[test]
    fn a_namespace_is_found_by_its_name() {
        let tag: Tag = "nsu=urn:vendor:rtu;i=7".parse().unwrap();
        let namespaces = ["http://opcfoundation.org/UA/", "urn:server", "urn:vendor:rtu"].map(str::to_owned);
        assert_eq!(tag.resolve(&namespaces), Some(NodeId::new(2, 7)));
        assert_eq!(tag.resolve(&namespaces[..2]), None);
        assert_eq!("ns=9;i=7".parse::<Tag>().unwrap().resolve(&[]), Some(NodeId::new(9, 7)));
    }

    #[test]
    fn what_is_no_tag_is_refused_with_an_example() {
        for text in
            ["", "Feeder1.U", "ns=2", "ns=70000;i=1", "ns=2;i=-1", "ns=2;x=1", "nsu=urn:a", "nsu=;i=1", "g=5"]
        {
            let error = text.parse::<Tag>().unwrap_err().to_string();
            assert!(error.contains("for example"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(nsu?=)?[0-9a-z:;=é]{0,40}") {
            let _ = text.parse::<Tag>();
        }
    }
}
