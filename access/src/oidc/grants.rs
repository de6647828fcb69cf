//! What people get by the groups their provider puts them into.

use crate::principal::Scope;
use crate::role::Role;
use grid::ProsumerId;
use std::collections::BTreeSet;
use thiserror::Error;

/// A row of the table: whoever is in the group has the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupGrant {
    /// The group, as the provider writes it.
    pub group: String,
    /// What its members may be asked for.
    pub role: Role,
    /// Whose things are their own.
    pub prosumers: Vec<ProsumerId>,
}

/// The table. What no row names gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(pub Vec<GroupGrant>);

/// Why somebody gets no role.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoGrant {
    /// No row names one of its groups.
    #[error("none of your groups has a role here")]
    Nothing,
    /// Rows give it roles that nobody has together.
    #[error("your groups make you both {0} and {1}, which nobody is: {2}")]
    Conflict(Role, Role, &'static str),
}

impl NoGrant {
    /// One word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nothing => "no_role",
            Self::Conflict(..) => "role_conflict",
        }
    }
}

impl Grants {
    /// Roles and scope of somebody who is in these groups.
    ///
    /// # Errors
    /// [`NoGrant`].
    pub fn of(&self, groups: &[String]) -> Result<(Vec<Role>, Scope), NoGrant> {
        let rows = self.0.iter().filter(|row| groups.contains(&row.group));
        let (mut roles, mut own) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            roles.insert(row.role);
            own.extend(row.prosumers.iter().copied());
        }
        let roles: Vec<Role> = roles.into_iter().collect();
        if roles.is_empty() {
            return Err(NoGrant::Nothing);
        }
        if let Some((one, other, reason)) = Role::conflict(&roles) {
            return Err(NoGrant::Conflict(one, other, reason));
        }
        let scope = if own.is_empty() { Scope::Nothing } else { Scope::Prosumers(own.into_iter().collect()) };
        Ok((roles, scope))
    }
}
