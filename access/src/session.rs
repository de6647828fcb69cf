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
    open: BTreeMap<String, (String, Timestamp)>,
}

impl Sessions {
    /// Begins a session for a name; what the browser is to show, `None` when there are no random numbers.
    pub fn begin(&mut self, name: &str, now: Timestamp) -> Option<String> {
        self.open.retain(|_, (_, ends)| now < *ends);
        if self.open.len() >= SESSIONS_MAX {
            let oldest = self.open.iter().min_by_key(|(_, (_, ends))| *ends).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.open.remove(&key));
        }
        let secret = secret::random()?;
        self.open.insert(secret::fingerprint(&secret), (name.to_owned(), now.plus(SESSION_LASTS)));
        Some(secret)
    }

    /// Whose session this is.
    pub fn name(&self, secret: &str, now: Timestamp) -> Option<&str> {
        let (name, ends) = self.open.get(&secret::fingerprint(secret))?;
        (now < *ends).then_some(name.as_str())
    }

    /// Ends a session; whose it was.
    pub fn end(&mut self, secret: &str) -> Option<String> {
        self.open.remove(&secret::fingerprint(secret)).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_and_by_hand() {
        let mut sessions = Sessions::default();
        let start = Timestamp::from_seconds(0);
        let one = sessions.begin("ada", start).unwrap();
        let two = sessions.begin("ada", start).unwrap();
        assert_eq!(sessions.name(&one, start), Some("ada"));
        assert_eq!(sessions.end(&one).as_deref(), Some("ada"));
        assert_eq!(sessions.name(&one, start), None);
        assert_eq!(sessions.name(&two, start.plus(SESSION_LASTS)), None);
    }

    #[test]
    fn more_than_there_is_room_for_end_the_oldest() {
        let mut sessions = Sessions::default();
        let first = sessions.begin("first", Timestamp::from_seconds(0)).unwrap();
        for number in 0..SESSIONS_MAX {
            sessions.begin("other", Timestamp::from_seconds(1 + number as i64)).unwrap();
        }
        assert_eq!(sessions.open.len(), SESSIONS_MAX);
        assert_eq!(sessions.name(&first, Timestamp::from_seconds(2)), None);
    }
}
