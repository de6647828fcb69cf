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
