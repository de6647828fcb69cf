//! What is wrong with an OpenDSS script.

use grid::NetworkError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a script was refused.
#[derive(Debug, Error)]
pub enum OpenDssError {
    /// The operating system does not give a file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A line that is not understood.
    #[error("{}, line {line}: {fault}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong.
        fault: Fault,
    },
    /// The elements together make no sense.
    #[error("{0}")]
    Circuit(#[from] Fault),
    /// The elements do not make a network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// What is wrong with a line or an element.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Fault {
    /// A command that OpenDSS does not have either.
    #[error("{0:?} is no command")]
    UnknownCommand(String),
    /// A command, option, class, property or value that changes the circuit in a way that is not read.
    #[error("{what} is not supported; {advice}")]
    Unsupported {
        /// What it is.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// An option of `set` that OpenDSS does not have.
    #[error("{0:?} is no option")]
    UnknownOption(String),
    /// A class of elements that OpenDSS does not have.
    #[error("{0:?} is no class of elements")]
    UnknownClass(String),
    /// A property its class does not have.
    #[error("{class} has no property {property:?}")]
    UnknownProperty {
        /// The class.
        class: &'static str,
        /// As written.
        property: String,
    },
    /// An element that was not defined before.
    #[error("{class}.{name} is not defined")]
    Missing {
        /// Its class.
        class: String,
        /// Its name.
        name: String,
    },
    /// An element that was defined before.
    #[error("{class}.{name} is defined twice")]
    Twice {
        /// Its class.
        class: &'static str,
        /// Its name.
        name: String,
    },
    /// A value of the wrong kind.
    #[error("{property}: {value:?} is no {expected}")]
    Value {
        /// Of which property.
        property: String,
        /// As written, shortened.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A property of an element that does not go together with others.
    #[error("{element}: {reason}")]
    Element {
        /// Class and name.
        element: String,
        /// What is wrong.
        reason: String,
    },
    /// Something before the circuit was named.
    #[error("there is no circuit yet")]
    NoCircuit,
    /// `~` without an element before.
    #[error("there is no element to continue")]
    NothingActive,
    /// A limit of this reader.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
    /// A file that cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says, or why it is refused.
        reason: String,
    },
}

impl Fault {
    /// Something that is not read, and what to do about it.
    pub(super) fn unsupported(what: impl Into<String>, advice: &'static str) -> Self {
        Fault::Unsupported { what: what.into(), advice }
    }

    /// A value of the wrong kind.
    pub(super) fn value(property: &str, value: &str, expected: &'static str) -> Self {
        Fault::Value { property: property.to_owned(), value: value.chars().take(40).collect(), expected }
    }
}
