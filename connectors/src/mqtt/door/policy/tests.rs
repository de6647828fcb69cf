//! Rights: what a file may say, and every decision against an oracle that knows only what the standard says of
//! single topics.

use super::*;
use rand_levels::Levels;

const FILE: &str = r#"
[[client]]
identity = "121"
password = "$7$101$K5qHx669KwOueakL$K537IRAdgmUfDxe/7CQimTltkC4ZOoB+KVDkq/6T32+zZxlbq+Xc4WYquMtjeFwf6JAlsXPBUpRTw7dUsuE+kQ=="
publish = ["gridflex/demo/device/121/report"]
subscribe = ["gridflex/demo/device/121/activation"]

[[client]]
identity = "scada"
subscribe = ["gridflex/#"]
"#;

#[test]
fn who_is_not_known_is_nobody() {
    let policy = Policy::from_toml(FILE).unwrap();
    let device = Ok(Identity::named("121"));
    assert_eq!(policy.identify(&[], Some(("121", "gridflex"))), device);
    for wrong in [None, Some(("121", "")), Some(("122", "gridflex")), Some(("scada", "")), Some(("", ""))] {
        assert_eq!(policy.identify(&[], wrong), Err(Unknown), "{wrong:?}");
    }
    let certified = |name: &str| [name.to_owned()];
    assert_eq!(policy.identify(&certified("scada"), None), Ok(Identity::named("scada")));
    assert_eq!(policy.identify(&certified("stranger"), None), Err(Unknown));
    assert_eq!(policy.identify(&certified("scada"), Some(("121", "gridflex"))), Err(Unknown));
    assert!(Policy::open().identify(&[], None).is_ok());
}

#[test]
fn a_client_id_belongs_to_an_identity() {
    let policy = Policy::from_toml(FILE).unwrap();
    let who = Identity::named("121");
    for (id, expected) in [("121", true), ("121:2", true), ("1212", false), ("12", false), ("121:\n", false)]
    {
        assert_eq!(policy.may_be_called(&who, id), expected, "{id:?}");
    }
}

#[test]
fn a_file_that_cannot_be_meant_is_refused_by_name() {
    let entry = |rest: &str| format!("[[client]]\nidentity = \"a\"\n{rest}\n");
    for (text, expected) in [
        (entry("publish = [\"a/#/b\"]"), "publish: \"a/#/b\""),
        (entry("subscribe = [\"$share/g/a\"]"), "client 1 (\"a\"): subscribe"),
        (entry("password = \"secret\""), "mosquitto_passwd"),
        (entry("pubish = []"), "pubish"),
        (entry("") + &entry(""), "client 2 (\"a\"): it stands there twice"),
        ("[[client]]\nidentity = \"\"".into(), "an identity has"),
    ] {
        let error = Policy::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("secret"), "a password in an error: {error}");
    }
    let nobody = Policy::from_toml("").unwrap();
    assert!(!nobody.is_open() && !nobody.allows(&Identity::named("a"), Action::Publish, "a"));
}

/// Small levels, so that filters meet often.
mod rand_levels {
    use rand::RngExt;

    pub struct Levels<R>(pub R);

    impl<R: rand::Rng> Levels<R> {
        pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
            from[self.0.random_range(0..from.len())]
        }

        pub fn below(&mut self, n: usize) -> usize {
            self.0.random_range(0..n)
        }

        /// A well formed filter of up to three levels, or with few of the last, a hostile one.
        pub fn filter(&mut self) -> String {
            let mut levels: Vec<&str> =
                (0..1 + self.below(3)).map(|_| self.pick(&["a", "b", "", "+", "a", "$x"])).collect();
            if self.below(3) == 0 {
                levels.push("#");
                if self.below(4) == 0 {
                    return "#".into();
                }
            }
            let filter = levels.join("/");
            if filter.is_empty() { "a".into() } else { filter }
        }

        pub fn topic(&mut self) -> String {
            let levels: Vec<&str> =
                (0..1 + self.below(4)).map(|_| self.pick(&["a", "b", "", "$x"])).collect();
            levels.join("/")
        }
    }
}

/// Whether a filter matches a topic, by section 4.7 of the standard: written as a set of endings, not as a walk.
fn oracle_matches(filter: &[&str], topic: &[&str]) -> bool {
    fn rest(filter: &[&str], topic: &[&str]) -> bool {
        match filter {
            ["#"] => true,
            [] => topic.is_empty(),
            [first, more @ ..] => {
                // `sport/#` also matches `sport`.
                (topic.len() == 1 && *more == ["#"] && (*first == "+" || *first == topic[0]))
                    || (!topic.is_empty() && (*first == "+" || *first == topic[0]) && rest(more, &topic[1..]))
            }
        }
    }
    let wild_at_dollar = topic[0].starts_with('$') && (filter[0] == "+" || filter[0] == "#");
    !wild_at_dollar && rest(filter, topic)
}

/// All topics of up to five levels of an alphabet with one level that no filter names.
fn universe() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = vec![vec![]];
    let mut done = 0;
    for _ in 0..5 {
        let upto = all.len();
        for at in done..upto {
            for level in ["a", "b", "", "$x", "z"] {
                let mut longer = all[at].clone();
                longer.push(level);
                all.push(longer);
            }
        }
        done = upto;
    }
    all.retain(|topic| !topic.is_empty());
    all
}

/// Decides `cases` random questions and compares.
fn compare_with_the_oracle(cases: usize) {
    use rand_chacha::rand_core::SeedableRng;
    let mut levels = Levels(rand_chacha::ChaCha8Rng::seed_from_u64(0x6d71_7474));
    let universe = universe();
    let mut languages: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let language = |filter: &str| {
        let filter: Vec<&str> = filter.split('/').collect();
        let mut bits = vec![0_u64; universe.len().div_ceil(64)];
        for (place, topic) in universe.iter().enumerate() {
            if oracle_matches(&filter, topic) {
                bits[place / 64] |= 1 << (place % 64);
            }
        }
        bits
    };
    let (mut allowed, mut policy, mut grants) = (0, Policy::open(), Vec::new());
    for case in 0..cases {
        if case % 500 == 0 {
            grants = (0..3).map(|_| (0..2).map(|_| levels.filter()).collect::<Vec<_>>()).collect();
            let entry = |(place, filters): (usize, &Vec<String>)| {
                format!(
                    "[[client]]\nidentity = \"c{place}\"\npublish = {filters:?}\nsubscribe = {filters:?}\n"
                )
            };
            policy = Policy::from_toml(&grants.iter().enumerate().map(entry).collect::<String>()).unwrap();
        }
        let place = levels.below(4);
        let who = Identity::named(&format!("c{place}"));
        let granted = grants.get(place).map_or(&[][..], Vec::as_slice);
        let (action, name, expected) = if levels.below(2) == 0 {
            let topic = levels.topic();
            let split: Vec<&str> = topic.split('/').collect();
            let expected =
                granted.iter().any(|filter| oracle_matches(&filter.split('/').collect::<Vec<_>>(), &split));
            (Action::Publish, topic, expected)
        } else {
            let asked = levels.filter();
            for filter in granted.iter().chain([&asked]) {
                if !languages.contains_key(filter) {
                    languages.insert(filter.clone(), language(filter));
                }
            }
            let expected = granted.iter().any(|filter| {
                languages[filter].iter().zip(&languages[&asked]).all(|(granted, asked)| asked & !granted == 0)
            });
            (Action::Subscribe, asked, expected)
        };
        let decided = policy.allows(&who, action, &name);
        assert_eq!(decided, expected, "{action:?} {name:?} with {granted:?}");
        allowed += usize::from(decided);
    }
    // Otherwise the cases would say nothing.
    assert!(allowed > cases / 20 && allowed < cases / 2, "{allowed} of {cases} were allowed");
}

#[test]
fn forty_thousand_decisions_are_those_of_the_oracle() {
    compare_with_the_oracle(40_000);
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn a_million_decisions_are_those_of_the_oracle() {
    compare_with_the_oracle(1_000_000);
}

#[test]
fn telemetry_speaks_only_of_the_points_a_client_was_given() {
    let has = |entry: &str, point: &str| {
        let policy = Policy::from_toml(&format!("[[client]]\nidentity = \"121\"\n{entry}")).unwrap();
        policy.points(&Identity::named("121")).has(&point.parse().unwrap())
    };
    let given = r#"publish = ["gridflex/demo/telemetry/121/#"]
points = ["device.121", "meter.*", "bus.3.u.a"]"#;
    for (point, granted) in [
        ("device.121.energy", true),
        ("device.122.energy", false),
        ("device.1211.energy", false),
        ("meter.3021.p", true),
        ("bus.3.u.a", true),
        ("bus.3.u.b", false),
    ] {
        assert_eq!(has(given, point), granted, "{point}");
    }
    let without =
        r#"publish = ["gridflex/demo/telemetry/121/#", "gridflex/demo/telemetry/device.121.energy"]"#;
    assert!(has(without, "device.121.energy") && !has(without, "device.122.energy"));
    assert!(has(r#"publish = ["gridflex/demo/telemetry/#"]"#, "device.122.energy"));
    assert!(!has(r#"publish = ["gridflex/demo/device/121/#"]"#, "device.121.energy"));
    let wrong = Policy::from_toml("[[client]]\nidentity = \"1\"\npoints = [\"car.1\"]").unwrap_err();
    assert!(wrong.to_string().contains("car.1"), "{wrong}");
}
