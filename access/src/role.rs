//! Roles.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A role: those of IEC 62351-8 where it has one, and those of the market beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the grid (OPERATOR).
    Operator,
    /// Keeps the grid model (ENGINEER).
    Engineer,
    /// Runs the market.
    MarketOperator,
    /// Trades for a portfolio of prosumers.
    Aggregator,
    /// Trades for itself.
    Prosumer,
    /// Reads what names nobody: figures of the system, aggregates (VIEWER).
    Viewer,
    /// Reads everything that was done, and the audit log (SECAUD).
    Auditor,
    /// Grants rights, and sees no data of the market or of meters (SECADM, RBACMNT).
    SecurityAdmin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Operator,
        Self::Engineer,
        Self::MarketOperator,
        Self::Aggregator,
        Self::Prosumer,
        Self::Viewer,
        Self::Auditor,
        Self::SecurityAdmin,
    ];

    /// Its name in IEC 62351-8; `None` for a role of the market.
    pub fn iec(self) -> Option<&'static str> {
        match self {
            Self::Operator => Some("OPERATOR"),
            Self::Engineer => Some("ENGINEER"),
            Self::Viewer => Some("VIEWER"),
            Self::Auditor => Some("SECAUD"),
            Self::SecurityAdmin => Some("SECADM"),
            Self::MarketOperator | Self::Aggregator | Self::Prosumer => None,
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.to_string() == name)
    }

    /// Two of these roles that nobody has both, with the reason.
    pub fn conflict(roles: &[Self]) -> Option<(Self, Self, &'static str)> {
        let admin = roles.contains(&Self::SecurityAdmin);
        let other = roles.iter().copied().find(|role| *role != Self::SecurityAdmin);
        match (admin, other) {
            (true, Some(other)) => {
                Some((Self::SecurityAdmin, other, "whoever grants rights does not use them"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Engineer => "engineer",
            Self::MarketOperator => "market-operator",
            Self::Aggregator => "aggregator",
            Self::Prosumer => "prosumer",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::SecurityAdmin => "security-admin",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_written_as_it_is_read() {
        for role in Role::ALL {
            assert_eq!(Role::named(&role.to_string()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.to_string());
        }
        assert_eq!(Role::named("root"), None);
    }

    #[test]
    fn whoever_grants_rights_has_no_other_role() {
        assert_eq!(Role::conflict(&[Role::SecurityAdmin]), None);
        assert_eq!(Role::conflict(&[Role::Operator, Role::Auditor]), None);
        assert!(Role::conflict(&[Role::Operator, Role::SecurityAdmin]).is_some());
    }
}
