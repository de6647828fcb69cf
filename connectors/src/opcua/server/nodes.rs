//! Nodes of folders and variables. Units and ranges are nodes too; variables of the same unit and range share them.

use super::catalogue::{Catalogue, Kind, Variable};
use opcua::nodes::NodeType;
use opcua::server::address_space::{AddressSpace, ObjectBuilder, VariableBuilder};
use opcua::types::{
    DataTypeId, DataValue, EUInformation, ExtensionObject, LocalizedText, NodeId, ObjectId, ObjectTypeId,
    QualifiedName, Range, StatusCode, VariableTypeId, Variant,
};
use std::collections::BTreeSet;

/// Where the codes of units come from.
const UNITS: &str = "http://www.opcfoundation.org/UA/units/un/cefact";

/// The nodes of variables, in the order of the catalogue.
pub(super) struct Nodes(Vec<NodeId>);

impl Nodes {
    /// Makes all nodes.
    pub fn new(catalogue: &Catalogue, namespace: u16, space: &mut AddressSpace) -> Self {
        let node = |id: &str| NodeId::new(namespace, id);
        let name = |name: &str| QualifiedName::new(namespace, name);
        for folder in &catalogue.folders {
            let parent = folder.parent.as_deref().map_or(NodeId::from(ObjectId::ObjectsFolder), node);
            ObjectBuilder::new(&node(&folder.id), name(&folder.name), folder.name.as_str())
                .has_type_definition(ObjectTypeId::FolderType)
                .organized_by(parent)
                .insert(space);
        }
        let mut properties = BTreeSet::new();
        let ids = catalogue.variables.iter().map(|variable| {
            let id = node(&variable.id);
            let mut builder = VariableBuilder::new(&id, name(&variable.name), variable.name.as_str())
                .description(variable.description.as_str())
                .data_type(variable.kind.data_type())
                .value_rank(if variable.kind.is_list() { 1 } else { -1 })
                .component_of(node(&variable.folder));
            let units = units(variable, space, namespace, &mut properties);
            let kind = if units.len() == 2 {
                VariableTypeId::AnalogItemType
            } else if units.is_empty() {
                VariableTypeId::BaseDataVariableType
            } else {
                VariableTypeId::BaseAnalogType
            };
            builder = builder.has_type_definition(kind);
            for unit in units {
                builder = builder.has_property(unit);
            }
            builder.insert(space);
            if let Some(NodeType::Variable(made)) = space.find_mut(&id) {
                made.set_data_value(DataValue {
                    value: Some(Variant::Empty),
                    status: Some(StatusCode::BadWaitingForInitialData),
                    ..DataValue::default()
                });
            }
            id
        });
        Self(ids.collect())
    }

    /// The node of a variable.
    pub fn id(&self, variable: usize) -> &NodeId {
        &self.0[variable]
    }
}

/// The nodes of a variable's unit and range, made where they are not there yet.
fn units(
    variable: &Variable,
    space: &mut AddressSpace,
    namespace: u16,
    made: &mut BTreeSet<String>,
) -> Vec<NodeId> {
    let (unit, range) = match variable.kind {
        Kind::Number(unit, range) => (unit, range),
        Kind::Numbers(unit) => (unit, None),
        _ => return Vec::new(),
    };
    let mut nodes = Vec::new();
    if !unit.is_empty() {
        let id = format!("unit.{unit}");
        let node = NodeId::new(namespace, id.as_str());
        if made.insert(id) {
            let information = EUInformation {
                namespace_uri: UNITS.into(),
                unit_id: unit_code(unit),
                display_name: LocalizedText::new("", unit),
                description: LocalizedText::new("", unit),
            };
            property(space, &node, "EngineeringUnits", DataTypeId::EUInformation, information);
        }
        nodes.push(node);
    }
    if let Some((low, high)) = range {
        let id = format!("range.{low}.{high}");
        let node = NodeId::new(namespace, id.as_str());
        if made.insert(id) {
            property(space, &node, "EURange", DataTypeId::Range, Range { low, high });
        }
        nodes.push(node);
    }
    nodes
}

fn property<T>(space: &mut AddressSpace, node: &NodeId, name: &str, kind: DataTypeId, value: T)
where
    T: opcua::types::DynEncodable,
{
    VariableBuilder::new(node, QualifiedName::new(0, name), name)
        .data_type(kind)
        .value(Variant::from(ExtensionObject::from_message(value)))
        .has_type_definition(VariableTypeId::PropertyType)
        .insert(space);
}

/// The code of UN/CEFACT recommendation 20 as OPC UA writes it: its letters as bytes of a number. −1: it has none.
fn unit_code(unit: &str) -> i32 {
    let code = match unit {
        "V" => "VLT",
        "A" => "AMP",
        "W" => "WTT",
        "var" => "D44",
        "%" => "P1",
        "s" => "SEC",
        _ => return -1,
    };
    code.bytes().fold(0, |number, byte| number << 8 | i32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_the_codes_that_the_foundation_lists() {
        assert_eq!(["V", "A", "W", "%", "x"].map(unit_code), [5_655_636, 4_279_632, 5_723_220, 20_529, -1]);
    }
}
