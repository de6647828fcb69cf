//! The policy: one table, and the one function that reads it.

use crate::principal::Principal;
use crate::role::Role;
use grid::ProsumerId;
use std::fmt;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Whether the process runs, the description of the interface, the page's files and the way to log in: nothing secret.
    Open,
    /// One's own session.
    Session,
    /// The network as it is drawn.
    Network,
    /// Estimate, forecast, needs and what was traded, as the page shows them.
    Picture,
    /// How much of what was measured, metered and estimated is kept.
    History,
    /// Values of measurement points, kept or new; those of a usage point and its devices belong to a prosumer.
    Measurement,
    /// What usage points are expected to take; belongs to a prosumer.
    Forecast,
    /// How warm the air was and will be.
    Weather,
    /// What an offer is judged by; belongs to a prosumer.
    Validation,
    /// Orders to a prosumer's devices, and its answers to them.
    Schedule,
    /// A FlexOffer; belongs to a prosumer.
    FlexOffer,
    /// What the DSO asks for, and what was bought for it.
    Bid,
    /// What a prosumer gets for a month of delegated trading; belongs to it.
    Bill,
    /// A value under a key; belongs to the account that put it first.
    KeyValue,
    /// What prosumers contribute to compare themselves with; a contribution belongs to a prosumer.
    Benchmark,
    /// An indicator of the site, with its goal and alarm.
    Indicator,
    /// Counters and times of the system.
    Metrics,
    /// Messages that were set aside.
    Quarantine,
}

/// What is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Look.
    Read,
    /// Make a new one.
    Create,
    /// Change or use it.
    Act,
}

/// How far a grant reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every one of them.
    All,
    /// Those in the principal's scope.
    Own,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Of what.
    pub resource: Resource,
    /// What may be done.
    pub action: Action,
    /// By whom; `None`: by anybody, also without a name.
    pub role: Option<Role>,
    /// How far.
    pub reach: Reach,
}

const fn anybody(resource: Resource, action: Action) -> Grant {
    Grant { resource, action, role: None, reach: Reach::All }
}

const fn all(resource: Resource, action: Action, role: Role) -> Grant {
    Grant { resource, action, role: Some(role), reach: Reach::All }
}

const fn own(resource: Resource, action: Action, role: Role) -> Grant {
    Grant { resource, action, role: Some(role), reach: Reach::Own }
}

/// Everything that is allowed. What no row names is denied.
pub const POLICY: &[Grant] = &[
    anybody(Resource::Open, Action::Read),
    anybody(Resource::Session, Action::Create),
    anybody(Resource::Session, Action::Act),
    anybody(Resource::Session, Action::Read),
    all(Resource::Network, Action::Read, Role::Operator),
    all(Resource::Network, Action::Read, Role::Engineer),
    all(Resource::Network, Action::Read, Role::Auditor),
    all(Resource::Picture, Action::Read, Role::Operator),
    all(Resource::Picture, Action::Read, Role::Engineer),
    all(Resource::Picture, Action::Read, Role::Auditor),
    all(Resource::History, Action::Read, Role::Operator),
    all(Resource::History, Action::Read, Role::Engineer),
    all(Resource::History, Action::Read, Role::Auditor),
    all(Resource::Measurement, Action::Read, Role::Operator),
    all(Resource::Measurement, Action::Read, Role::Engineer),
    all(Resource::Measurement, Action::Read, Role::Auditor),
    own(Resource::Measurement, Action::Read, Role::Aggregator),
    own(Resource::Measurement, Action::Read, Role::Prosumer),
    own(Resource::Measurement, Action::Create, Role::Aggregator),
    own(Resource::Measurement, Action::Create, Role::Prosumer),
    all(Resource::Forecast, Action::Read, Role::Operator),
    all(Resource::Forecast, Action::Read, Role::Engineer),
    all(Resource::Forecast, Action::Read, Role::Auditor),
    own(Resource::Forecast, Action::Read, Role::Aggregator),
    own(Resource::Forecast, Action::Read, Role::Prosumer),
    all(Resource::Weather, Action::Read, Role::Operator),
    all(Resource::Weather, Action::Read, Role::Engineer),
    all(Resource::Weather, Action::Read, Role::MarketOperator),
    all(Resource::Weather, Action::Read, Role::Aggregator),
    all(Resource::Weather, Action::Read, Role::Prosumer),
    all(Resource::Weather, Action::Read, Role::Viewer),
    all(Resource::Weather, Action::Read, Role::Auditor),
    all(Resource::Weather, Action::Create, Role::Operator),
    all(Resource::Weather, Action::Create, Role::Engineer),
    all(Resource::Validation, Action::Read, Role::Operator),
    all(Resource::Validation, Action::Read, Role::MarketOperator),
    all(Resource::Validation, Action::Read, Role::Auditor),
    own(Resource::Validation, Action::Read, Role::Aggregator),
    own(Resource::Validation, Action::Read, Role::Prosumer),
    own(Resource::Schedule, Action::Act, Role::Aggregator),
    own(Resource::Schedule, Action::Act, Role::Prosumer),
    all(Resource::FlexOffer, Action::Read, Role::Operator),
    all(Resource::FlexOffer, Action::Read, Role::MarketOperator),
    all(Resource::FlexOffer, Action::Read, Role::Auditor),
    own(Resource::FlexOffer, Action::Read, Role::Aggregator),
    own(Resource::FlexOffer, Action::Read, Role::Prosumer),
    own(Resource::FlexOffer, Action::Create, Role::Aggregator),
    own(Resource::FlexOffer, Action::Create, Role::Prosumer),
    own(Resource::FlexOffer, Action::Act, Role::Aggregator),
    own(Resource::FlexOffer, Action::Act, Role::Prosumer),
    all(Resource::Bid, Action::Read, Role::Operator),
    all(Resource::Bid, Action::Read, Role::MarketOperator),
    all(Resource::Bid, Action::Read, Role::Aggregator),
    all(Resource::Bid, Action::Read, Role::Auditor),
    all(Resource::Bid, Action::Create, Role::Aggregator),
    all(Resource::Bill, Action::Read, Role::MarketOperator),
    all(Resource::Bill, Action::Read, Role::Auditor),
    own(Resource::Bill, Action::Read, Role::Aggregator),
    own(Resource::Bill, Action::Read, Role::Prosumer),
    all(Resource::KeyValue, Action::Read, Role::Operator),
    all(Resource::KeyValue, Action::Read, Role::Engineer),
    all(Resource::KeyValue, Action::Read, Role::MarketOperator),
    all(Resource::KeyValue, Action::Read, Role::Aggregator),
    all(Resource::KeyValue, Action::Read, Role::Prosumer),
    all(Resource::KeyValue, Action::Read, Role::Viewer),
    all(Resource::KeyValue, Action::Read, Role::Auditor),
    all(Resource::KeyValue, Action::Create, Role::Operator),
    all(Resource::KeyValue, Action::Create, Role::Engineer),
    all(Resource::KeyValue, Action::Create, Role::MarketOperator),
    all(Resource::KeyValue, Action::Create, Role::Aggregator),
    all(Resource::KeyValue, Action::Create, Role::Prosumer),
    all(Resource::KeyValue, Action::Act, Role::Operator),
    all(Resource::KeyValue, Action::Act, Role::Engineer),
    all(Resource::KeyValue, Action::Act, Role::MarketOperator),
    all(Resource::KeyValue, Action::Act, Role::Aggregator),
    all(Resource::KeyValue, Action::Act, Role::Prosumer),
    all(Resource::Benchmark, Action::Read, Role::Operator),
    all(Resource::Benchmark, Action::Read, Role::MarketOperator),
    all(Resource::Benchmark, Action::Read, Role::Aggregator),
    all(Resource::Benchmark, Action::Read, Role::Prosumer),
    all(Resource::Benchmark, Action::Read, Role::Viewer),
    all(Resource::Benchmark, Action::Read, Role::Auditor),
    own(Resource::Benchmark, Action::Create, Role::Aggregator),
    own(Resource::Benchmark, Action::Create, Role::Prosumer),
    all(Resource::Indicator, Action::Read, Role::Operator),
    all(Resource::Indicator, Action::Read, Role::Engineer),
    all(Resource::Indicator, Action::Read, Role::MarketOperator),
    all(Resource::Indicator, Action::Read, Role::Viewer),
    all(Resource::Indicator, Action::Read, Role::Auditor),
    all(Resource::Indicator, Action::Create, Role::Operator),
    all(Resource::Indicator, Action::Create, Role::MarketOperator),
    all(Resource::Indicator, Action::Act, Role::Operator),
    all(Resource::Metrics, Action::Read, Role::Operator),
    all(Resource::Metrics, Action::Read, Role::Viewer),
    all(Resource::Metrics, Action::Read, Role::Auditor),
    all(Resource::Quarantine, Action::Read, Role::Operator),
    all(Resource::Quarantine, Action::Read, Role::Auditor),
    all(Resource::Quarantine, Action::Act, Role::Operator),
];

/// What a site may want a second factor of people for: what binds or orders a device, buys, sells, or shows what was paid
/// (commands and settlement; keys are not within reach of any door).
pub const SECOND_FACTOR: &[(Resource, Action)] = &[
    (Resource::Schedule, Action::Act),
    (Resource::FlexOffer, Action::Create),
    (Resource::FlexOffer, Action::Act),
    (Resource::Bid, Action::Create),
    (Resource::Bill, Action::Read),
    (Resource::Indicator, Action::Act),
    (Resource::Quarantine, Action::Act),
];

/// What [`decide`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// Nobody in particular asks, and it is not for everybody.
    Unknown,
    /// It may not: no role of its own has a row.
    Forbidden,
    /// It might, were it its own.
    NotOwn,
    /// It might, had it a second factor.
    SecondFactor,
}

/// Whether a principal (`None`: somebody who proved nothing) may do this. `owner` is whose it is, where that is known
/// already; without one, a grant of one's own is enough for now, and the door asks again when it knows the owner.
pub fn decide(
    principal: Option<&Principal>,
    resource: Resource,
    action: Action,
    owner: Option<ProsumerId>,
) -> Decision {
    let allowed = match principal {
        Some(somebody) if somebody.lacks_second_factor && SECOND_FACTOR.contains(&(resource, action)) => {
            Decision::SecondFactor
        }
        _ => Decision::Allowed,
    };
    let rows = POLICY.iter().filter(|grant| grant.resource == resource && grant.action == action);
    let mut decision = if principal.is_some() { Decision::Forbidden } else { Decision::Unknown };
    for grant in rows {
        let Some(role) = grant.role else { return Decision::Allowed };
        let Some(principal) = principal.filter(|principal| principal.roles.contains(&role)) else { continue };
        match grant.reach {
            Reach::All => return allowed,
            Reach::Own if owner.is_none_or(|owner| principal.scope.holds(owner)) => return allowed,
            Reach::Own => decision = Decision::NotOwn,
        }
    }
    decision
}

/// Whether a principal may do this with every one of them, whosever it is.
pub fn reaches_all(principal: Option<&Principal>, resource: Resource, action: Action) -> bool {
    let rows = POLICY.iter().filter(|grant| (grant.resource, grant.action) == (resource, action));
    let mut all = rows.filter(|grant| grant.reach == Reach::All);
    let has = |role| principal.is_some_and(|principal| principal.roles.contains(&role));
    all.any(|grant| grant.role.is_none_or(has))
}

/// Whether it matters whose it is, so that a door has to ask again when it knows.
pub fn depends_on_owner(resource: Resource, action: Action) -> bool {
    let mut rows = POLICY.iter().filter(|grant| grant.resource == resource && grant.action == action);
    rows.any(|grant| grant.reach == Reach::Own)
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Session => "session",
            Self::Network => "network",
            Self::Picture => "picture",
            Self::History => "history",
            Self::Measurement => "measurement",
            Self::Forecast => "forecast",
            Self::Weather => "weather",
            Self::Validation => "validation",
            Self::Schedule => "schedule",
            Self::FlexOffer => "flex-offer",
            Self::Bid => "bid",
            Self::Bill => "bill",
            Self::KeyValue => "key-value",
            Self::Benchmark => "benchmark",
            Self::Indicator => "indicator",
            Self::Metrics => "metrics",
            Self::Quarantine => "quarantine",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Act => "act",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Scope;

    fn with(role: Role, prosumers: &[u32]) -> Principal {
        let own = prosumers.iter().copied().map(ProsumerId).collect();
        let (name, roles, scope) = (role.to_string(), vec![role], Scope::Prosumers(own));
        Principal { name, roles, scope, lacks_second_factor: false }
    }

    #[test]
    fn one_offers_for_oneself_only() {
        let prosumer = with(Role::Prosumer, &[3]);
        let create = |owner| decide(Some(&prosumer), Resource::FlexOffer, Action::Create, owner);
        assert_eq!(create(Some(ProsumerId(3))), Decision::Allowed);
        assert_eq!(create(Some(ProsumerId(4))), Decision::NotOwn);
        assert_eq!(create(None), Decision::Allowed);
        let operator = with(Role::Operator, &[3]);
        let decision = decide(Some(&operator), Resource::FlexOffer, Action::Create, Some(ProsumerId(3)));
        assert_eq!(decision, Decision::Forbidden);
    }

    #[test]
    fn who_grants_rights_sees_no_data() {
        let admin = with(Role::SecurityAdmin, &[]);
        for resource in [Resource::Network, Resource::Picture, Resource::FlexOffer, Resource::Metrics] {
            assert_eq!(decide(Some(&admin), resource, Action::Read, None), Decision::Forbidden, "{resource}");
        }
    }

    #[test]
    fn without_a_name_there_is_what_is_open() {
        assert_eq!(decide(None, Resource::Open, Action::Read, None), Decision::Allowed);
        assert_eq!(decide(None, Resource::Picture, Action::Read, None), Decision::Unknown);
        assert_eq!(decide(None, Resource::Open, Action::Act, None), Decision::Unknown);
    }

    #[test]
    fn without_a_second_factor_nothing_is_commanded_and_no_money_shown_and_all_else_is_as_it_was() {
        for grant in POLICY {
            let Some(role) = grant.role else { continue };
            let asked = |lacks_second_factor| {
                let somebody = Principal { lacks_second_factor, ..with(role, &[3]) };
                decide(Some(&somebody), grant.resource, grant.action, Some(ProsumerId(3)))
            };
            assert_eq!(asked(false), Decision::Allowed, "{grant:?}");
            let wanted = SECOND_FACTOR.contains(&(grant.resource, grant.action));
            let without = if wanted { Decision::SecondFactor } else { Decision::Allowed };
            assert_eq!(asked(true), without, "{grant:?}");
        }
        // Each of them is something that somebody may.
        for (resource, action) in SECOND_FACTOR {
            assert!(
                POLICY.iter().any(|row| (row.resource, row.action) == (*resource, *action)),
                "{action} {resource}"
            );
        }
        // What one may not in any case is not said to want one.
        let viewer = Principal { lacks_second_factor: true, ..with(Role::Viewer, &[]) };
        assert_eq!(decide(Some(&viewer), Resource::Quarantine, Action::Act, None), Decision::Forbidden);
    }

    /// The table of a role per column, as `docs/access.md` shows it.
    fn table() -> String {
        let roles = Role::ALL.map(|role| role.to_string()).join(" | ");
        let mut text = format!("| | {roles} |\n|---|{}\n", "---|".repeat(Role::ALL.len()));
        let mut rights: Vec<(Resource, Action)> =
            POLICY.iter().map(|row| (row.resource, row.action)).collect();
        rights.dedup();
        for (resource, action) in rights {
            let of = |role: Option<Role>| {
                POLICY.iter().find(|row| (row.resource, row.action, row.role) == (resource, action, role))
            };
            let cells = Role::ALL.map(|role| match of(None).or(of(Some(role))).map(|row| row.reach) {
                Some(Reach::All) => "yes",
                Some(Reach::Own) => "own",
                None => "–",
            });
            let note = match of(None) {
                Some(_) => " (also without a name)",
                None if SECOND_FACTOR.contains(&(resource, action)) => " (second factor)",
                None => "",
            };
            text += &format!("| {action} {resource}{note} | {} |\n", cells.join(" | "));
        }
        text
    }

    #[test]
    fn the_document_shows_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/access.md");
        let document = std::fs::read_to_string(path).unwrap();
        assert!(document.contains(&table()), "docs/access.md should contain\n{}", table());
    }

    #[test]
    fn no_row_stands_twice() {
        for (at, grant) in POLICY.iter().enumerate() {
            let same = |other: &&Grant| {
                (other.resource, other.action, other.role) == (grant.resource, grant.action, grant.role)
            };
            assert_eq!(POLICY[..at].iter().find(same), None, "{grant:?}");
        }
    }
}
