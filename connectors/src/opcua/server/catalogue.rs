//! What is shown: folders, variables, and what they hold.

use crate::opcua::decode::date_time;
use grid::Timestamp;
use opcua::types::{
    Array, DataTypeId, DataValue, DateTime, StatusCode, UAString, Variant, VariantScalarTypeId,
};

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogue {
    /// Each after the one it stands in.
    pub folders: Vec<Folder>,
    /// In the order in which their values are published.
    pub variables: Vec<Variable>,
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its node, `s=<id>`; stays the same for ever.
    pub id: String,
    /// What people see.
    pub name: String,
    /// In which folder; `None`: among the server's objects.
    pub parent: Option<String>,
}

/// A variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its node, `s=<id>`; stays the same for ever.
    pub id: String,
    /// What people see.
    pub name: String,
    /// In which folder.
    pub folder: String,
    /// What it holds.
    pub kind: Kind,
    /// What it means, in a sentence.
    pub description: String,
}

/// What a variable holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A double, with its unit and the range it is usually in.
    Number(&'static str, Option<(f64, f64)>),
    /// Yes or no.
    Flag,
    /// Words.
    Text,
    /// An instant.
    Time,
    /// Doubles, with their unit.
    Numbers(&'static str),
    /// Instants.
    Times,
}

impl Kind {
    pub(super) fn data_type(self) -> DataTypeId {
        match self {
            Kind::Number(..) | Kind::Numbers(_) => DataTypeId::Double,
            Kind::Flag => DataTypeId::Boolean,
            Kind::Text => DataTypeId::String,
            Kind::Time | Kind::Times => DataTypeId::UtcTime,
        }
    }

    pub(super) fn is_list(self) -> bool {
        matches!(self, Kind::Numbers(_) | Kind::Times)
    }
}

/// What a variable holds now.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// `None` when nothing is known.
    pub value: Option<Value>,
    /// How far it can be trusted.
    pub standing: Standing,
    /// The instant it describes.
    pub at: Timestamp,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of [`Kind::Number`].
    Number(f64),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Text`].
    Text(String),
    /// Of [`Kind::Time`].
    Time(Timestamp),
    /// Of [`Kind::Numbers`].
    Numbers(Vec<f64>),
    /// Of [`Kind::Times`].
    Times(Vec<Timestamp>),
}

/// How far a value can be trusted; becomes its status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Good.
    Good,
    /// It rests on fewer measurements than it needs and on expectations for the rest: UncertainSubNormal.
    Expected,
    /// Nothing newer came when it should have: UncertainLastUsableValue.
    Old,
    /// Nothing determines it: BadNoData.
    Unknown,
    /// Nothing came yet: BadWaitingForInitialData.
    Waiting,
}

impl Standing {
    fn status(self) -> StatusCode {
        match self {
            Standing::Good => StatusCode::Good,
            Standing::Expected => StatusCode::UncertainSubNormal,
            Standing::Old => StatusCode::UncertainLastUsableValue,
            Standing::Unknown => StatusCode::BadNoData,
            Standing::Waiting => StatusCode::BadWaitingForInitialData,
        }
    }
}

impl Entry {
    /// As it is sent; the server's own time is that of sending.
    pub(super) fn wire(&self) -> DataValue {
        DataValue {
            // Never without a value: the library leaves out the status of what has none, and it would be taken for good.
            value: Some(self.value.as_ref().map_or(Variant::Empty, Value::wire)),
            status: Some(self.standing.status()),
            source_timestamp: Some(date_time(self.at)),
            server_timestamp: Some(DateTime::now()),
            ..DataValue::default()
        }
    }
}

impl Value {
    fn wire(&self) -> Variant {
        let list =
            |kind, values: Vec<Variant>| Array::new(kind, values).map_or(Variant::Empty, Variant::from);
        match self {
            Value::Number(number) => Variant::Double(*number),
            Value::Flag(flag) => Variant::Boolean(*flag),
            Value::Text(text) => Variant::String(UAString::from(text.as_str())),
            Value::Time(time) => Variant::from(date_time(*time)),
            Value::Numbers(numbers) => {
                list(VariantScalarTypeId::Double, numbers.iter().map(|n| Variant::Double(*n)).collect())
            }
            Value::Times(times) => list(
                VariantScalarTypeId::DateTime,
                times.iter().map(|time| Variant::from(date_time(*time))).collect(),
            ),
        }
    }
}
