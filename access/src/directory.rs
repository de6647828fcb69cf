//! Accounts of people and tokens of programs: a file that only its owner can read.

use crate::principal::{Principal, Scope};
use crate::role::Role;
use crate::second_factor::SecondFactor;
use crate::secret;
use grid::Timestamp;
use grid::id::check_name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Fewest characters of a password (NIST SP 800-63B: length, no rules about characters).
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Longest life of a token, days.
pub const TOKEN_DAYS_MAX: u32 = 90;
/// Tokens begin with this, so that whoever looks for leaked secrets finds them.
pub(crate) const TOKEN_PREFIX: &str = "gridflex_";
/// Largest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A hash nobody has the password of: an unknown name takes as long as a wrong password.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// An account of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Argon2id hash of the password.
    password: String,
    /// What its codes are made from, when it has to show one besides the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_factor: Option<SecondFactor>,
    /// What it may be asked for.
    pub roles: Vec<Role>,
    /// What is its own.
    #[serde(default)]
    pub scope: Scope,
}

/// A token of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// SHA-256 of the secret.
    fingerprint: String,
    /// What it may be asked for.
    pub roles: Vec<Role>,
    /// What is its own.
    #[serde(default)]
    pub scope: Scope,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
    /// The only site where it is good, if it is one only; its text names it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// A token that was just made: the secret is shown once and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What the program shows, as `Authorization: Bearer …`.
    pub secret: String,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

/// Everybody who is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    #[serde(default)]
    accounts: Vec<Account>,
    #[serde(default)]
    tokens: Vec<Token>,
}

/// Why a directory cannot be read or changed.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// Others can read it.
    #[error("{path} can be read by others (mode {mode:o}); it holds password hashes: chmod 600 {path}")]
    Readable {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It says something else.
    #[error("{path} is no directory of accounts: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A name that cannot be one.
    #[error("{name:?} cannot be a name: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Somebody has this name already.
    #[error("{0} is known already")]
    Known(String),
    /// Nobody has this name.
    #[error("nobody is called {0}")]
    Unknown(String),
    /// Too short a password.
    #[error("a password has at least {PASSWORD_CHARACTERS_MIN} characters")]
    Short,
    /// Roles that nobody has together, or none.
    #[error("{0}")]
    Roles(String),
    /// Too long a life.
    #[error("a token lives from 1 to {TOKEN_DAYS_MAX} days, not {0}")]
    Days(u32),
    /// No random numbers.
    #[error("the operating system has no random numbers")]
    Random,
}

impl Directory {
    /// Reads a directory; `None` when there is no such file.
    ///
    /// # Errors
    /// [`DirectoryError`] when it cannot be read, others can read it, or it says something else.
    pub fn read(path: &Path) -> Result<Option<Self>, DirectoryError> {
        let failed = |source| DirectoryError::File { what: "read", path: path.to_owned(), source };
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        if let Some(mode) = mode(&file.metadata().map_err(failed)?).filter(|mode| mode & 0o077 != 0) {
            return Err(DirectoryError::Readable { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let malformed = |reason: String| DirectoryError::Malformed { path: path.to_owned(), reason };
        let directory: Self = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        directory.check().map_err(malformed)?;
        Ok(Some(directory))
    }

    /// Writes it beside the file and puts it in its place, readable by its owner only.
    ///
    /// # Errors
    /// [`DirectoryError::File`].
    pub fn write(&self, path: &Path) -> Result<(), DirectoryError> {
        let failed = |source| DirectoryError::File { what: "write", path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        // Made with mode 600.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        files::sync_folder(folder).map_err(failed)
    }

    /// Reads a directory (an empty one where there is none), changes it and writes it, while nobody else does.
    ///
    /// # Errors
    /// [`DirectoryError`], of reading, of the change, or of writing; nothing was changed then.
    pub fn change<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, DirectoryError>,
    ) -> Result<T, DirectoryError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let failed = |source| DirectoryError::File { what: "lock", path: PathBuf::from(&name), source };
        let lock = std::fs::File::create(&name).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut directory = Self::read(path)?.unwrap_or_default();
        let changed = change(&mut directory)?;
        directory.write(path)?;
        Ok(changed)
    }

    fn check(&self) -> Result<(), String> {
        let unhashed = |account: &&Account| !secret::is_password_hash(&account.password);
        if let Some(account) = self.accounts.iter().find(unhashed) {
            return Err(format!("the password of {} is no Argon2id hash", account.name));
        }
        let people = self.accounts.iter().map(|account| (&account.name, &account.roles));
        let mut names = BTreeSet::new();
        for (name, roles) in people.chain(self.tokens.iter().map(|token| (&token.name, &token.roles))) {
            check_roles(roles).map_err(|error| format!("{name}: {error}"))?;
            if !names.insert(name) {
                return Err(format!("{name} stands twice"));
            }
        }
        Ok(())
    }

    /// Whether somebody may grant rights.
    pub fn has_administrator(&self) -> bool {
        self.accounts.iter().any(|account| account.roles.contains(&Role::SecurityAdmin))
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.tokens.is_empty()
    }

    /// The accounts.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The tokens.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn check_new(&self, name: &str, roles: &[Role]) -> Result<(), DirectoryError> {
        let wrong = |error: grid::id::IdError| DirectoryError::Name {
            name: name.to_owned(),
            reason: error.to_string(),
        };
        check_name(name).map_err(wrong)?;
        check_roles(roles).map_err(DirectoryError::Roles)?;
        let taken = self.accounts.iter().any(|account| account.name == name)
            || self.tokens.iter().any(|token| token.name == name);
        if taken { Err(DirectoryError::Known(name.to_owned())) } else { Ok(()) }
    }

    /// Adds a person.
    ///
    /// # Errors
    /// [`DirectoryError`] by name, roles or password.
    pub fn add_account(
        &mut self,
        name: &str,
        password: &str,
        roles: Vec<Role>,
        scope: Scope,
    ) -> Result<(), DirectoryError> {
        self.check_new(name, &roles)?;
        if password.chars().count() < PASSWORD_CHARACTERS_MIN {
            return Err(DirectoryError::Short);
        }
        let password = secret::hash_password(password).ok_or(DirectoryError::Random)?;
        self.accounts.push(Account { name: name.to_owned(), password, second_factor: None, roles, scope });
        Ok(())
    }

    /// Makes a token for a program.
    ///
    /// # Errors
    /// [`DirectoryError`] by name, roles or life.
    pub fn add_token(
        &mut self,
        name: &str,
        roles: Vec<Role>,
        scope: Scope,
        days: u32,
        now: Timestamp,
    ) -> Result<NewToken, DirectoryError> {
        self.add_token_of(None, name, roles, scope, days, now)
    }

    /// Makes a token for a program that is good at one site only: elsewhere, although the file may be the same, it is nobody's.
    ///
    /// # Errors
    /// [`DirectoryError`] by name, of the token or of the site, roles or life.
    pub fn add_token_of(
        &mut self,
        site: Option<&str>,
        name: &str,
        roles: Vec<Role>,
        scope: Scope,
        days: u32,
        now: Timestamp,
    ) -> Result<NewToken, DirectoryError> {
        self.check_new(name, &roles)?;
        if let Some(site) = site {
            check_name(site)
                .map_err(|error| DirectoryError::Name { name: site.to_owned(), reason: error.to_string() })?;
        }
        if !(1..=TOKEN_DAYS_MAX).contains(&days) {
            return Err(DirectoryError::Days(days));
        }
        let random = secret::random().ok_or(DirectoryError::Random)?;
        let of_site = site.map_or(String::new(), |site| format!("{site}."));
        let secret = format!("{TOKEN_PREFIX}{of_site}{random}");
        let expires_at = now.plus(Duration::from_secs(u64::from(days) * 86_400));
        let fingerprint = secret::fingerprint(&secret);
        let site = site.map(str::to_owned);
        self.tokens.push(Token { name: name.to_owned(), fingerprint, roles, scope, expires_at, site });
        Ok(NewToken { secret, expires_at })
    }

    /// Gives a person a second factor, in place of the one it may have, or takes it away. Its sessions end.
    ///
    /// # Errors
    /// [`DirectoryError::Unknown`] when no person has this name.
    pub fn set_second_factor(
        &mut self,
        name: &str,
        factor: Option<SecondFactor>,
    ) -> Result<(), DirectoryError> {
        let account = self.accounts.iter_mut().find(|account| account.name == name);
        account.ok_or_else(|| DirectoryError::Unknown(name.to_owned()))?.second_factor = factor;
        Ok(())
    }

    /// Removes an account or a token.
    ///
    /// # Errors
    /// [`DirectoryError::Unknown`].
    pub fn remove(&mut self, name: &str) -> Result<(), DirectoryError> {
        let before = self.accounts.len() + self.tokens.len();
        self.accounts.retain(|account| account.name != name);
        self.tokens.retain(|token| token.name != name);
        if self.accounts.len() + self.tokens.len() == before {
            return Err(DirectoryError::Unknown(name.to_owned()));
        }
        Ok(())
    }

    /// Who has this name and this password. Takes as long for an unknown name.
    pub fn by_password(&self, name: &str, password: &str) -> Option<Principal> {
        let account = self.accounts.iter().find(|account| account.name == name);
        Account::proved(account, password)
    }

    /// Who shows this token.
    pub fn by_token(&self, secret: &str, now: Timestamp) -> Option<Principal> {
        if !secret.starts_with(TOKEN_PREFIX) {
            return None;
        }
        // The comparison is of hashes of random secrets: its time tells nothing of use.
        let fingerprint = secret::fingerprint(secret);
        self.tokens.iter().find(|token| token.fingerprint == fingerprint)?.principal(now)
    }

    /// The person of this name as it stands now.
    pub fn by_name(&self, name: &str) -> Option<Principal> {
        self.accounts.iter().find(|account| account.name == name).map(Account::principal)
    }

    /// What tells the account of this name from an earlier one of the same name: it changes with the password and the second factor.
    pub fn mark(&self, name: &str) -> Option<String> {
        self.accounts.iter().find(|account| account.name == name).map(Account::mark)
    }
}

impl Account {
    pub(crate) fn principal(&self) -> Principal {
        let (name, roles, scope) = (self.name.clone(), self.roles.clone(), self.scope.clone());
        Principal { name, roles, scope, lacks_second_factor: false }
    }

    /// What its codes are made from, when it has to show one besides the password.
    pub fn second_factor(&self) -> Option<&SecondFactor> {
        self.second_factor.as_ref()
    }

    pub(crate) fn mark(&self) -> String {
        let factor = self.second_factor.as_ref().map_or(String::new(), SecondFactor::base_32);
        secret::fingerprint(&(factor + &self.password))
    }

    /// Whose password it is; takes as long for nobody.
    pub(crate) fn proved(account: Option<&Self>, password: &str) -> Option<Principal> {
        let hash = account.map_or(DECOY, |account| account.password.as_str());
        let right = secret::is_password(hash, password);
        account.filter(|_| right).map(Self::principal)
    }
}

impl Token {
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn principal(&self, now: Timestamp) -> Option<Principal> {
        let (name, roles, scope) = (self.name.clone(), self.roles.clone(), self.scope.clone());
        (now < self.expires_at).then_some(Principal { name, roles, scope, lacks_second_factor: false })
    }
}

fn check_roles(roles: &[Role]) -> Result<(), String> {
    if roles.is_empty() {
        return Err("a role is needed".to_owned());
    }
    match Role::conflict(roles) {
        Some((one, other, reason)) => Err(format!("nobody is both {one} and {other}: {reason}")),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(metadata.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use grid::ProsumerId;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_directory_comes_back_from_its_file_and_knows_nobody_by_anything_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.json");
        assert_eq!(Directory::read(&path).unwrap(), None);
        let mut directory = Directory::default();
        let own = Scope::Prosumers(vec![ProsumerId(3)]);
        directory.add_account("ada", "a long enough secret", vec![Role::Prosumer], own.clone()).unwrap();
        let token = directory.add_token("robot", vec![Role::Viewer], Scope::Nothing, 1, at(0)).unwrap();
        directory.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&token.secret) && !text.contains("a long enough secret"), "{text}");
        let read = Directory::read(&path).unwrap().unwrap();
        assert_eq!(read, directory);
        let ada = read.by_password("ada", "a long enough secret").unwrap();
        assert_eq!((ada.roles, ada.scope), (vec![Role::Prosumer], own));
        assert_eq!(read.by_password("ada", "a long enough secre"), None);
        assert_eq!(read.by_password("eve", "a long enough secret"), None);
        assert_eq!(read.by_token(&token.secret, at(86_399)).unwrap().name, "robot");
        assert_eq!(read.by_token(&token.secret, at(86_400)), None);
        assert_eq!(read.by_token(&token.secret[1..], at(0)), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.json");
        Directory::default().write(&path).unwrap();
        assert_eq!(mode(&std::fs::metadata(&path).unwrap()), Some(0o600));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Directory::read(&path).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let mut directory = Directory::default();
        let mut add = |name: &str, password: &str, roles: &[Role]| {
            directory.add_account(name, password, roles.to_vec(), Scope::Nothing).map_err(|e| e.to_string())
        };
        assert!(add("ada", "short", &[Role::Viewer]).unwrap_err().contains("12 characters"));
        assert!(add("a b", "long enough for all", &[Role::Viewer]).unwrap_err().contains("cannot be a name"));
        assert!(add("ada", "long enough for all", &[]).unwrap_err().contains("role"));
        let both = [Role::SecurityAdmin, Role::Operator];
        assert!(add("ada", "long enough for all", &both).unwrap_err().contains("nobody is both"));
        add("ada", "long enough for all", &[Role::Viewer]).unwrap();
        assert!(add("ada", "long enough for all", &[Role::Viewer]).unwrap_err().contains("known already"));
        let long = directory.add_token("t", vec![Role::Viewer], Scope::Nothing, 91, at(0)).unwrap_err();
        assert!(long.to_string().contains("90 days"), "{long}");
        assert!(directory.remove("eve").is_err());
        directory.remove("ada").unwrap();
        assert_eq!(directory.by_name("ada"), None);
    }

    #[test]
    fn rubbish_is_no_directory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.json");
        let account = r#"{"name":"a","password":"plain","roles":["viewer"]}"#;
        let texts = [
            "",
            "[1]",
            r#"{"users":[]}"#,
            r#"{"accounts":[{"name":"a"}]}"#,
            &format!(r#"{{"accounts":[{account}]}}"#),
        ];
        for text in texts {
            let mut file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.persist(&path).unwrap();
            assert!(matches!(Directory::read(&path), Err(DirectoryError::Malformed { .. })), "{text}");
        }
    }
}
