//! What happens to one area of a cluster, seen from outside: who serves it, what a customer was promised there, and whether that was kept.

use super::checker::{facts, records};
use super::cluster::{Member, NatsServers, site};
use super::stream::{stored, two_owners};
use super::traders::{Place, unwanted};
use super::{get, post, run, text, words};
use grid::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// The same where builds and other tests run beside.
pub const PATIENCE: Duration = Duration::from_secs(40);
pub const AREA: &str = "north";

pub fn now() -> Timestamp {
    Timestamp::from_seconds(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64)
}

/// An offer that nobody wants, of a device of its own.
pub fn offer(number: usize) -> Value {
    let own = number as u64;
    unwanted(&format!("outside-{number}"), Place { device: own, prosumer: own, usage_point: 31 }, now())
}

/// Hands in offers one after the other, and knows which were acknowledged.
#[derive(Default)]
pub struct Customer {
    handed_in: usize,
    pub acknowledged: Vec<usize>,
    /// Two members took the same at the same time.
    pub objections: Vec<String>,
    /// Looks at which two members said that they serve the area.
    pub doubled: usize,
}

impl Customer {
    /// Whose offers have numbers after this one.
    pub fn beginning_at(number: usize) -> Self {
        Self { handed_in: number, ..Self::default() }
    }

    pub fn hand_in(&mut self, page: SocketAddr) -> bool {
        self.handed_in += 1;
        self.hand_in_number(page, self.handed_in)
    }

    fn hand_in_number(&mut self, page: SocketAddr, number: usize) -> bool {
        let Ok(answer) = post(page, "/api/v1/flexoffers", &offer(number)) else { return false };
        let taken = matches!(answer.status, 200 | 201);
        assert!(
            taken || answer.status == 503,
            "{}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        if taken && self.acknowledged.last() != Some(&number) {
            self.acknowledged.push(number);
        }
        taken
    }

    /// Two members may both say that they serve for a moment: one of them slept, or does not know yet. Whoever is asked then gets an
    /// answer from one of them at most, for the other can record nothing.
    pub fn look(&mut self, owners: &[(usize, SocketAddr)]) {
        if owners.len() < 2 {
            return;
        }
        self.doubled += 1;
        self.handed_in += 1;
        let number = self.handed_in;
        let took: Vec<_> = owners.iter().filter(|(_, page)| self.hand_in_number(*page, number)).collect();
        if took.len() > 1 {
            self.objections.push(format!("offer {number} was taken by members {took:?}"));
        }
    }

    /// What a page does not know of what was acknowledged.
    pub fn missing(&self, page: SocketAddr) -> Vec<usize> {
        let known = |number: &usize| {
            let answer = get(page, &format!("/api/v1/flexoffers/outside-{number}"));
            answer.is_ok_and(|answer| answer.status == 200)
        };
        self.acknowledged.iter().copied().filter(|number| !known(number)).collect()
    }
}

pub fn members(directory: &Path, nats: &NatsServers, areas: &[&str], devices: usize) -> Vec<Member> {
    let member = |name: &str| {
        let sites = areas.iter().map(|area| site(&directory.join(name), area, devices)).collect();
        let mut member = Member::new(name, sites, &nats.urls);
        member.start();
        member
    };
    ["a", "b", "c"].map(member).into()
}

/// All members that say they serve the area, and where.
pub fn owners(members: &[Member]) -> Vec<(usize, SocketAddr)> {
    members.iter().enumerate().filter_map(|(nth, member)| Some((nth, member.page(AREA)?))).collect()
}

pub fn said(members: &[Member]) -> String {
    members.iter().map(Member::words).collect()
}

/// Waits until somebody takes offers.
pub fn taken_over(members: &[Member], customer: &mut Customer) -> (usize, SocketAddr) {
    let begun = Instant::now();
    loop {
        let owners = owners(members);
        customer.look(&owners);
        let taker = owners.into_iter().find(|(_, page)| customer.hand_in(*page));
        if let Some(found) = taker {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody serves:\n{}", said(members));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All copies of the journal, once nobody serves: whole, the same as far as they go, and everything acknowledged in the longest one, once.
pub fn judge(directory: &Path, nats: &NatsServers, members: &mut [Member], customer: &Customer) {
    for member in members.iter_mut() {
        if member.is_running() {
            member.stop();
        }
    }
    assert_eq!(customer.objections, Vec::<String>::new());
    let streams = ["JOURNAL", "HISTORY"].map(|what| stored(&nats.urls, &format!("GRIDFLEX_{what}_{AREA}")));
    let wrong: Vec<String> = streams.iter().flat_map(|messages| two_owners(messages)).collect();
    assert_eq!(wrong, Vec::<String>::new(), "two members wrote at the same time");
    let mut journals: Vec<Vec<Value>> = Vec::new();
    for member in members.iter() {
        let data = directory.join(&member.name).join(format!("{AREA}-data"));
        let verified = run(["journal", "verify", text(&data)]);
        assert!(verified.status.success(), "{}: {}", member.name, words(&verified));
        let exported = run(["journal", "export", text(&data)]);
        journals.push(records(&String::from_utf8(exported.stdout).unwrap()));
    }
    journals.sort_by_key(Vec::len);
    let longest = journals.pop().unwrap();
    for journal in &journals {
        assert!(longest.starts_with(journal), "two copies of one journal differ");
    }
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for fact in facts(&longest, "offer_accepted") {
        *times.entry(fact["offer"]["id"].as_str().unwrap()).or_default() += 1;
    }
    for number in &customer.acknowledged {
        assert_eq!(times.get(format!("outside-{number}").as_str()), Some(&1), "offer {number}");
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}
