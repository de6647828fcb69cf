//! Three NATS servers, three members: the one that serves is killed, put to sleep, or loses its NATS server, while a customer
//! hands in FlexOffers and remembers which were acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::area::{AREA, Customer, PATIENCE, judge, members, owners, said, taken_over};
use harness::cluster::{Member, NatsServers};
use harness::{free_port, get, run, sized, soak_row, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A member that dies is followed by another one within this, on a quiet machine.
const FAILOVER_MAX: Duration = Duration::from_secs(5);
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
            customer.look(&owners(&members));
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
    judge(directory.path(), &nats, &mut members, &customer);
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
fn no_port_is_given_twice() {
    let given: BTreeSet<_> = (0..300).map(|_| free_port()).collect();
    assert_eq!(given.len(), 300);
}

#[test]
fn a_member_that_slept_records_nothing_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let Some(nats) = NatsServers::start(directory.path()) else { return };
    let mut members = members(directory.path(), &nats, &[AREA], 400);
    let mut customer = Customer::default();
    let (sleeper, old_page) = taken_over(&members, &mut customer);
    members[sleeper].signal("STOP");
    let other = |members: &[Member]| owners(members).into_iter().find(|(nth, _)| *nth != sleeper);
    let (_, page) = wait_for("another member", PATIENCE, || other(&members));
    wait_for("it to take offers", PATIENCE, || customer.hand_in(page).then_some(()));
    members[sleeper].signal("CONT");
    // It still believes that it serves, for a moment.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        customer.look(&owners(&members));
        customer.hand_in(old_page);
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("at {} looks two members said that they serve", customer.doubled);
    wait_for("the sleeper to notice", PATIENCE, || members[sleeper].page(AREA).is_none().then_some(()));
    assert_eq!(customer.missing(page), Vec::<usize>::new(), "{}", said(&members));
    judge(directory.path(), &nats, &mut members, &customer);
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
    let page = members.iter().find_map(|member| member.page(areas[0])).unwrap();
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
