//! Sessions of people who showed their password, in memory: a restart ends them all.

use crate::secret;
use grid::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a session lasts.
pub const SESSION_LASTS: Duration = Duration::from_secs(10 * 3600);
/// Sessions at the same time; the oldest one ends when there are more.
pub const SESSIONS_MAX: usize = 1024;

/// Who is logged in, by the fingerprint of what the browser keeps.
#[derive(Debug, Default)]
pub struct Sessions {
    open: BTreeMap<String, Session>,
}

#[derive(Debug)]
struct Session {
    name: String,
    /// Of the account as it was: whoever gets another password, or the same name later, does not inherit the session.
    mark: String,
    ends: Timestamp,
}

impl Sessions {
    /// Begins a session for a name and the mark of its account; what the browser is to show, `None` when there are no random
    /// numbers.
    pub fn begin(&mut self, name: &str, mark: &str, now: Timestamp) -> Option<String> {
        self.open.retain(|_, session| now < session.ends);
        if self.open.len() >= SESSIONS_MAX {
            let oldest = self.open.iter().min_by_key(|(_, session)| session.ends).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.open.remove(&key));
        }
        let secret = secret::random()?;
        let (name, mark, ends) = (name.to_owned(), mark.to_owned(), now.plus(SESSION_LASTS));
        self.open.insert(secret::fingerprint(&secret), Session { name, mark, ends });
        Some(secret)
    }

    /// Whose session this is, and the mark of the account it was begun with.
    pub fn whose(&self, secret: &str, now: Timestamp) -> Option<(&str, &str)> {
        let session = self.open.get(&secret::fingerprint(secret))?;
        (now < session.ends).then_some((session.name.as_str(), session.mark.as_str()))
    }

    /// Ends a session; whose it was.
    pub fn end(&mut self, secret: &str) -> Option<String> {
        self.open.remove(&secret::fingerprint(secret)).map(|session| session.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_and_by_hand() {
        let mut sessions = Sessions::default();
        let start = Timestamp::from_seconds(0);
        let one = sessions.begin("ada", "mark", start).unwrap();
        let two = sessions.begin("ada", "mark", start).unwrap();
        assert_eq!(sessions.whose(&one, start), Some(("ada", "mark")));
        assert_eq!(sessions.end(&one).as_deref(), Some("ada"));
        assert_eq!(sessions.whose(&one, start), None);
        assert_eq!(sessions.whose(&two, start.plus(SESSION_LASTS)), None);
    }

    #[test]
    fn more_than_there_is_room_for_end_the_oldest() {
        let mut sessions = Sessions::default();
        let first = sessions.begin("first", "mark", Timestamp::from_seconds(0)).unwrap();
        for number in 0..SESSIONS_MAX {
            sessions.begin("other", "mark", Timestamp::from_seconds(1 + number as i64)).unwrap();
        }
        assert_eq!(sessions.open.len(), SESSIONS_MAX);
        assert_eq!(sessions.whose(&first, Timestamp::from_seconds(2)), None);
    }
}
