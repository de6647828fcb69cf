//! Topics and topic filters of MQTT 3.1.1 (section 4.7): what is well formed, what matches, what includes what.

/// Longest topic or filter, bytes.
const BYTES_MAX: usize = 512;
/// Most levels of a topic or filter; it bounds every walk over them.
const LEVELS_MAX: usize = 32;

/// The levels of a topic or filter, one after the other.
pub(super) type LevelsOf<'a> = std::str::Split<'a, char>;

fn is_short(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= BYTES_MAX
        && !text.contains('\0')
        && text.split('/').count() <= LEVELS_MAX
}

/// Whether a message may be published under this name at all.
pub fn is_topic(topic: &str) -> bool {
    is_short(topic) && !topic.contains(['+', '#']) && !topic.starts_with('$')
}

/// Whether this can be subscribed to: well formed, and no shared subscription (`$share/…`).
pub fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').rev();
    let last = levels.next().unwrap_or_default();
    is_short(filter)
        && !filter.starts_with("$share/")
        && (last == "#" || last == "+" || !last.contains(['+', '#']))
        && levels.all(|level| level == "+" || !level.contains(['+', '#']))
}

/// Whether the first level is a wildcard, which never stands for a level that begins with `$`.
fn begins_wild(filter: &str) -> bool {
    filter.starts_with(['+', '#'])
}

/// Whether a well formed filter matches a topic.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && begins_wild(filter) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Whether everything `asked` matches is matched by `granted`, too.
pub fn includes(granted: &str, asked: &str) -> bool {
    // `#` and `+/#` are the same: there is no topic without levels.
    if asked == "#" && granted == "+/#" {
        return true;
    }
    if asked.starts_with('$') && begins_wild(granted) {
        return false;
    }
    let (mut granted, mut asked) = (granted.split('/'), asked.split('/'));
    loop {
        match (granted.next(), asked.next()) {
            (Some("#"), _) | (None, None) => return true,
            (_, Some("#")) => return false,
            (Some("+"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_filters_are_told_from_what_is_neither() {
        for good in ["a", "/", "a//b", "a/b/", "größe", "a b"] {
            assert!(is_topic(good) && is_filter(good), "{good:?}");
        }
        for filter in ["#", "+", "a/#", "+/b/#", "a/+/b", "$SYS/#", "+/+", "/+"] {
            assert!(is_filter(filter) && (!is_topic(filter)), "{filter:?}");
        }
        let long = "x".repeat(BYTES_MAX + 1);
        let deep = "/".repeat(LEVELS_MAX);
        for bad in ["", "a#", "a/#/b", "a/b+", "##", "+a/b", "$share/g/a", "a\0b", &long, &deep] {
            assert!(!is_filter(bad) && !is_topic(bad), "{bad:?}");
        }
        assert!(!is_topic("$SYS/broker"));
    }

    #[test]
    fn the_examples_of_the_standard_match() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}
