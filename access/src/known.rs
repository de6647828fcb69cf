//! A directory that is asked often: whoever is in it is found without looking at the others.

use crate::directory::{Account, Directory, TOKEN_PREFIX};
use crate::principal::Principal;
use crate::secret;
use grid::Timestamp;
use std::collections::BTreeMap;

/// A directory as it was read, with the way to each account and token. It does not change any more.
#[derive(Debug, Default)]
pub struct Known {
    directory: Directory,
    /// Places of accounts by name.
    by_name: BTreeMap<String, usize>,
    /// Places of tokens by the fingerprint of their secret.
    by_fingerprint: BTreeMap<String, usize>,
}

impl From<Directory> for Known {
    fn from(directory: Directory) -> Self {
        let names = directory.accounts().iter().enumerate();
        let by_name = names.map(|(place, account)| (account.name.clone(), place)).collect();
        let tokens = directory.tokens().iter().enumerate();
        let by_fingerprint = tokens.map(|(place, token)| (token.fingerprint().to_owned(), place)).collect();
        Self { directory, by_name, by_fingerprint }
    }
}

impl Known {
    /// The directory itself.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    fn account(&self, name: &str) -> Option<&Account> {
        self.directory.accounts().get(*self.by_name.get(name)?)
    }

    /// Who has this name and this password. Takes as long for an unknown name.
    pub fn by_password(&self, name: &str, password: &str) -> Option<Principal> {
        Account::proved(self.account(name), password)
    }

    /// Who shows this token.
    pub fn by_token(&self, secret: &str, now: Timestamp) -> Option<Principal> {
        if !secret.starts_with(TOKEN_PREFIX) {
            return None;
        }
        let place = self.by_fingerprint.get(&secret::fingerprint(secret))?;
        self.directory.tokens().get(*place)?.principal(now)
    }

    /// The person of this name.
    pub fn by_name(&self, name: &str) -> Option<Principal> {
        self.account(name).map(Account::principal)
    }

    /// What tells the account of this name from an earlier one of the same name: it changes with the password.
    pub fn mark(&self, name: &str) -> Option<String> {
        self.account(name).map(Account::mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Scope;
    use crate::role::Role;
    use std::time::{Duration, Instant};

    #[test]
    #[allow(clippy::disallowed_methods)] // wall time is measured
    fn fifty_thousand_accounts_are_read_and_asked_in_seconds() {
        let mut directory = Directory::default();
        let now = Timestamp::from_seconds(0);
        directory.add_account("ada", "a long enough secret", vec![Role::Viewer], Scope::Nothing).unwrap();
        let token = directory.add_token("robot", vec![Role::Viewer], Scope::Nothing, 1, now).unwrap();
        let mut written = serde_json::to_value(&directory).unwrap();
        let accounts = written["accounts"].as_array_mut().unwrap();
        let mut one = accounts[0].clone();
        for number in 0..50_000 {
            one["name"] = format!("home-{number}").into();
            accounts.push(one.clone());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.json");
        Directory::default().write(&path).unwrap();
        std::fs::write(&path, written.to_string()).unwrap();
        let began = Instant::now();
        let known = Known::from(Directory::read(&path).unwrap().unwrap());
        assert_eq!(known.by_token(&token.secret, now).unwrap().name, "robot");
        assert_eq!(known.by_token(&token.secret, token.expires_at), None);
        for number in 0..50_000 {
            let name = format!("home-{number}");
            assert_eq!(known.by_name(&name).unwrap().name, name);
        }
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
        assert!(known.by_password("home-49999", "a long enough secret").is_some());
        assert!(known.by_password("home-49999", "another long secret").is_none());
        assert!(known.by_name("home-50000").is_none() && known.mark("robot").is_none());
        assert_eq!(known.mark("ada"), directory.mark("ada"));
    }
}
