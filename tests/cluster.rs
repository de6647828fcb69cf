//! Three NATS servers, three members: the one that serves is killed, put to sleep, or loses its NATS server, while a customer
//! hands in FlexOffers and remembers which were acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use grid::Timestamp;
use harness::checker::{facts, records};
use harness::cluster::{Member, NatsServers, site};
use harness::{get, post, run, sized, soak_row, text, wait_for, words};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A member that dies is followed by another one within this, on a quiet machine.
const FAILOVER_MAX: Duration = Duration::from_secs(5);
/// The same where builds and other tests run beside.
const PATIENCE: Duration = Duration::from_secs(40);
const AREA: &str = "north";

fn now() -> Timestamp {
    Timestamp::from_seconds(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64)
}

/// An offer to take more, which nobody wants to pay: it lives until its deadline and is never assigned.
fn offer(number: usize) -> Value {
    let now = now();
    let (start, deadline) =
        (now.plus(Duration::from_secs(360)).slot().plus(1), now.plus(Duration::from_secs(240)));
    json!({
        "id": format!("outside-{number}"),
        "prosumer": number,
        "usage_point": 31,
        "device": number,
        "created_at": now.to_string(),
        "acceptance_before": deadline.to_string(),
        "assignment_before": deadline.to_string(),
        "start_after": start.0,
        "start_before": start.0,
        "slices": [{ "min": 0, "max": 500_000 }],
        "total_energy": null,
        "default_schedule": { "start": start.0, "energies": [0] },
        "prices": { "decrease": 1_000, "increase": 900_000_000 },
    })
}

/// Hands in offers one after the other, and knows which were acknowledged.
#[derive(Default)]
struct Customer {
    handed_in: usize,
    acknowledged: Vec<usize>,
}

impl Customer {
    fn hand_in(&mut self, page: SocketAddr) -> bool {
        self.handed_in += 1;
        let number = self.handed_in;
        let Ok(answer) = post(page, "/api/v1/flexoffers", &offer(number)) else { return false };
        let taken = matches!(answer.status, 200 | 201);
        assert!(
            taken || answer.status == 503,
            "{}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        self.acknowledged.extend(taken.then_some(number));
        taken
    }

    /// What a page does not know of what was acknowledged.
    fn missing(&self, page: SocketAddr) -> Vec<usize> {
        let known = |number: &usize| {
            let answer = get(page, &format!("/api/v1/flexoffers/outside-{number}"));
            answer.is_ok_and(|answer| answer.status == 200)
        };
        self.acknowledged.iter().copied().filter(|number| !known(number)).collect()
    }
}

fn members(directory: &Path, nats: &NatsServers, areas: &[&str], devices: usize) -> Vec<Member> {
    let member = |name: &str| {
        let sites = areas.iter().map(|area| site(&directory.join(name), area, devices)).collect();
        let mut member = Member::new(name, sites, &nats.urls);
        member.start();
        member
    };
    ["a", "b", "c"].map(member).into()
}

/// The one member that says it serves an area, and where.
fn serving(members: &[Member], area: &str) -> Option<(usize, SocketAddr)> {
    members.iter().enumerate().find_map(|(nth, member)| Some((nth, member.page(area)?)))
}

fn said(members: &[Member]) -> String {
    members.iter().map(Member::words).collect()
}

/// Waits until somebody takes offers.
fn taken_over(members: &[Member], customer: &mut Customer) -> (usize, SocketAddr) {
    let begun = Instant::now();
    loop {
        if let Some((nth, page)) = serving(members, AREA)
            && customer.hand_in(page)
        {
            return (nth, page);
        }
        assert!(begun.elapsed() < PATIENCE, "nobody serves:\n{}", said(members));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All copies of the journal: whole, the same as far as they go, and everything acknowledged in the longest one, once.
fn judge(directory: &Path, members: &mut [Member], acknowledged: &[usize]) {
    for member in members.iter_mut() {
        if member.is_running() {
            member.stop();
        }
    }
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
    for number in acknowledged {
        assert_eq!(times.get(format!("outside-{number}").as_str()), Some(&1), "offer {number}");
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

fn kills(trials: usize) -> Vec<Duration> {
    let directory = tempfile::tempdir().unwrap();
    let Some(nats) = NatsServers::start(directory.path()) else { return Vec::new() };
    let mut members = members(directory.path(), &nats, &[AREA], 60 * (trials + 1));
    let mut customer = Customer::default();
    let (mut owner, mut page) = taken_over(&members, &mut customer);
    let mut took = Vec::new();
    for trial in 0..trials {
        // Not always at the same phase of leases and syncs.
        let until = Instant::now() + Duration::from_millis(300 + (trial as u64 * 617) % 1500);
        while Instant::now() < until {
            customer.hand_in(page);
            std::thread::sleep(Duration::from_millis(20));
        }
        let begun = Instant::now();
        members[owner].kill();
        let dead = owner;
        (owner, page) = taken_over(&members, &mut customer);
        took.push(begun.elapsed());
        assert_ne!(owner, dead);
        assert_eq!(customer.missing(page), Vec::<usize>::new(), "trial {trial}\n{}", said(&members));
        members[dead].start();
        let follows = || members[dead].words().contains("copied from the cluster").then_some(());
        wait_for("the killed member to come back", PATIENCE, follows);
    }
    let acknowledged = customer.acknowledged.len();
    took.sort_unstable();
    eprintln!(
        "{trials} kills, {acknowledged} offers acknowledged, served again after {:.1?} (median), {:.1?} (longest)",
        took[took.len() / 2],
        took.last().unwrap()
    );
    judge(directory.path(), &mut members, &customer.acknowledged);
    assert!(acknowledged >= 5 * trials, "a story in which little happened shows little");
    took
}

#[test]
fn an_area_is_served_by_another_member_when_its_own_is_killed_and_nothing_acknowledged_is_lost() {
    kills(3);
}

#[test]
#[ignore = "minutes, and a quiet machine; `make soak` runs it"]
fn fifty_kills_lose_nothing_and_each_is_over_within_five_seconds() {
    let trials = sized("SOAK_TRIALS", 50);
    let took = kills(trials);
    let slowest = took.last().copied().unwrap_or_default();
    let held = took.len() == trials && slowest <= FAILOVER_MAX;
    let asked = format!("{trials} kills, served again within 5 s, 0 lost, one owner");
    let reached = format!("{} kills, within {slowest:.1?}, 0 lost, copies the same", took.len());
    soak_row("a member killed", &asked, &reached, held);
    assert!(held, "{took:?}");
}

#[test]
fn a_member_that_slept_records_nothing_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let Some(nats) = NatsServers::start(directory.path()) else { return };
    let mut members = members(directory.path(), &nats, &[AREA], 400);
    let mut customer = Customer::default();
    let (sleeper, old_page) = taken_over(&members, &mut customer);
    members[sleeper].signal("STOP");
    let others = |members: &[Member]| {
        members.iter().enumerate().filter(|(nth, _)| *nth != sleeper).find_map(|(_, m)| m.page(AREA))
    };
    let page = wait_for("another member", PATIENCE, || others(&members));
    wait_for("it to take offers", PATIENCE, || customer.hand_in(page).then_some(()));
    members[sleeper].signal("CONT");
    // It still believes that it serves, for a moment.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        customer.hand_in(old_page);
        std::thread::sleep(Duration::from_millis(5));
    }
    wait_for("the sleeper to notice", PATIENCE, || members[sleeper].page(AREA).is_none().then_some(()));
    assert_eq!(customer.missing(page), Vec::<usize>::new(), "{}", said(&members));
    judge(directory.path(), &mut members, &customer.acknowledged);
}

#[test]
fn areas_are_shared_evenly_and_a_member_that_ends_hands_its_own_on_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut nats) = NatsServers::start(directory.path()) else { return };
    let areas = ["one", "two", "three", "four", "five", "six"];
    let mut members = members(directory.path(), &nats, &areas, 2);
    let shares = |members: &[Member]| -> Vec<usize> {
        members.iter().map(|member| areas.iter().filter(|area| member.page(area).is_some()).count()).collect()
    };
    let shared = |members: &[Member], wanted: &[usize]| {
        let begun = Instant::now();
        while shares(members) != wanted {
            assert!(begun.elapsed() < PATIENCE, "{:?}, not {wanted:?}:\n{}", shares(members), said(members));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    shared(&members, &[2, 2, 2]);
    // Members say it each half second.
    wait_for("the same told to a visitor", PATIENCE, || {
        let told = run(["members", &nats.urls, "--json"]);
        let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
        let serves = |name: &str| told["members"][name]["serves"].as_array().map_or(0, Vec::len);
        (["a", "b", "c"].map(serves) == [2, 2, 2] && told["unserved"] == json!([])).then_some(())
    });
    // What would stay behind on one machine is not taken.
    let (_, page) = serving(&members, areas[0]).unwrap();
    let refused = get(page, "/api/v1/key-values?limit=5").unwrap();
    assert_eq!(refused.status, 404);
    assert!(String::from_utf8_lossy(&refused.body).contains("no_register"));
    members[0].stop();
    members[0].said.lock().unwrap().clear();
    shared(&members, &[0, 3, 3]);
    members[0].start();
    shared(&members, &[2, 2, 2]);
    // Without a majority nobody serves, and with one again everything is.
    nats.kill(0);
    nats.kill(1);
    shared(&members, &[0, 0, 0]);
    nats.restart(0);
    nats.restart(1);
    wait_for("all to be served", 3 * PATIENCE, || {
        (shares(&members).iter().sum::<usize>() == 6).then_some(())
    });
}
