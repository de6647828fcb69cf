//! Who asks.

use crate::role::Role;
use grid::ProsumerId;
use serde::{Deserialize, Serialize};

/// Whose things are a principal's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Nobody's.
    #[default]
    Nothing,
    /// Those of these prosumers: itself, or a portfolio.
    Prosumers(Vec<ProsumerId>),
    /// Everybody's: the one who sits at the machine.
    Everything,
}

impl Scope {
    /// Whether what belongs to this prosumer is inside.
    pub fn holds(&self, owner: ProsumerId) -> bool {
        match self {
            Self::Nothing => false,
            Self::Prosumers(own) => own.contains(&owner),
            Self::Everything => true,
        }
    }
}

/// Who asks, as far as it was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its name in the directory; what the audit log says.
    pub name: String,
    /// What it may be asked for.
    pub roles: Vec<Role>,
    /// What is its own.
    pub scope: Scope,
    /// Whether it is a person of whom the site wants a [second factor](crate::SECOND_FACTOR) and who has none.
    pub lacks_second_factor: bool,
}

impl Principal {
    /// The one who sits at the machine, where nothing but loopback is served and nobody has an account.
    pub fn local() -> Self {
        let roles = Role::ALL.into_iter().filter(|role| *role != Role::SecurityAdmin).collect();
        Self { name: "local".to_owned(), roles, scope: Scope::Everything, lacks_second_factor: false }
    }
}
