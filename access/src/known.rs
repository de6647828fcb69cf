//! A directory that is asked often: whoever is in it is found without looking at the others.

use crate::directory::{Account, Directory, TOKEN_PREFIX};
use crate::principal::Principal;
use crate::second_factor::SecondFactor;
use crate::secret;
use grid::Timestamp;
use std::collections::BTreeMap;

/// A directory as it was read, with the way to each account and token. It does not change any more.
#[derive(Debug, Clone, Default)]
pub struct Known {
    directory: Directory,
    /// Places of accounts by name.
    by_name: BTreeMap<String, usize>,
    /// Places of tokens by the fingerprint of their secret.
    by_fingerprint: BTreeMap<String, usize>,
    /// Where they are known; tokens of other sites are nobody's there.
    site: Option<String>,
    /// Whether a second factor is wanted of people there.
    wants_second_factor: bool,
}

impl From<Directory> for Known {
    fn from(directory: Directory) -> Self {
        let names = directory.accounts().iter().enumerate();
        let by_name = names.map(|(place, account)| (account.name.clone(), place)).collect();
        let tokens = directory.tokens().iter().enumerate();
        let by_fingerprint = tokens.map(|(place, token)| (token.fingerprint().to_owned(), place)).collect();
        Self { directory, by_name, by_fingerprint, site: None, wants_second_factor: false }
    }
}

impl Known {
    /// The same at a site.
    pub fn of_site(self, site: Option<String>) -> Self {
        Self { site, ..self }
    }

    /// The same where a second factor is wanted of people, or not, for what [`SECOND_FACTOR`](crate::SECOND_FACTOR) names.
    pub fn wanting_second_factor(self, wanted: bool) -> Self {
        Self { wants_second_factor: wanted, ..self }
    }

    /// What was read later, at the place of what was read before.
    pub fn succeeded_by(&self, directory: Directory) -> Self {
        let later = Self::from(directory).of_site(self.site.clone());
        later.wanting_second_factor(self.wants_second_factor)
    }

    /// The directory itself.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    fn account(&self, name: &str) -> Option<&Account> {
        self.directory.accounts().get(*self.by_name.get(name)?)
    }

    /// Who has this name and this password. Takes as long for an unknown name.
    pub fn by_password(&self, name: &str, password: &str) -> Option<Principal> {
        let account = self.account(name);
        Account::proved(account, password).map(|proved| self.here(account, proved))
    }

    /// What a person makes codes from, who has to show one besides the password.
    pub fn second_factor(&self, name: &str) -> Option<&SecondFactor> {
        self.account(name)?.second_factor()
    }

    fn here(&self, account: Option<&Account>, somebody: Principal) -> Principal {
        let has_one = account.is_some_and(|account| account.second_factor().is_some());
        Principal { lacks_second_factor: self.wants_second_factor && !has_one, ..somebody }
    }

    /// Who shows this token here.
    pub fn by_token(&self, secret: &str, now: Timestamp) -> Option<Principal> {
        if !secret.starts_with(TOKEN_PREFIX) {
            return None;
        }
        let place = self.by_fingerprint.get(&secret::fingerprint(secret))?;
        let token = self.directory.tokens().get(*place)?;
        let is_of_here = token.site.is_none() || token.site == self.site;
        token.principal(now).filter(|_| is_of_here)
    }

    /// The person of this name.
    pub fn by_name(&self, name: &str) -> Option<Principal> {
        let account = self.account(name)?;
        Some(self.here(Some(account), account.principal()))
    }

    /// What tells the account of this name from an earlier one of the same name: it changes with the password and the second factor.
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
    fn a_token_of_one_site_is_nobodys_at_another_although_the_file_is_the_same() {
        let mut directory = Directory::default();
        let now = Timestamp::from_seconds(0);
        let roles = || vec![Role::Viewer];
        let north = directory.add_token_of(Some("north"), "robot", roles(), Scope::Nothing, 1, now).unwrap();
        let any = directory.add_token("wanderer", roles(), Scope::Nothing, 1, now).unwrap();
        assert!(north.secret.starts_with("gridflex_north."), "it says where it is good");
        assert!(directory.add_token_of(Some("no/site"), "x", roles(), Scope::Nothing, 1, now).is_err());
        let read: Directory = serde_json::from_str(&serde_json::to_string(&directory).unwrap()).unwrap();
        for (site, is_let_in) in [(Some("north"), true), (Some("south"), false), (None, false)] {
            let known = Known::from(read.clone()).of_site(site.map(str::to_owned));
            assert_eq!(known.by_token(&north.secret, now).is_some(), is_let_in, "{site:?}");
            assert_eq!(known.by_token(&any.secret, now).unwrap().name, "wanderer");
            // Another site's name in its text makes another token of it, which nobody has.
            assert_eq!(known.by_token(&north.secret.replace("north", "south"), now), None);
        }
    }

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
