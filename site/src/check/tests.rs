//! Who delegates, by the site file.

use super::*;
use grid::{EnergyMwh, Money, ProsumerId};

/// The example site with something behind it.
fn example_with(more: &str) -> (PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/example-site");
    for entry in std::fs::read_dir(&example).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            std::fs::copy(&entry, folder.path().join(entry.file_name().unwrap())).unwrap();
        }
    }
    let site = folder.path().join("site.toml");
    let text = std::fs::read_to_string(&site).unwrap() + "\n" + more;
    std::fs::write(&site, text).unwrap();
    (site, folder)
}

#[test]
fn who_delegates_is_known_to_the_area() {
    let own = check(&example_with("").0).unwrap().foundation.area.devices.values().next().unwrap().prosumer;
    let (site, _folder) = example_with(&format!(
        "[[delegation]]\nprosumer = {own}\nfrom = \"2026-12\"\nfixed_eur = 3\nstart_eur_per_slot = 0.05\n"
    ));
    let area = check(&site).unwrap().foundation.area;
    let [delegation] = &area.delegations[..] else { panic!("{:?}", area.delegations) };
    assert_eq!((delegation.prosumer, delegation.from.to_string()), (own, "2026-12".to_owned()));
    assert_eq!(delegation.contract.fixed_reward, Money(3_000_000));
    assert_eq!(delegation.contract.scheduling_start_time_reward, Money(50_000));
    assert_eq!(delegation.contract.imbalance_limit, EnergyMwh(100_000));
    assert_eq!(delegation.contract.fault(), None);
}

#[test]
fn who_has_no_device_or_delegates_twice_is_named_with_the_line() {
    let (site, _folder) = example_with("");
    let lines = std::fs::read_to_string(&site).unwrap().lines().count() as u64;
    let own = check(&site).unwrap().foundation.area.devices.values().next().unwrap().prosumer;
    let nobody = ProsumerId(4_000_000_000);
    let one = |prosumer: ProsumerId, month: u8| {
        format!("[[delegation]]\nprosumer = {prosumer}\nfrom = \"2026-{month:02}\"\n")
    };
    let (site, _folder) = example_with(&(one(own, 11) + &one(nobody, 11) + &one(own, 12)));
    let problems = check(&site).unwrap_err();
    let said: Vec<_> =
        problems.iter().map(|problem| (problem.line.unwrap(), problem.what.as_str())).collect();
    let expected = [
        (lines + 4, "prosumer 4000000000 delegates its trading and has no device".to_owned()),
        (lines + 7, format!("prosumer {own} delegates twice; the first contract is in line {}", lines + 1)),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((line, what), (expected_line, start)) in said.iter().zip(&expected) {
        assert!(
            line == expected_line && what.starts_with(start.as_str()),
            "{line}: {what}; expected {start}"
        );
    }
}

#[test]
fn a_price_of_transfer_counts_for_those_behind_the_element_and_nowhere_is_a_problem() {
    let own = *check(&example_with("").0).unwrap().foundation.area.zone_of.keys().next().unwrap();
    // Enough to overload what leads there.
    let charger = format!(
        "[[device]]\nnumber = 4000\nprosumer = 4000\nusage_point = {own}\nkind = \"charger\"\np_max_kw = 500\n"
    );
    let area = check(&example_with(&charger).0).unwrap().foundation.area;
    let limited = area.zones[&area.zone_of[&own]][0].point.branch;
    let price = |branch: u32, from: &str| {
        format!(
            "[[transfer_price]]\nbranch = {branch}\nfrom = \"{from}\"\nuntil = \"20:00\"\neur_per_kwh = 0.05\n"
        )
    };
    let (site, _folder) = example_with(&(charger.clone() + &price(limited.0, "17:00")));
    let area = check(&site).unwrap().foundation.area;
    let cost = |zone, time: &str| {
        let slot = format!("2026-01-15T{time}:00Z").parse::<grid::Timestamp>().unwrap().slot();
        area.rules.transfer.of(&area.zones, zone, slot).0
    };
    let behind = |zone| area.zones[&zone].iter().any(|carried| carried.point.branch == limited);
    for &zone in area.zones.keys() {
        let busy = cost(zone, "17:00");
        assert_eq!(busy, if behind(zone) { 50_000 } else { 0 }, "{zone:?}");
        assert_eq!(cost(zone, "16:45"), 0);
    }
    let (site, _folder) = example_with(
        &(charger + &price(limited.0, "17:00") + &price(limited.0, "19:00") + &price(4_000_000, "01:00")),
    );
    let said: Vec<_> = check(&site).unwrap_err().into_iter().map(|problem| problem.what).collect();
    assert!(
        matches!(&said[..], [twice, nowhere] if twice.contains("that line") && nowhere.contains("branch 4000000")),
        "{said:?}"
    );
}
